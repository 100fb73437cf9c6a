"""The positions that stand in a replay database."""

from __future__ import annotations

import numpy as np
import pytest

from clew.games.arena import play_games
from clew.games.players import random_player
from clew.games.replay import Replay, Transition
from clew.games.rules import find_game
from clew.games.seen import states_of, states_seen


def states_of_games(game, games):
    """All states of some random games, the last ones too."""
    played = play_games(game, random_player(game), random_player(game), games, seed=4)
    found = []
    for row in played.actions:
        state = game.initial()
        found.append(state)
        for move in row[row >= 0]:
            state = game.play(state, [int(move)])
            found.append(state)
    return np.concatenate(found)


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4", "othello"])
def test_stored_states_are_read_as_the_rules_read_them_one_by_one(env_id):
    game = find_game(env_id)
    blobs = [game.to_blob(state) for state in states_of_games(game, 6)]
    expected = np.stack([game.from_blob(blob) for blob in blobs])
    assert np.array_equal(states_of(game, [*blobs, b"", blobs[0][:-1]]), expected)
    assert states_of(game, []).shape == (0, 3)


def test_every_state_of_a_database_is_found_once(tmp_path, monkeypatch):
    game = find_game("connect4")
    states = states_of_games(game, 8)
    seen = np.zeros(game.obs_size, np.float32)
    with Replay.open(tmp_path / "replay.db", create=True) as replay:
        for episode, part in enumerate(np.array_split(states, 9)):
            replay.append(
                [
                    Transition(
                        f"e{episode}-{step}",
                        "connect4",
                        f"e{episode}",
                        step,
                        game.to_blob(state),
                        0,
                        b"",
                        seen,
                        seen,
                        0.0,
                        False,
                        1,
                        None,
                        0.0,
                        None,
                    )
                    for step, state in enumerate(part)
                ]
            )
        monkeypatch.setattr("clew.games.seen._ROWS", 50)
        found = states_seen(replay, game)
    assert np.array_equal(found, np.unique(states, axis=0))
