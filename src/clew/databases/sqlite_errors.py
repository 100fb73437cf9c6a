"""What SQLite's errors mean to a user, as sentences."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from clew.core.errors import ClewError, EvidenceError
from clew.databases.schema import UnavailableError

_PRIMARY = 0xFF
"""The low byte of SQLite's extended codes says which kind of error it is."""

_PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""What somebody may mend while a program waits."""


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where Python itself raised the error."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds a lock, or changes the schema, and trying again will do."""
    return code_of(error) in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
    )


def sentence(error: sqlite3.Error, path: Path, doing: str) -> ClewError:
    """What went wrong while `doing` something to (to, from, in) the database at `path`, and what to do about it."""
    code = code_of(error)
    if code == sqlite3.SQLITE_NOTADB:
        return EvidenceError(f"{path} is not an SQLite database: file is not a database. Check the path.")
    if code == sqlite3.SQLITE_CORRUPT:
        return damaged(path, str(error))
    told = {
        sqlite3.SQLITE_FULL: "The disk is full. Nothing of it was written: free some space and try again.",
        sqlite3.SQLITE_IOERR: (
            "The system refused to read or write the file (disk I/O error): the disk may be full, or a quota or a "
            "limit on the size of files may be reached. Nothing of it was written: mend that and try again."
        ),
        sqlite3.SQLITE_READONLY: "It cannot be written: change the mode or the owner of the file and its folder.",
        sqlite3.SQLITE_PERM: "Permission is denied: change the mode or the owner of the file and its folder.",
        sqlite3.SQLITE_CANTOPEN: "It cannot be opened: check that it is a file, and the mode of it and of its folder.",
        sqlite3.SQLITE_BUSY: "Another process keeps it locked for minutes: end that process.",
        sqlite3.SQLITE_LOCKED: "Another process keeps it locked for minutes: end that process.",
    }.get(code, f"SQLite says: {error}.")
    kind = UnavailableError if code in _PASSING else EvidenceError
    return kind(f"Could not {doing} {path}. {told}")


def damaged(path: Path, said: str) -> EvidenceError:
    """What is said of a file that is no longer what SQLite wrote."""
    return EvidenceError(
        f"{path} is damaged: {said}. Keep a copy, and save what can be read with "
        f"`sqlite3 {path} .recover | sqlite3 recovered.db`."
    )
