"""Rules that a user compiled with numba, as native functions that the search calls by their addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cfunc, njit, types
from numba.core.errors import NumbaError

from clew.games.bitboards.native import LEGAL_FAILED, PLAY_FAILED, table_at, words_at
from clew.games.states import DRAW, extra, make_status, mover

_LEGAL = types.uint64(types.int64, types.uint64, types.uint64, types.uint64)
_PLAY = types.void(types.int64, types.uint64, types.uint64, types.uint64, types.int64, types.int64)


class NumbaFailedError(Exception):
    """Why numba cannot compile a function, in one line; `place`: file and line where it knows them, else None."""

    def __init__(self, function: Any, why: str, place: tuple[str, str] | None = None) -> None:
        super().__init__(why)
        self.function, self.place = function, place


def _returned(function: Any, arguments: int) -> Any:
    """The type that a function returns for so many int64. Raises `NumbaFailedError`."""
    signature = (types.int64,) * arguments
    try:
        function.compile(signature)
    except NumbaError as error:
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        told = [line for line in lines if not re.match(r"Failed in ", line)] or [type(error).__name__]
        why = f"{told[0]} {told[1].removeprefix('>>>').strip()}" if told[0].endswith(":") and told[1:] else told[0]
        # The innermost place comes first.
        place = re.search(r'File "([^"]+)", line (\d+)', text)
        raise NumbaFailedError(function, why[:300], (place[1], place[2]) if place else None) from error
    return function.overloads[signature].signature.return_type


def _check_types(legal: Any, play: Any, with_extra: bool) -> None:
    """Raise `NumbaFailedError` for functions that return something else than numbers."""
    numbers = (types.Integer, types.Boolean)
    bits = _returned(legal, 3 + with_extra)
    if not isinstance(bits, numbers):
        raise NumbaFailedError(legal, f"it returns {bits} where one whole number, the bits of the actions, is due")
    due = 3 + with_extra
    found: Any = _returned(play, 4 + with_extra)
    values: Any = found if isinstance(found, types.BaseTuple) else ()
    if len(values) != due or not all(isinstance(value, numbers) for value in values):
        raise NumbaFailedError(play, f"it returns {found} where {due} whole numbers are due")


@njit(cache=True)
def _note(table: Any, code: Any, first: Any, second: Any, status: Any, action: Any) -> None:
    """Keep the first call that went wrong: no exception leaves a native function."""
    noted = table_at(table, 0)
    if noted.error == 0:
        noted.error, noted.action = code, action
        noted.first, noted.second, noted.status = first, second, status


def compiled_pair(
    legal: Callable[..., Any], play: Callable[..., Any], cells: int, actions: int, extra_bits: int
) -> tuple[Any, Any]:
    """Both functions as numba's, which have an `address` and keep their code alive.

    `cells` and `actions`: bits of all that there are. Raises `NumbaFailedError`.
    """
    _check_types(legal, play, extra_bits > 0)
    every_cell, every_action = np.uint64(cells), np.uint64(actions)
    most = np.int64((1 << extra_bits) - 1)
    offers, moves = _with_extra(legal, play) if extra_bits else _without_extra(legal, play)

    def legal_bits(table: Any, first: Any, second: Any, status: Any) -> Any:
        bits = np.uint64(0)
        try:
            bits = np.uint64(offers(np.int64(first), np.int64(second), mover(status), extra(status)))
        except Exception:
            bits = np.uint64(0)
        if bits == np.uint64(0) or bits & ~every_action != np.uint64(0):
            _note(table, LEGAL_FAILED, first, second, status, -1)
            return every_action
        return bits

    def after(table: Any, first: Any, second: Any, status: Any, action: Any, out: Any) -> None:
        player = mover(status)
        one: Any = np.int64(0)
        two: Any = np.int64(0)
        more: Any = np.int64(0)
        won_by: Any = np.int64(-1)
        try:
            one, two, won_by, more = moves(np.int64(first), np.int64(second), player, action, extra(status))
        except Exception:
            won_by = np.int64(-1)
        words = words_at(out, 0)
        mine, theirs = np.uint64(one), np.uint64(two)
        beside = (mine | theirs) & ~every_cell
        if won_by < 0 or won_by > DRAW or (mine & theirs) | beside != np.uint64(0) or more < 0 or more > most:
            _note(table, PLAY_FAILED, first, second, status, action)
            words.first, words.second, words.status = first, second, status | np.uint64(DRAW << 8)
            return
        words.first, words.second = mine, theirs
        words.status = make_status(player if won_by else 1 - player, won_by, more)

    return cfunc(_LEGAL)(legal_bits), cfunc(_PLAY)(after)


def _without_extra(legal: Any, play: Any) -> tuple[Any, Any]:
    @njit
    def offers(first: Any, second: Any, player: Any, remembered: Any) -> Any:
        return np.int64(legal(first, second, player))

    @njit
    def moves(first: Any, second: Any, player: Any, action: Any, remembered: Any) -> Any:
        one, two, won_by = play(first, second, player, action)
        return np.int64(one), np.int64(two), np.int64(won_by), np.int64(0)

    return offers, moves


def _with_extra(legal: Any, play: Any) -> tuple[Any, Any]:
    @njit
    def offers(first: Any, second: Any, player: Any, remembered: Any) -> Any:
        return np.int64(legal(first, second, player, remembered))

    @njit
    def moves(first: Any, second: Any, player: Any, action: Any, remembered: Any) -> Any:
        one, two, won_by, more = play(first, second, player, action, remembered)
        return np.int64(one), np.int64(two), np.int64(won_by), np.int64(more)

    return offers, moves
