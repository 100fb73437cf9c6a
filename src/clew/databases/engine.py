"""SQLAlchemy's engine for an SQLite file or a PostgreSQL server: transactions, patience, errors as sentences.

with Database("data/traces.db", what="trace store", create=True) as database:
    with database.writing("write into") as connection:
        connection.execute(insert(table), rows)
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine

from clew.core import files
from clew.core.errors import ClewError, EvidenceError
from clew.databases import sqlite_errors
from clew.databases.addresses import is_file, is_postgres, no_address, path_of
from clew.databases.postgres import LOCK, Address
from clew.databases.schema import UnavailableError
from clew.databases.sqlite import Identity, connect, identity_of, open_to_read

LOCKED_MILLISECONDS = 30_000
"""How long a lock that another process holds on an SQLite file is waited for."""
_WRITES = "clew_writes"
_ONCE = 64
"""Connections at once: a server has a thread for each request at work."""


class Database:
    """A database to be read and written by many threads. What an SQLite file is asked to write is written in turn."""

    def __init__(self, where: str | Path, *, what: str, create: bool = False) -> None:
        """`what` is how a message calls such a database; `create`: an SQLite file that is absent is made, empty.

        Raises `UsageError` for an address of another kind; a missing database is told at its first use.
        """
        self.what = what
        self.path: Path | None = None
        """The SQLite file; None on a server."""
        self._writers = threading.Lock()
        self._identity: Identity | None = None
        self._check: Callable[[Connection], None] = lambda connection: None
        if is_file(where):
            self.path = path_of(where)
            self.name = str(self.path)
            if create:
                self._make_file(self.path)
            self.engine = sa.create_engine(
                "sqlite://", creator=self._connect_to_file, poolclass=sa.QueuePool, pool_size=_ONCE, max_overflow=0
            )
            event.listen(self.engine, "begin", _begin)
        elif is_postgres(where):
            self._address = Address(str(where))
            self.name = self._address.name
            self.engine = sa.create_engine(
                "postgresql+psycopg://",
                creator=self._address.connect,
                pool_size=4,
                max_overflow=8,
                pool_timeout=60,
                pool_pre_ping=True,
            )
        else:
            raise no_address(where, what)

    @staticmethod
    def _make_file(path: Path) -> None:
        with files.sentences_for(path, "make the database"):
            if files.is_file(path.parent):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            path.parent.mkdir(parents=True, exist_ok=True)
            if not files.exists(path):
                path.touch()

    def _connect_to_file(self) -> sqlite3.Connection:
        assert self.path is not None
        if not files.exists(self.path):
            raise UnavailableError(f"There is no {self.what} {self.path}. Check the path.")
        identity = identity_of(self.path)
        if self._identity is not None and identity != self._identity:
            raise UnavailableError(
                f"{self.path} was deleted or replaced while it was in use. Nothing more is written: put it back, or "
                "start again."
            )
        try:
            connection = connect(self.path, "rw")
        except sqlite3.OperationalError as refused:
            if sqlite_errors.is_busy(refused):
                raise
            connection = open_to_read(self.path)
        connection.text_factory = str
        connection.execute(f"PRAGMA busy_timeout = {LOCKED_MILLISECONDS}")
        try:
            # Readers do not wait for writers in this mode; a file system that lacks it does without.
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as refused:
            if sqlite_errors.code_of(refused) != sqlite3.SQLITE_READONLY:
                raise
        # What was answered as written outlives a power cut too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        self._identity = identity
        return connection

    @contextlib.contextmanager
    def reading(self, doing: str = "read") -> Iterator[Connection]:
        """A connection within one transaction that sees one state of the database. What it writes is undone."""
        with self._sentences(doing), self.engine.connect() as connection:
            self._still_there()
            if self.path is None:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin() as transaction:
                yield connection
                transaction.rollback()

    @contextlib.contextmanager
    def writing(self, doing: str = "write into") -> Iterator[Connection]:
        """A connection within one transaction, which is on the disk when the block is left, or undone if it raises.

        A row that breaks a constraint raises SQLAlchemy's `IntegrityError`; all else a sentence.
        """
        with self._turn(), self._sentences(doing), self.engine.connect() as connection:
            self._still_there()
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection
            self._still_there()

    def alone(self, connection: Connection) -> None:
        """Within a transaction that writes: wait until no other one that has called this goes on."""
        if self.path is None:  # An SQLite file has one writer anyhow.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))

    def _turn(self) -> contextlib.AbstractContextManager[Any]:
        return self._writers if self.path is not None else contextlib.nullcontext()

    def _still_there(self) -> None:
        """A file that lost its name would take what is written with it."""
        if self.path is not None and identity_of(self.path) != self._identity:
            self.engine.dispose()
            raise UnavailableError(
                f"{self.path} was deleted or replaced while it was in use. Nothing more is written: put it back, or "
                "start again."
            )

    @contextlib.contextmanager
    def _sentences(self, doing: str) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise
        except exc.DBAPIError as error:
            raise self._sentence(error.orig, doing) from None
        except exc.TimeoutError as error:
            raise UnavailableError(
                f"Could not {doing} {self.name}: too many ask for it at once. Try again in a moment."
            ) from error
        except UnicodeDecodeError as error:
            assert self.path is not None
            raise sqlite_errors.damaged(self.path, "its schema is no text") from error

    def _sentence(self, error: BaseException | None, doing: str) -> ClewError:
        if isinstance(error, sqlite3.Error) and self.path is not None:
            return sqlite_errors.sentence(error, self.path, doing)
        if self.path is None and isinstance(error, self._address.psycopg.Error):
            return self._address.sentence(error, doing)
        return EvidenceError(f"Could not {doing} {self.name}: {error}.")

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _begin(connection: Connection) -> None:
    # Whoever will write says so at once: one that has read first may find that it cannot.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


__all__ = ["Connection", "Database", "Engine"]
