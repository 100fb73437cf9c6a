"""An SQLite file and its connections: opened patiently, made whole, and opened anew when the file was replaced."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from clew.core import files
from clew.core.errors import EvidenceError
from clew.core.waiting import Pauses
from clew.databases.schema import Schema, UnavailableError, check_columns
from clew.databases.sqlite_errors import damaged, is_busy, sentence

BUSY_SECONDS = 10.0
"""How long SQLite itself waits for another process's lock, each time."""
PATIENCE_SECONDS = 300.0
"""How long a lock is waited for in all."""
Identity = tuple[int, int]
_T = TypeVar("_T")
_log = logging.getLogger("clew.databases")


class SqliteFile:
    """Connections to the file which has the `path` at the time: one that reads, and one that writes."""

    def __init__(self, path: Path, schema: Schema, *, create: bool, made_anew: Callable[[], None]) -> None:
        """`create`: make the file where it is absent. `made_anew` is called when another file took its place."""
        self.path, self._schema, self._create, self._made_anew = path, schema, create, made_anew
        self._reader: tuple[sqlite3.Connection, Identity] | None = None
        self._writer: tuple[sqlite3.Connection, Identity] | None = None
        self._checked = False
        self._renew = False

    def open(self) -> None:
        """Open the file, to write if it may be made, else to read."""
        self._patiently("open", self.writing if self._create else self.reading)

    def close(self) -> None:
        """Let go of the file."""
        for each in (self._reader, self._writer):
            if each is not None:
                with contextlib.suppress(sqlite3.Error):
                    each[0].close()
        self._reader = self._writer = None

    def read(self, work: Callable[[sqlite3.Connection], _T], *, current: bool = True) -> _T:
        """Do `work` with a connection that reads; `current` False: the one at hand, though its file was replaced."""
        return self._patiently(
            "read", lambda: work(self.reading() if current or self._reader is None else self._reader[0])
        )

    def write(self, doing: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` in one transaction; again where the file was deleted or replaced meanwhile."""

        def attempt() -> _T:
            connection = self.writing()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back already after some errors, such as a full disk.
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise
            return result

        while True:
            result = self._patiently(doing, attempt)
            assert self._writer is not None
            if self._writer[1] == identity_of(self.path):
                return result

    def _patiently(self, doing: str, attempt: Callable[[], _T]) -> _T:
        pauses = Pauses(0.1, PATIENCE_SECONDS, first=0.001)
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not is_busy(error) or not pauses.take():
                    raise sentence(error, self.path, doing) from error
            except UnicodeDecodeError as error:
                # What SQLite says of a damaged schema quotes it, and Python cannot read that.
                raise damaged(self.path, "its schema is no text") from error

    def is_current(self) -> bool:
        """Whether the connection that reads has the file which now has the path."""
        return self._reader is not None and self._reader[1] == identity_of(self.path)

    def reading(self) -> sqlite3.Connection:
        """The connection that reads the file which now has the path."""
        if self._reader is not None and self.is_current():
            return self._reader[0]
        identity = identity_of(self.path)
        if identity is None:
            raise self._gone()
        if self._reader is not None:
            self._reader[0].close()
            self._reader, self._checked = None, False
        self._reader = (open_to_read(self.path), identity)
        return self._reader[0]

    def writing(self) -> sqlite3.Connection:
        """The connection that writes the file which now has the path; made anew if it may and must be."""
        identity = identity_of(self.path)
        if self._writer is not None:
            if self._writer[1] == identity:
                return self._writer[0]
            self._writer[0].close()
            self._writer, self._renew = None, True
            if identity is None and self._create:
                _log.warning("%s was deleted while it was in use; it is made anew.", self.path)
        if identity is None:
            if not self._create:
                raise self._gone()
            _make_file(self.path, self._schema)
            identity = identity_of(self.path)
            if identity is None:
                raise self._gone()
        connection = connect(self.path, "rw")
        try:
            # Readers do not wait for writers in this mode; a file system that lacks it does without.
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            if self._create and not columns_of(connection, self._schema.main):
                make_tables(connection, self._schema)
            self.has(connection, self._schema.main)
        except BaseException:
            connection.close()
            raise
        self._writer = (connection, identity)
        if self._renew:
            self._renew = False
            self._made_anew()
        return connection

    def _gone(self) -> UnavailableError:
        advice = self._schema.advice.format(path=self.path)
        return UnavailableError(f"There is no {self._schema.what} {self.path}. {advice}")

    def has_rows(self, connection: sqlite3.Connection) -> bool:
        """Whether the main table is there; a database that holds nothing yet is empty, not wrong."""
        if not self._checked:
            self._checked = self.has(connection, self._schema.main)
        return self._checked

    def has(self, connection: sqlite3.Connection, table: str) -> bool:
        """Whether the table is there with the columns it must have. Raises `EvidenceError` for a foreign schema."""
        there = columns_of(connection, table)
        if there:
            check_columns(str(self.path), table, there, self._schema.columns[table])
        elif table == self._schema.main:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            strangers = sorted(row[0] for row in found if not row[0].startswith("sqlite_"))
            strangers = [each for each in strangers if each not in self._schema.columns]
            if strangers:
                raise EvidenceError(
                    f"{self.path} is no {self._schema.what}: it has no table {table}, but {', '.join(strangers[:5])}. "
                    "Check the path."
                )
        return bool(there)


def identity_of(path: Path) -> Identity | None:
    """What tells the file apart from another that gets its path; None where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EvidenceError(f"The database {path} cannot be reached: {error.strerror or error}.") from error
    return status.st_dev, status.st_ino


def connect(path: Path, mode: str, extra: str = "") -> sqlite3.Connection:
    """A connection to the file in SQLite's `mode` "ro", "rw" or "rwc"; the caller begins transactions."""
    if files.exists(path) and not files.is_file(path):
        # To open a pipe would wait for whoever writes into it.
        raise EvidenceError(f"{path} is no file, so it is no SQLite database. Name an ordinary file.")
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}{extra}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # One id that is no UTF-8 must not keep the other rows from being read.
    connection.text_factory = lambda content: content.decode("utf-8", "replace")
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, unless a writer died and left work that only a writing one can undo."""
    try:
        return connect(path, "ro")
    except sqlite3.OperationalError as refused:
        if is_busy(refused):
            raise
    try:
        return connect(path, "rw")
    except sqlite3.OperationalError:
        wal = path.with_name(path.name + "-wal")
        if wal.is_file() and wal.stat().st_size:
            raise
        # A read-only folder, where nobody can be writing.
        return connect(path, "ro", "&immutable=1")


def _make_file(path: Path, schema: Schema) -> None:
    """Make an empty database at `path`, whole or not at all; one that another process makes first is kept."""
    with files.sentences_for(path, f"make the {schema.what}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if path.exists():
                return
            # What a deleted database has left behind would be taken for a part of the new one.
            for ending in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            os.close(descriptor)
            temporary = Path(name)
            try:
                with contextlib.closing(connect(temporary, "rw")) as connection:
                    connection.execute("PRAGMA journal_mode = WAL").fetchall()
                    make_tables(connection, schema)
                temporary.chmod(files.FILE_MODE)
                os.link(temporary, path)
            except FileExistsError:
                return
            except sqlite3.Error as error:
                raise sentence(error, path, "make") from error
            finally:
                for ending in ("", "-wal", "-shm"):
                    temporary.with_name(temporary.name + ending).unlink(missing_ok=True)
        finally:
            os.close(folder)


def make_tables(connection: sqlite3.Connection, schema: Schema, *tables: str) -> None:
    """Make `tables` of `schema` (none: all) where they are absent; for use within a transaction."""
    for statement in schema.statements("sqlite", *tables):
        connection.execute(statement)


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Declared type of each column of a table, in capitals; none where the table is absent."""
    return {row[1]: row[2].upper() for row in connection.execute(f"PRAGMA table_info({table})")}
