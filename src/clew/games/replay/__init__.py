"""The replay database: rows that actors write and a learner reads, in SQLite or PostgreSQL."""

from __future__ import annotations

from clew.databases import UnavailableError as ReplayUnavailableError
from clew.databases import is_file, without_password
from clew.games.replay.store import Replay
from clew.games.replay.transitions import Position, Transition, as_floats
from clew.games.rules import GameInfo

__all__ = [
    "Position",
    "Replay",
    "ReplayUnavailableError",
    "Transition",
    "as_floats",
    "find_info",
    "is_file",
    "open_replay",
    "without_password",
]

open_replay = Replay.open


def find_info(replay: Replay, env_id: str) -> GameInfo:
    """`Replay.info`."""
    return replay.info(env_id)
