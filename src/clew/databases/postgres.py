"""The connection to a PostgreSQL server: made again when lost, its errors told as sentences, its password never."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.core.waiting import Pauses
from clew.databases.addresses import unreadable, without_password
from clew.databases.schema import Schema, UnavailableError

if TYPE_CHECKING:
    import psycopg

PATIENCE_SECONDS = 120.0
"""How long a lost server is waited for."""
LONGEST_PAUSE = 2.0
LOCK = 0x636C6577
"""Names the advisory lock under which tables are made and changed."""

_T = TypeVar("_T")
_log = logging.getLogger("clew.databases")

_PASSING = ("57P01", "57P02", "57P03", "08", "40", "53300", "55006")
"""Beginnings of SQLSTATEs that pass by: a shutdown, a lost connection, a deadlock, too many connections."""
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "clew",
}


class AlreadyThereError(Exception):
    """A row was to be written whose id is there."""


class Address:
    """A server's database as a URL names it: how to reach it, and what its errors mean to a user."""

    def __init__(self, url: str) -> None:
        """Raises `UsageError` for a URL that cannot be read, and where psycopg is not installed."""
        try:
            import psycopg
        except ImportError as error:
            raise UsageError(
                "A database in PostgreSQL needs the package psycopg: install it with `pip install 'clew[postgres]'`."
            ) from error
        self.psycopg = psycopg
        self.name = without_password(url)
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            given = {"host": "@"}
        if "@" in str(given.get("host", "")) or not str(given.get("port", "1")).isdigit():
            raise unreadable() from None
        self._parameters = {**_DEFAULTS, **{key: str(value) for key, value in given.items() if value is not None}}
        secrets = [str(value) for key, value in given.items() if key in ("password", "sslpassword") and value]
        secrets.append(os.environ.get("PGPASSWORD", ""))
        self._secrets = {*secrets, *map(unquote, secrets)} - {""}

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[Any]:
        """A new connection. Raises what psycopg raises."""
        address = self.psycopg.conninfo.make_conninfo(**self._parameters)
        return self.psycopg.connect(address, autocommit=autocommit)

    def passes(self, error: psycopg.Error) -> bool:
        """Whether it is worth trying again."""
        if error.sqlstate is not None:
            return error.sqlstate.startswith(_PASSING)
        if not isinstance(error, self.psycopg.OperationalError | self.psycopg.InterfaceError):
            return False
        return not self._refused(str(error))

    @staticmethod
    def _refused(text: str) -> bool:
        """Whether a failed connection was turned away, which waiting does not change."""
        return bool(re.search(r"authentication failed|no password|does not exist|pg_hba|resolve host", text))

    def sentence(self, error: psycopg.Error, doing: str) -> ClewError:
        """What went wrong while `doing` something to (to, from, in) the database, and what to do about it."""
        text, state = str(error), error.sqlstate or ""
        if "authentication failed" in text or "no password" in text:
            return EvidenceError(
                f"{self.name}: the server refuses this user or this password. Check both (the password may stand in "
                "the URL, in PGPASSWORD or in ~/.pgpass)."
            )
        if not state and (match := re.search(r'(database|role) "([^"]*)" does not exist', text)):
            what = "database" if match[1] == "database" else "user"
            advice = f"Make it with `createdb {match[2]}`" if what == "database" else "Check the name"
            return EvidenceError(f"{self.name}: there is no such {what} on the server. {advice}.")
        if "resolve host" in text:
            return UnavailableError(f"{self.name}: the name of the server is not known. Check the URL.")
        if state == "53100":
            return UnavailableError(
                f"Could not {doing} {self.name}. The server's disk is full. Nothing of it was written: free some space "
                "and try again."
            )
        if state == "42501":
            return EvidenceError(
                f"Could not {doing} {self.name}. The server does not permit it to this user ({self._said(text)}). Ask "
                "the owner of the tables for the right, or to run the command once."
            )
        if not state or self.passes(error):
            return UnavailableError(
                f"Could not {doing} {self.name}: the server does not answer. Is it running, and is the address right? "
                f"It was: {self._said(text)}."
            )
        return EvidenceError(f"Could not {doing} {self.name}. The server says: {self._said(text)}.")

    def _said(self, text: str) -> str:
        """The first line of what the server said, with the password blotted out."""
        line = (text.strip().splitlines() or ["nothing"])[0].strip().rstrip(".")
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


class Link:
    """One connection to the database of a URL."""

    def __init__(self, url: str, prepare: Callable[[psycopg.Connection[Any]], None]) -> None:
        """`prepare` is done with each new connection. Raises a sentence where the first one cannot be made."""
        self._address = Address(url)
        self._psycopg = self._address.psycopg
        self.name = self._address.name
        self._prepare = prepare
        self._connection: psycopg.Connection[Any] | None = None
        self.run("open", lambda _: None, patience=0.0)

    def close(self) -> None:
        """Close the connection; the next use makes a new one."""
        if self._connection is not None:
            with contextlib.suppress(self._psycopg.Error):
                self._connection.close()
            self._connection = None

    def run(
        self, doing: str, work: Callable[[psycopg.Connection[Any]], _T], *, patience: float = PATIENCE_SECONDS
    ) -> _T:
        """Do `work` in one transaction; all of it again when the server went away meanwhile.

        So `work` may be done though its transaction had been committed already; a row that is there raises
        `AlreadyThereError`. Raises `UnavailableError` when the server does not come back within `patience`
        seconds, and `EvidenceError` for what the server refuses.
        """
        pauses, told = Pauses(LONGEST_PAUSE, patience), False
        while True:
            try:
                connection = self._connected()
                with connection.transaction():
                    result = work(connection)
                if told:
                    _log.warning("%s answers again.", self.name)
                return result
            except self._psycopg.errors.UniqueViolation as error:
                raise AlreadyThereError from error
            except self._psycopg.Error as error:
                if not self._address.passes(error):
                    raise self._address.sentence(error, doing) from None
                self.close()
                if not pauses.take():
                    raise self._address.sentence(error, doing) from None
                if not told:
                    _log.warning("%s was lost; trying again for up to %g seconds.", self.name, patience)
                    told = True

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            # Each piece of work is a transaction of its own; nothing stays open between.
            connection = self._address.connect(autocommit=True)
            try:
                with connection.transaction():
                    self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def columns_of(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """Type of each column of a table; none where it is absent."""
    return dict(
        connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            [table],
        ).fetchall()
    )


def make_tables(connection: psycopg.Connection[Any], schema: Schema, *tables: str) -> None:
    """Make `tables` of `schema` (none: all) where they are absent; for use within a transaction.

    Two processes that do it at once wait for one another: else each would get in the other's way.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    for statement in schema.statements("postgresql", *tables):
        connection.execute(statement)
