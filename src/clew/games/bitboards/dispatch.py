"""The rules of all games as compiled functions: what is legal, what a move does, what a net sees.

They take single words and a game's number, and serve the search; the methods of `Game` take boards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.bitboards import connect4, othello, tictactoe
from clew.games.bitboards.native import own_legal, own_play
from clew.games.states import DRAW, ONGOING, PASS, States, extra, make_status, mover, winner

TICTACTOE, CONNECT4, OTHELLO = 0, 1, 2
"""What the compiled functions call the shipped games; any other number is the address of a `native.TABLE`."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@njit(cache=True)
def legal_bits(game: int, first: np.uint64, second: np.uint64, status: np.uint64) -> np.uint64:
    """Bit a is set where action a is legal. None in an ongoing othello state: the only action is the pass (64)."""
    if winner(status) != ONGOING:
        return _NONE
    if game == CONNECT4:
        return connect4.legal_columns(first, second)
    if game == TICTACTOE:
        return tictactoe.legal_cells(first, second)
    if game == OTHELLO:
        own, other = (first, second) if mover(status) == 0 else (second, first)
        return othello.legal_cells(own, other)
    bits: np.uint64 = own_legal(game, first, second, status)
    return bits


@njit(cache=True)
def play(
    game: int, first: np.uint64, second: np.uint64, status: np.uint64, action: int
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The state after a legal `action` in an ongoing state. At the end the player to move is not switched."""
    player = mover(status)
    own, other = (first, second) if player == 0 else (second, first)
    won_by, passed = ONGOING, 0
    if game == CONNECT4:
        own = connect4.drop(own, other, action)
        if connect4.has_four(own):
            won_by = player + 1
        elif own | other == connect4.ALL_CELLS:
            won_by = DRAW
    elif game == TICTACTOE:
        own = tictactoe.place(own, action)
        if tictactoe.has_line(own):
            won_by = player + 1
        elif own | other == tictactoe.ALL_CELLS:
            won_by = DRAW
    elif game == OTHELLO:
        if action == PASS:
            passed = extra(status) + 1
        else:
            turned = othello.flips(own, other, action)
            own |= turned | (_ONE << np.uint64(action))
            other &= ~turned
        if passed == 2 or (othello.legal_cells(other, own) == _NONE and othello.legal_cells(own, other) == _NONE):
            mine, theirs = othello.count(own), othello.count(other)
            won_by = DRAW if mine == theirs else (player + 1 if mine > theirs else 2 - player)
    else:
        after: tuple[np.uint64, np.uint64, np.uint64] = own_play(game, first, second, status, action)
        return after
    next_player = player if won_by != ONGOING else 1 - player
    if player == 0:
        return own, other, make_status(next_player, won_by, passed)
    return other, own, make_status(next_player, won_by, passed)


@njit(cache=True, inline="always")
def cell_bit(game: int, cell: int) -> np.uint64:
    """The bit that stands for `cell` = row * width + column."""
    if game == CONNECT4:
        return _ONE << np.uint64((cell % 7) * 7 + cell // 7)
    return _ONE << np.uint64(cell)


@njit(cache=True)
def play_all(game: int, states: States, actions: npt.NDArray[np.int64]) -> None:
    """Play one legal action in each state, in place."""
    for index in range(len(states)):
        state = states[index]
        state[0], state[1], state[2] = play(game, state[0], state[1], state[2], actions[index])


@njit(cache=True)
def fill_mask(game: int, num_actions: int, first: np.uint64, second: np.uint64, status: np.uint64, mask: Any) -> None:
    """Write 1 into `mask[a]` where action a is legal, 0 elsewhere."""
    bits = legal_bits(game, first, second, status)
    for action in range(min(num_actions, 64)):
        mask[action] = (bits >> np.uint64(action)) & _ONE
    if num_actions == 65:
        mask[64] = 1 if bits == _NONE and winner(status) == ONGOING else 0


@njit(cache=True)
def fill_observation(
    game: int, cells: int, num_actions: int, first: np.uint64, second: np.uint64, status: np.uint64, observation: Any
) -> None:
    """Write [first's cells | second's cells | legal mask | one-hot(player to move)] into `observation`."""
    for cell in range(cells):
        bit = cell_bit(game, cell)
        observation[cell] = 1.0 if first & bit else 0.0
        observation[cells + cell] = 1.0 if second & bit else 0.0
    fill_mask(game, num_actions, first, second, status, observation[2 * cells : 2 * cells + num_actions])
    player = mover(status)
    observation[2 * cells + num_actions] = 1.0 - player
    observation[2 * cells + num_actions + 1] = player


@njit(cache=True)
def observe_all(game: int, cells: int, num_actions: int, states: States, out: npt.NDArray[np.float32]) -> None:
    """`fill_observation` of each state."""
    for index in range(len(states)):
        state = states[index]
        fill_observation(game, cells, num_actions, state[0], state[1], state[2], out[index])


@njit(cache=True)
def mask_all(game: int, num_actions: int, states: States, out: npt.NDArray[np.uint8]) -> None:
    """`fill_mask` of each state."""
    for index in range(len(states)):
        state = states[index]
        fill_mask(game, num_actions, state[0], state[1], state[2], out[index])
