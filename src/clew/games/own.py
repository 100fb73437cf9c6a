"""Rules that a user wrote: two functions, plain or compiled by numba, made callable by the compiled search.

    legal(first, second, player) -> bits of the legal actions (or, in plain Python, the actions themselves)
    play(first, second, player, action) -> first, second, winner

With bytes for something more to remember (`extra_bytes`) both take it as a last argument, and `play` returns it as a
fourth value. What a function gives is checked at every call; what is wrong is said with the file, the line and the
position.
"""

from __future__ import annotations

import ctypes
import inspect
import operator
import traceback
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clew.core.errors import ClewError, UsageError
from clew.games.bitboards.native import LEGAL_FAILED, PLAY_FAILED, TABLE
from clew.games.states import DRAW, EXTRA_SHIFT, ONGOING

Function = Callable[..., Any]
Words = tuple[int, int, int]
"""The three words of one state as plain numbers."""

_LEGAL = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
_PLAY = ctypes.CFUNCTYPE(
    None, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_int64
)
_THREE_WORDS = ctypes.c_uint64 * 3
_ALL = (1 << 64) - 1
_DUE = "(first, second, winner)"
_DUE_WITH_EXTRA = "(first, second, winner, extra)"


class GameError(ClewError):
    """The rules of a user's game failed, or gave what cannot be. `refused`: they raised an error of their own."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class OwnRules:
    """The rules of one game of a user's.

    `legal` and `play` are called with plain numbers; where both are numba's, the search calls them without Python.
    Raises `UsageError` for functions that take another number of arguments.
    """

    def __init__(
        self, title: str, legal: Function, play: Function, *, width: int, cells: int, actions: int, extra_bytes: int
    ) -> None:
        self.title, self.width, self.extra_bytes = title, width, extra_bytes
        self._legal, self._play = legal, play
        self._cells, self._actions = cells, actions
        self._cell_bits, self._action_bits = (1 << cells) - 1, (1 << actions) - 1
        self.compiled = all(hasattr(function, "py_func") for function in (legal, play))
        self._raised: BaseException | None = None
        self._table = np.zeros(1, TABLE)
        self._check_arguments(legal, ("first", "second", "player"))
        self._check_arguments(play, ("first", "second", "player", "action"))

    @cached_property
    def code(self) -> int:
        """What the compiled functions call the game: the address of its table."""
        # The table holds addresses only: what stands there must live as long as this object does.
        self._functions = self._compiled_functions() if self.compiled else self._callbacks()
        for name, function in zip(("legal", "play"), self._functions, strict=True):
            self._table[name] = function.address if self.compiled else ctypes.cast(function, ctypes.c_void_p).value
        return int(self._table.ctypes.data)

    def legal_bits(self, state: Words) -> int:
        """Bits of the legal actions of an ongoing state. Raises `GameError`: also where there are none."""
        first, second, status = (int(word) for word in state)
        given = (self._word(first), self._word(second), status & 1, *self._extra_of(status))
        found = self._called(self._legal, given, state)
        try:
            bits = _bits(found) & _ALL if self.compiled else _bits(found)
        except (TypeError, ValueError):
            raise self._wrong(
                self._legal, f"returned {found!r} where bits or a list of actions are due", state
            ) from None
        if not 0 <= bits <= self._action_bits:
            raise self._wrong(
                self._legal, f"offers an action beyond 0 to {self._actions - 1} (it returned {found!r})", state
            )
        if bits == 0:
            raise self._wrong(
                self._legal,
                "offers no move, though the game goes on: play() must end it before, or a pass must be an action",
                state,
            )
        return bits

    def after(self, state: Words, action: int) -> Words:
        """The state after an action in an ongoing state. Raises `GameError`, `refused` where play() raised an error."""
        first, second, status = (int(word) for word in state)
        player = status & 1
        given = (self._word(first), self._word(second), player, int(action), *self._extra_of(status))
        found = self._called(self._play, given, state, action)
        due = _DUE_WITH_EXTRA if self.extra_bytes else _DUE
        try:
            values = [operator.index(value) for value in found]
        except TypeError:
            values = []
        if len(values) != len(due.split()):
            raise self._wrong(self._play, f"returned {found!r} where {due} are due", state, action)
        own, other, won_by = values[0] & _ALL if self.compiled else values[0], values[1], values[2]
        other = other & _ALL if self.compiled else other
        if not (0 <= own <= self._cell_bits and 0 <= other <= self._cell_bits):
            raise self._wrong(self._play, f"puts a stone beside the board of {self._cells} cells", state, action)
        if own & other:
            cell = (own & other).bit_length() - 1
            raise self._wrong(self._play, f"puts stones of both players on cell {cell}", state, action)
        if not ONGOING <= won_by <= DRAW:
            said = "0 (it goes on), 1 (the first player has won), 2 (the second), 3 (a draw)"
            raise self._wrong(self._play, f"returned the winner {won_by} where {said} are known", state, action)
        more = values[3] if self.extra_bytes else 0
        if not 0 <= more < 1 << 8 * self.extra_bytes:
            raise self._wrong(
                self._play, f"returned {more} to remember, which {self.extra_bytes} bytes do not hold", state, action
            )
        return own, other, (player if won_by else 1 - player) | won_by << 8 | more << EXTRA_SHIFT

    def raise_error(self) -> None:
        """Raise what went wrong in a call from compiled code since the last look, if anything did."""
        if not self._table["error"][0]:
            return
        error, first, second, status, action = (
            int(self._table[name][0]) for name in ("error", "first", "second", "status", "action")
        )
        self._table["error"] = 0
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        state = (first, second, status)
        if error == LEGAL_FAILED:
            self.legal_bits(state)
        else:
            self.after(state, action)
        function = self._legal if error == LEGAL_FAILED else self._play
        raise self._wrong(function, "failed, and did not when it was asked again", state)

    def _extra_of(self, status: int) -> tuple[int, ...]:
        return (status >> EXTRA_SHIFT,) if self.extra_bytes else ()

    def _word(self, word: int) -> int:
        """A board as the functions take it: compiled ones take int64, in which cell 63 is the sign."""
        return word - (1 << 64) if self.compiled and word >> 63 else word

    def _called(self, function: Function, given: tuple[int, ...], state: Words, action: int | None = None) -> Any:
        try:
            return function(*given)
        except Exception as error:
            raised = error
        plain = getattr(function, "py_func", None)
        if plain is not None:
            try:
                plain(*given)  # compiled code does not say the line
            except Exception as error:
                raised = error
        raise self._wrong(
            function, f"raised {type(raised).__name__}: {raised}".rstrip(": "), state, action, raised
        ) from raised

    def _wrong(
        self, function: Function, what: str, state: Words, action: int | None = None, raised: Exception | None = None
    ) -> GameError:
        done = "" if action is None else f" for action {action}"
        return GameError(
            f"{place_of(function, raised)}: {self.title}: {function.__name__}() {what}{done}, in the position "
            f"{self.shown(state)}.",
            refused=raised is not None,
        )

    def shown(self, state: Words) -> str:
        """A position in one line: rows from row 0 on, and who is to move."""
        first, second, status = (int(word) for word in state)
        signs = ["X" if first >> cell & 1 else "O" if second >> cell & 1 else "." for cell in range(self._cells)]
        rows = ["".join(signs[start : start + self.width]) for start in range(0, self._cells, self.width)]
        return f"{'/'.join(rows)} with {'XO'[status & 1]} to move"

    def _check_arguments(self, function: Function, names: tuple[str, ...]) -> None:
        due = (*names, "extra") if self.extra_bytes else names
        plain = getattr(function, "py_func", function)
        if not callable(plain):
            raise UsageError(f"{self.title}: the rules are functions, and {plain!r} is none.")
        try:
            inspect.signature(plain).bind(*due)
        except TypeError:
            raise UsageError(
                f"{place_of(function)}: {self.title}: {plain.__name__}() is called with {len(due)} arguments: "
                f"{', '.join(due)}."
            ) from None

    def _note(self, code: int, state: Words, action: int, raised: BaseException | None) -> None:
        """Keep what went wrong in a call from compiled code, which no exception can leave."""
        if not self._table["error"][0]:
            self._raised = raised
            self._table["first"], self._table["second"], self._table["status"] = state
            self._table["action"], self._table["error"] = action, code

    def _callbacks(self) -> tuple[Any, Any]:
        def legal(table: int, first: int, second: int, status: int) -> int:
            if self._raised is not None:
                return self._action_bits  # what was found meanwhile is of no use: the search ends soon
            try:
                return self.legal_bits((first, second, status))
            except BaseException as error:  # Ctrl-C too: the search stops at its next look
                self._note(LEGAL_FAILED, (first, second, status), -1, error)
                return self._action_bits

        def play(table: int, first: int, second: int, status: int, action: int, out: int) -> None:
            words = _THREE_WORDS.from_address(out)
            try:
                if self._raised is not None:
                    raise self._raised
                words[0], words[1], words[2] = self.after((first, second, status), action)
            except BaseException as error:
                self._note(PLAY_FAILED, (first, second, status), action, error)
                words[0], words[1], words[2] = first, second, status | DRAW << 8

        return _LEGAL(legal), _PLAY(play)

    def _compiled_functions(self) -> tuple[Any, Any]:
        from clew.games.own_compiled import NumbaFailedError, compiled_pair

        try:
            return compiled_pair(self._legal, self._play, self._cell_bits, self._action_bits, 8 * self.extra_bytes)
        except NumbaFailedError as error:
            file, line = error.place or (None, None)
            place = place_of(error.function) if file is None else f"{shown_path(Path(file))}:{line}"
            raise UsageError(
                f"{place}: {self.title}: numba cannot compile {error.function.__name__}(): {error}. Without @njit the "
                "rules are plain Python, and slower."
            ) from error


def place_of(function: Function, raised: BaseException | None = None) -> str:
    """`file:line` of a function, or of where in its file an error was raised."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    if code is None:
        return getattr(function, "__module__", "") or "?"
    line = code.co_firstlineno
    for frame in traceback.extract_tb(raised.__traceback__) if raised is not None else ():
        if frame.filename == code.co_filename:
            line = frame.lineno or line
    return f"{shown_path(Path(code.co_filename))}:{line}"


def shown_path(path: Path) -> Path:
    """A path as a user knows it: from the working folder, if it lies there."""
    resolved = path.resolve()
    return resolved.relative_to(Path.cwd()) if resolved.is_relative_to(Path.cwd()) else resolved


def _bits(found: Any) -> int:
    """Bits of the actions that a function returned, as bits or one by one."""
    if isinstance(found, Iterable):
        actions = [operator.index(action) for action in found]
        if any(action < 0 for action in actions):
            return -1
        return sum(1 << action for action in set(actions))
    return operator.index(found)
