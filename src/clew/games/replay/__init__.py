"""The replay database: rows that actors write and a learner reads, in SQLite or PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from clew.core.errors import UsageError
from clew.games.replay.transitions import (
    Position,
    Replay,
    ReplayUnavailableError,
    Transition,
    as_floats,
    find_info,
)

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

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def is_file(where: str | Path) -> bool:
    """Whether `where` names an SQLite file and not a server."""
    return isinstance(where, Path) or where.startswith(_SQLITE) or "://" not in where


def without_password(where: str | Path) -> str:
    """`where` as a message, a log or a manifest may show it."""
    text = str(where)
    if is_file(where):
        return text
    from clew.games.replay.postgres import shown

    return shown(text)


def open_replay(where: str | Path, *, create: bool = False) -> Replay:
    """Open a replay database: a path or `sqlite:///` path for SQLite, a `postgresql://` URL for PostgreSQL.

    `create`: make what is absent, a file with its folder or the tables. Raises `EvidenceError` (a
    `ReplayUnavailableError` where waiting may help) for one that is missing, broken or not a replay database, and
    `UsageError` for a URL of another kind.
    """
    if is_file(where):
        from clew.games.replay.sqlite import SqliteReplay

        return SqliteReplay(Path(str(where).removeprefix(_SQLITE)), create=create)
    if str(where).startswith(_POSTGRES):
        from clew.games.replay.postgres import PostgresReplay

        return PostgresReplay(str(where), create=create)
    scheme = str(where).partition("://")[0]
    raise UsageError(
        f"A replay database is a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE; '{scheme}://' is none of "
        "them."
    )
