"""The positions that stand in a replay database."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clew.games.replay import Position, Replay
from clew.games.rules import OTHELLO, Game, States, cell_bit

_ROWS = 20_000


def states_seen(replay: Replay, game: Game) -> States:
    """The different states of all rows of a game, uint64[count, 3]. Rows whose state cannot be read are passed over."""
    found = game.initial(0)
    after: Position | None = None
    while True:
        rows, after = replay.tail(game.env_id, after, _ROWS)
        found = np.unique(np.concatenate([found, states_of(game, [row.state for row in rows])]), axis=0)
        if len(rows) < _ROWS:
            return found


def states_of(game: Game, blobs: Sequence[bytes]) -> States:
    """The states, uint64[count, 3], of stored forms; those of a wrong length are left out."""
    whole = [blob for blob in blobs if len(blob) == game.state_bytes]
    values = np.frombuffer(b"".join(whole), np.uint8).reshape(-1, game.state_bytes)
    states = np.zeros((len(values), 3), np.uint64)
    for cell in range(game.cells):
        bit = np.uint64(cell_bit(game.code, cell))
        states[:, 0] |= np.where(values[:, cell] == 1, bit, np.uint64(0))
        states[:, 1] |= np.where(values[:, cell] == 2, bit, np.uint64(0))
    tail = values[:, game.cells :].astype(np.uint64)
    states[:, 2] = (tail[:, 0] == 2) | (tail[:, 1] << np.uint64(8))
    if game.code == OTHELLO:
        states[:, 2] |= tail[:, 2] << np.uint64(16)
    return states
