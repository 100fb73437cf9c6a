"""The positions that stand in a replay database."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clew.games.replay import Position, Replay
from clew.games.rules import Game, States

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
    """The states, uint64[count, 3], of stored forms; those that are of a wrong length or no states are left out."""
    whole = [blob for blob in blobs if len(blob) == game.state_bytes]
    values = np.frombuffer(b"".join(whole), np.uint8).reshape(-1, game.state_bytes)
    return game.codec.to_states(values[game.codec.are_states(values)])
