"""The replay database: rows that actors write and a learner reads, in SQLite or PostgreSQL."""

from __future__ import annotations

from clew.databases import UnavailableError as ReplayUnavailableError
from clew.databases import is_file, without_password
from clew.games.replay.store import Replay
from clew.games.replay.transitions import Position, Transition, as_floats

__all__ = [
    "Position",
    "Replay",
    "ReplayUnavailableError",
    "Transition",
    "as_floats",
    "is_file",
    "without_password",
]
