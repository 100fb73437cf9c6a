"""Stored states of many rows at once: blobs as uint8[count, state_bytes], states as uint64[count, 3]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clew.games.rules import Game, States, cell_bit

Blobs = npt.NDArray[np.uint8]


def are_states(game: Game, blobs: Blobs) -> npt.NDArray[np.bool_]:
    """bool[count]: whether all cells, the player, the winner and the passes are such as there are."""
    cells, tail = blobs[:, : game.cells], blobs[:, game.cells :]
    fits = (cells <= 2).all(axis=1) & (tail[:, 0] >= 1) & (tail[:, 0] <= 2) & (tail[:, 1] <= 3)
    return fits & (tail[:, 2:] <= 2).all(axis=1)


def to_states(game: Game, blobs: Blobs) -> States:
    """The states of blobs that `are_states`."""
    bits = _bits(game)
    states = np.zeros((len(blobs), 3), np.uint64)
    for player in (0, 1):
        states[:, player] = np.where(blobs[:, : game.cells] == player + 1, bits, np.uint64(0)).sum(axis=1)
    tail = blobs[:, game.cells :].astype(np.uint64)
    states[:, 2] = (tail[:, 0] - np.uint64(1)) | (tail[:, 1] << np.uint64(8))
    if tail.shape[1] > 2:
        states[:, 2] |= tail[:, 2] << np.uint64(16)
    return states


def to_blobs(game: Game, states: States) -> Blobs:
    """The stored form of states."""
    bits = _bits(game)
    blobs = np.zeros((len(states), game.state_bytes), np.uint8)
    for player in (0, 1):
        blobs[:, : game.cells][(states[:, player, None] & bits) != 0] = player + 1
    blobs[:, game.cells] = (states[:, 2] & np.uint64(1)) + np.uint64(1)
    blobs[:, game.cells + 1] = (states[:, 2] >> np.uint64(8)) & np.uint64(3)
    if game.state_bytes > game.cells + 2:
        blobs[:, game.cells + 2] = (states[:, 2] >> np.uint64(16)) & np.uint64(3)
    return blobs


def _bits(game: Game) -> npt.NDArray[np.uint64]:
    return np.array([cell_bit(game.code, cell) for cell in range(game.cells)], np.uint64)
