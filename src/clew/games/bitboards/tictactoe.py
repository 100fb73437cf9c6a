"""Tic-tac-toe on bitboards: bit row * 3 + column of a word is a cell."""

from __future__ import annotations

import numpy as np
from numba import njit

ALL_CELLS = np.uint64(0x1FF)
_ONE = np.uint64(1)
_LINES = np.array([0x007, 0x038, 0x1C0, 0x049, 0x092, 0x124, 0x111, 0x054], dtype=np.uint64)
"""Three rows, three columns, two diagonals."""


@njit(cache=True, inline="always")
def legal_cells(first: np.uint64, second: np.uint64) -> np.uint64:
    """Bits of the empty cells; the game must be going on."""
    return ALL_CELLS & ~(first | second)


@njit(cache=True)
def has_line(stones: np.uint64) -> bool:
    """Whether `stones` hold three in a line."""
    for line in _LINES:
        if stones & line == line:
            return True
    return False


@njit(cache=True, inline="always")
def place(stones: np.uint64, action: int) -> np.uint64:
    """`stones` with one more on cell `action`."""
    return stones | (_ONE << np.uint64(action))
