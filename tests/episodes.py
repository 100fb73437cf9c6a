"""Random games as episodes of the replay database, and rows written as a program in another language writes them."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clew.games.replay import Transition
from clew.games.rules import find_game

CONTRACT = """
CREATE TABLE transitions (
    id TEXT PRIMARY KEY, env_id TEXT NOT NULL, episode_id TEXT NOT NULL, step_number INTEGER NOT NULL,
    state BLOB NOT NULL, action BLOB NOT NULL, next_state BLOB NOT NULL, observation BLOB NOT NULL,
    next_observation BLOB NOT NULL, reward REAL NOT NULL, done INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    policy_probs BLOB, mcts_value REAL DEFAULT 0.0, game_outcome REAL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_transitions_timestamp ON transitions(timestamp);
CREATE INDEX idx_transitions_episode ON transitions(episode_id);
"""
"""The table as it is agreed on, typed by hand; the database of a program that knows of no game_metadata."""

COLUMNS = (
    *("id", "env_id", "episode_id", "step_number", "state", "action", "next_state", "observation", "next_observation"),
    *("reward", "done", "timestamp", "policy_probs", "mcts_value", "game_outcome"),
)


def random_episode(
    number: int, env_id: str = "tictactoe", actor: str = "actor", unix: int = 1_700_000_000, *, opening: int = 0
) -> list[Transition]:
    """A game between random players; the same number gives the same game. Its first `opening` moves are left out."""
    game = find_game(env_id)
    random = np.random.default_rng([number, len(actor), *actor.encode()])
    state = game.initial()
    states, actions = [state[0]], []
    while not game.winner(state)[0]:
        actions.append(int(random.choice(np.flatnonzero(game.legal_mask(state)[0]))))
        state = game.play(state, [actions[-1]])
        states.append(state[0])
    states, actions = states[opening:], actions[opening:]
    observations = game.observe(np.stack(states))
    final_reward, moves = float(game.rewards(state)[0]), len(actions)
    episode_id = f"{actor}-ep-{number}-{unix}"
    episode = []
    for step, action in enumerate(actions):
        legal = observations[step, game.legal_mask_offset : game.legal_mask_offset + game.num_actions]
        weights = (random.random(game.num_actions) + 0.01) * legal
        episode.append(
            Transition(
                id=f"{episode_id}-step-{step}",
                env_id=env_id,
                episode_id=episode_id,
                step_number=step,
                state=game.to_blob(states[step]),
                action=action,
                next_state=game.to_blob(states[step + 1]),
                observation=observations[step],
                next_observation=observations[step + 1],
                reward=final_reward if step == moves - 1 else 0.0,
                done=step == moves - 1,
                timestamp=unix + 100 * number + step,
                policy_probs=(weights / weights.sum()).astype(np.float32),
                mcts_value=float(random.uniform(-1, 1)),
                game_outcome=final_reward * (-1) ** (moves - 1 - step) + 0.0,
            )
        )
    return episode


def by_hand(row: Transition) -> dict[str, Any]:
    """The columns of a row as a program that knows the byte layout only would write them."""

    def floats(values: Any) -> bytes:
        return struct.pack(f"<{len(values)}f", *[float(value) for value in values])

    return {
        **{name: getattr(row, name) for name in COLUMNS},
        "action": struct.pack("<I", row.action),
        "observation": floats(row.observation),
        "next_observation": floats(row.next_observation),
        "done": 1 if row.done else 0,
        "policy_probs": None if row.policy_probs is None else floats(row.policy_probs),
    }


def foreign_database(path: Path, rows: Iterable[Transition | dict[str, Any]]) -> Path:
    """An SQLite file made and filled without Clew's replay code, one row after the other."""
    connection = sqlite3.connect(path)
    connection.executescript(CONTRACT)
    for row in rows:
        values = row if isinstance(row, dict) else by_hand(row)
        connection.execute(
            f"INSERT INTO transitions ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
            list(values.values()),
        )
    connection.commit()
    connection.close()
    return path


def fingerprint(rows: Sequence[Transition]) -> set[str]:
    """A hash of each row's bytes, as read or as to be written."""
    hashes = set()
    for row in rows:
        plain = (
            by_hand(row)
            if not isinstance(row.observation, bytes)
            else {
                **{name: getattr(row, name) for name in COLUMNS},
                "action": struct.pack("<I", row.action),
                "done": 1 if row.done else 0,
            }
        )
        hashes.add(hashlib.sha256(repr(sorted(plain.items())).encode()).hexdigest())
    return hashes
