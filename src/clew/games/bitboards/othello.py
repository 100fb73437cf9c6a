"""Othello on bitboards: bit row * 8 + column of a word is a cell."""

from __future__ import annotations

import numpy as np
from numba import njit

_ONE = np.uint64(1)
_WITHOUT_FIRST_COLUMN = np.uint64(0xFEFEFEFEFEFEFEFE)
_WITHOUT_LAST_COLUMN = np.uint64(0x7F7F7F7F7F7F7F7F)
_EVERYWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)

START_FIRST = np.uint64((1 << 28) | (1 << 35))
"""Stones of the first player (black) in the first position: cells (3, 4) and (4, 3)."""
START_SECOND = np.uint64((1 << 27) | (1 << 36))


@njit(cache=True, inline="always")
def _up(stones: np.uint64, distance: int, mask: np.uint64) -> np.uint64:
    return (stones << np.uint64(distance)) & mask


@njit(cache=True, inline="always")
def _down(stones: np.uint64, distance: int, mask: np.uint64) -> np.uint64:
    return (stones >> np.uint64(distance)) & mask


@njit(cache=True)
def _reached(own: np.uint64, other: np.uint64, distance: int, mask: np.uint64, upward: bool) -> np.uint64:
    """Empty or occupied cells just behind unbroken runs of `other` that begin beside `own`, in one direction."""
    run = (_up(own, distance, mask) if upward else _down(own, distance, mask)) & other
    for _ in range(5):
        run |= (_up(run, distance, mask) if upward else _down(run, distance, mask)) & other
    return _up(run, distance, mask) if upward else _down(run, distance, mask)


@njit(cache=True)
def legal_cells(own: np.uint64, other: np.uint64) -> np.uint64:
    """Bits of the cells where `own` may be played; none: the player must pass."""
    empty = ~(own | other)
    found = np.uint64(0)
    for upward in (True, False):
        found |= _reached(own, other, 8, _EVERYWHERE, upward)
    found |= _reached(own, other, 1, _WITHOUT_FIRST_COLUMN, True) | _reached(own, other, 1, _WITHOUT_LAST_COLUMN, False)
    found |= _reached(own, other, 9, _WITHOUT_FIRST_COLUMN, True) | _reached(own, other, 9, _WITHOUT_LAST_COLUMN, False)
    found |= _reached(own, other, 7, _WITHOUT_LAST_COLUMN, True) | _reached(own, other, 7, _WITHOUT_FIRST_COLUMN, False)
    return found & empty


@njit(cache=True)
def _captured(
    stone: np.uint64, own: np.uint64, other: np.uint64, distance: int, mask: np.uint64, upward: bool
) -> np.uint64:
    run = np.uint64(0)
    step = _up(stone, distance, mask) if upward else _down(stone, distance, mask)
    while step & other:
        run |= step
        step = _up(step, distance, mask) if upward else _down(step, distance, mask)
    return run if step & own else np.uint64(0)


@njit(cache=True)
def flips(own: np.uint64, other: np.uint64, cell: int) -> np.uint64:
    """Bits of the stones of `other` that a stone of `own` on `cell` turns over."""
    stone = _ONE << np.uint64(cell)
    turned = _captured(stone, own, other, 8, _EVERYWHERE, True) | _captured(stone, own, other, 8, _EVERYWHERE, False)
    turned |= _captured(stone, own, other, 1, _WITHOUT_FIRST_COLUMN, True)
    turned |= _captured(stone, own, other, 1, _WITHOUT_LAST_COLUMN, False)
    turned |= _captured(stone, own, other, 9, _WITHOUT_FIRST_COLUMN, True)
    turned |= _captured(stone, own, other, 9, _WITHOUT_LAST_COLUMN, False)
    turned |= _captured(stone, own, other, 7, _WITHOUT_LAST_COLUMN, True)
    turned |= _captured(stone, own, other, 7, _WITHOUT_FIRST_COLUMN, False)
    return turned


@njit(cache=True)
def count(stones: np.uint64) -> int:
    """Number of stones."""
    total = 0
    while stones:
        stones &= stones - _ONE
        total += 1
    return total
