"""Stored states of many rows at once: blobs as uint8[count, state_bytes], states as uint64[count, 3].

A blob is the board cell by cell (0 empty, 1, 2), the player to move (1, 2), the winner (0 ongoing, 1, 2, 3 draw) and,
where the rules remember more than the board, that as one number, little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.games.states import DRAW, EXTRA_SHIFT, States

Blobs = npt.NDArray[np.uint8]
_ONE = np.uint64(1)


@dataclass(frozen=True, eq=False)
class Codec:
    """How the states of one game are stored."""

    cell_bits: npt.NDArray[np.uint64]
    """uint64[cells]: the bit of each cell."""
    extra_bytes: int
    most_extra: int
    """The largest number that the rules remember beside the board."""

    @property
    def state_bytes(self) -> int:
        """Length of a blob."""
        return len(self.cell_bits) + 2 + self.extra_bytes

    def are_states(self, blobs: Blobs) -> npt.NDArray[np.bool_]:
        """bool[count]: whether all cells, the player, the winner and what is remembered are such as there are."""
        cells, tail = blobs[:, : len(self.cell_bits)], blobs[:, len(self.cell_bits) :]
        fits = (cells <= 2).all(axis=1) & (tail[:, 0] >= 1) & (tail[:, 0] <= 2) & (tail[:, 1] <= DRAW)
        found: npt.NDArray[np.bool_] = fits & (self._extra(tail) <= np.uint64(self.most_extra))
        return found

    def to_states(self, blobs: Blobs) -> States:
        """The states of blobs that `are_states`."""
        cells, tail = blobs[:, : len(self.cell_bits)], blobs[:, len(self.cell_bits) :]
        states = np.zeros((len(blobs), 3), np.uint64)
        for player in (0, 1):
            states[:, player] = np.where(cells == player + 1, self.cell_bits, np.uint64(0)).sum(axis=1)
        states[:, 2] = (tail[:, 0].astype(np.uint64) - _ONE) | (tail[:, 1].astype(np.uint64) << np.uint64(8))
        states[:, 2] |= self._extra(tail) << np.uint64(EXTRA_SHIFT)
        return states

    def to_blobs(self, states: States) -> Blobs:
        """The stored form of states."""
        count = len(self.cell_bits)
        blobs = np.zeros((len(states), self.state_bytes), np.uint8)
        for player in (0, 1):
            blobs[:, :count][(states[:, player, None] & self.cell_bits) != 0] = player + 1
        blobs[:, count] = (states[:, 2] & _ONE) + _ONE
        blobs[:, count + 1] = (states[:, 2] >> np.uint64(8)) & np.uint64(3)
        for place in range(self.extra_bytes):
            blobs[:, count + 2 + place] = (states[:, 2] >> np.uint64(EXTRA_SHIFT + 8 * place)) & np.uint64(0xFF)
        return blobs

    def _extra(self, tail: Blobs) -> npt.NDArray[np.uint64]:
        remembered = np.zeros(len(tail), np.uint64)
        for place in range(self.extra_bytes):
            remembered |= tail[:, 2 + place].astype(np.uint64) << np.uint64(8 * place)
        return remembered
