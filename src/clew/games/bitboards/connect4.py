"""Connect Four on bitboards: bit column * 7 + row of a word is a cell, row 0 the bottom.

The seventh bit of each column stays empty, so that lines do not wrap from one column into the next (J. Tromp).
Cell indices outside this module are row * 7 + column, as in every format that other programs read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.states import States

COLUMNS, ROWS = 7, 6
_ONE = np.uint64(1)
BOTTOM = np.uint64(sum(1 << (7 * column) for column in range(COLUMNS)))
"""The lowest cell of each column."""
ALL_CELLS = np.uint64(sum(0x3F << (7 * column) for column in range(COLUMNS)))
TOP = np.uint64(sum(1 << (7 * column + 5) for column in range(COLUMNS)))
"""The highest cell of each column."""
_WHOLE_COLUMN = np.uint64(0x7F)


@njit(cache=True, inline="always")
def legal_columns(first: np.uint64, second: np.uint64) -> np.uint64:
    """Bit c is set where column c has room; the game must be going on."""
    open_tops = ~(first | second) & TOP
    columns = np.uint64(0)
    for column in range(COLUMNS):
        columns |= ((open_tops >> np.uint64(7 * column + 5)) & _ONE) << np.uint64(column)
    return columns


@njit(cache=True, inline="always")
def drop(stones: np.uint64, others: np.uint64, column: int) -> np.uint64:
    """`stones` with one more on the lowest empty cell of `column`."""
    occupied = stones | others
    return stones | (
        (occupied + (_ONE << np.uint64(7 * column))) & (np.uint64(0x3F) << np.uint64(7 * column)) & ~occupied
    )


@njit(cache=True, inline="always")
def has_four(stones: np.uint64) -> bool:
    """Whether `stones` hold four in a line."""
    upward = stones & (stones >> np.uint64(1))
    across = stones & (stones >> np.uint64(7))
    falling = stones & (stones >> np.uint64(6))
    rising = stones & (stones >> np.uint64(8))
    found = (
        (upward & (upward >> np.uint64(2)))
        | (across & (across >> np.uint64(14)))
        | (falling & (falling >> np.uint64(12)))
        | (rising & (rising >> np.uint64(16)))
    )
    return bool(found != np.uint64(0))


@njit(cache=True, inline="always")
def mirrored(key: np.uint64) -> np.uint64:
    """The key of the board seen from behind."""
    swapped = key & (_WHOLE_COLUMN << np.uint64(21))
    for column in range(3):
        distance = np.uint64(42 - 14 * column)
        left = _WHOLE_COLUMN << np.uint64(7 * column)
        swapped |= (key & left) << distance
        swapped |= (key >> distance) & left
    return swapped


@njit(cache=True)
def _fill_keys(states: States, out: npt.NDArray[np.uint64]) -> None:
    for index in range(len(states)):
        key = states[index, 0] + (states[index, 0] | states[index, 1]) + BOTTOM
        out[index] = min(key, mirrored(key))


def board_keys(states: States) -> npt.NDArray[np.uint64]:
    """uint64[count]: equal for a board and its mirror image, different for any others of as many stones."""
    keys = np.empty(len(states), np.uint64)
    _fill_keys(states, keys)
    return keys
