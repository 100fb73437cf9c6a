"""The replay database in an SQLite file: many writing processes, one file, and readers that never wait for them.

Rows are inserted under the file's one write lock, so rowids grow in the order of commits, and a reader follows them.
Each process may come and go, and the file may be deleted, replaced or vacuumed under it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from clew.core import files
from clew.core.errors import ClewError, EvidenceError
from clew.games.replay.sqlite_errors import is_busy, sentence
from clew.games.replay.transitions import (
    COLUMNS,
    METADATA,
    Position,
    ReplayUnavailableError,
    Transition,
    check_episode,
    clash,
    follow_trail,
    from_row,
    make_info,
    same_rows,
    to_row,
)
from clew.games.rules import GameInfo

SCHEMA = """
CREATE TABLE IF NOT EXISTS transitions (
    id TEXT PRIMARY KEY,
    env_id TEXT NOT NULL,
    episode_id TEXT NOT NULL,
    step_number INTEGER NOT NULL,
    state BLOB NOT NULL,
    action BLOB NOT NULL,
    next_state BLOB NOT NULL,
    observation BLOB NOT NULL,
    next_observation BLOB NOT NULL,
    reward REAL NOT NULL,
    done INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    policy_probs BLOB,
    mcts_value REAL DEFAULT 0.0,
    game_outcome REAL,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_transitions_timestamp ON transitions(timestamp);
CREATE INDEX IF NOT EXISTS idx_transitions_episode ON transitions(episode_id);
CREATE TABLE IF NOT EXISTS game_metadata (
    env_id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    board_width INTEGER NOT NULL,
    board_height INTEGER NOT NULL,
    num_actions INTEGER NOT NULL,
    obs_size INTEGER NOT NULL,
    legal_mask_offset INTEGER NOT NULL,
    player_count INTEGER NOT NULL,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
"""

BUSY_SECONDS = 10.0
"""How long SQLite itself waits for another process's lock, each time."""
PATIENCE_SECONDS = 300.0
"""How long a lock is waited for in all."""
EPISODES_AT_ONCE = 256
"""Episodes deleted in one transaction, so that writers get their turn between."""

Identity = tuple[int, int]
_T = TypeVar("_T")
_log = logging.getLogger("clew.replay")
_SELECT = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO transitions ({_SELECT}) VALUES ({', '.join('?' * len(COLUMNS))})"


class SqliteReplay:
    """A replay database in the file `path`; see `Replay` for what its methods do."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path, self._create = path, create
        self._reader: tuple[sqlite3.Connection, Identity] | None = None
        self._writer: tuple[sqlite3.Connection, Identity] | None = None
        self._checked = False
        self._described: dict[str, GameInfo] = {}
        if create:
            self._writing()
        else:
            self._reading()

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    def close(self) -> None:
        """Let go of the file."""
        for each in (self._reader, self._writer):
            if each is not None:
                with contextlib.suppress(sqlite3.Error):
                    each[0].close()
        self._reader = self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a game is

    def upsert_metadata(self, info: GameInfo) -> None:
        """See `Replay`."""
        self._described[info.env_id] = info

        def work(connection: sqlite3.Connection) -> None:
            _make_tables(connection)
            # Tables made by others may keep the time as a number.
            declared = {
                column[1]: column[2].upper() for column in connection.execute("PRAGMA table_info(game_metadata)")
            }
            now = (
                "CAST(strftime('%s', 'now') AS INTEGER)"
                if "INT" in declared.get("updated_at", "")
                else "CURRENT_TIMESTAMP"
            )
            places = ", ".join("?" * len(METADATA))
            renew = ", ".join(f"{column} = excluded.{column}" for column in (*METADATA[1:], "updated_at"))
            connection.execute(
                f"INSERT INTO game_metadata ({', '.join(METADATA)}, updated_at) VALUES ({places}, {now}) "
                f"ON CONFLICT (env_id) DO UPDATE SET {renew}",
                [getattr(info, column) for column in METADATA],
            )

        self._write("describe a game in", work)

    def metadata(self) -> dict[str, GameInfo]:
        """See `Replay`."""

        def work(connection: sqlite3.Connection) -> list[Any]:
            self._require(connection, "game_metadata", METADATA)
            if not _columns(connection, "game_metadata"):
                return []
            return connection.execute(f"SELECT {', '.join(METADATA)} FROM game_metadata ORDER BY env_id").fetchall()

        return {row[0]: make_info(self.name, row) for row in self._read(work)}

    # Rows

    def env_ids(self) -> dict[str, int]:
        """See `Replay`."""
        return dict(
            self._read(
                lambda connection: (
                    connection.execute(
                        "SELECT env_id, COUNT(*) FROM transitions GROUP BY env_id ORDER BY env_id"
                    ).fetchall()
                    if self._has_rows(connection)
                    else []
                )
            )
        )

    def count(self, env_id: str) -> int:
        """See `Replay`."""

        def work(connection: sqlite3.Connection) -> int:
            if not self._has_rows(connection):
                return 0
            found = connection.execute("SELECT COUNT(*) FROM transitions WHERE env_id = ?", [env_id]).fetchone()
            return int(found[0])

        return self._read(work)

    def append(self, episode: Sequence[Transition]) -> None:
        """See `Replay`."""
        if not episode:
            return
        check_episode(episode)
        values = [to_row(row) for row in episode]

        def work(connection: sqlite3.Connection) -> None:
            try:
                connection.executemany(_INSERT, values)
            except sqlite3.IntegrityError as error:
                written = connection.execute(
                    f"SELECT {_SELECT} FROM transitions WHERE episode_id = ?", [episode[0].episode_id]
                ).fetchall()
                if "UNIQUE" not in str(error):
                    raise
                if not same_rows(written, values):
                    raise clash(self.name, episode) from error

        self._write(f"write episode {episode[0].episode_id} to", work)

    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """See `Replay`."""
        head = after["head"] if after else None
        trail = after["trail"] if after else []

        def work(connection: sqlite3.Connection) -> tuple[list[Any], Any, Any]:
            if not self._has_rows(connection):
                return [], [], None
            connection.execute("BEGIN")
            try:
                start = _find_place(connection, [*([head] if head else []), *trail])
                found = connection.execute(
                    f"SELECT rowid, {_SELECT} FROM transitions WHERE rowid > ? AND env_id = ? ORDER BY rowid LIMIT ?",
                    [start or 0, env_id, limit],
                ).fetchall()
                newest = connection.execute("SELECT rowid, id FROM transitions ORDER BY rowid DESC LIMIT 1").fetchone()
            finally:
                connection.execute("ROLLBACK")
            return found, trail if start is not None else [], newest

        while True:
            # A file that was replaced is read to its end before its successor is: what was committed is not lost.
            found, kept, newest = self._read(work, current=False)
            if len(found) == limit or self._is_current():
                break
            if found:
                newest = None
                break
            self._reading()
        rows = [from_row(values[1:]) for values in found]
        kept = follow_trail(kept, rows, [values[0] for values in found])
        if len(found) == limit or newest is None:
            return rows, {"head": kept[0] if kept else None, "trail": kept}
        # Rows of other games up to here need not be looked at again.
        return rows, {"head": list(newest), "trail": kept}

    def delete_older(self, env_id: str, keep: int) -> int:
        """See `Replay`."""
        if keep <= 0:
            return self.clear(env_id)

        def doomed(connection: sqlite3.Connection) -> list[str]:
            if not self._has_rows(connection):
                return []
            oldest_kept = connection.execute(
                "SELECT rowid FROM transitions WHERE env_id = ? ORDER BY rowid DESC LIMIT 1 OFFSET ?",
                [env_id, keep - 1],
            ).fetchone()
            if oldest_kept is None:
                return []
            older = connection.execute(
                "SELECT DISTINCT episode_id FROM transitions WHERE env_id = ? AND rowid < ?", [env_id, *oldest_kept]
            )
            newer = connection.execute(
                "SELECT DISTINCT episode_id FROM transitions WHERE env_id = ? AND rowid >= ?", [env_id, *oldest_kept]
            )
            kept = {row[0] for row in newer}
            return [row[0] for row in older if row[0] not in kept]

        return self._delete(env_id, self._read(doomed))

    def clear(self, env_id: str) -> int:
        """See `Replay`."""

        def doomed(connection: sqlite3.Connection) -> list[str]:
            if not self._has_rows(connection):
                return []
            found = connection.execute("SELECT DISTINCT episode_id FROM transitions WHERE env_id = ?", [env_id])
            return [row[0] for row in found]

        return self._delete(env_id, self._read(doomed))

    def _delete(self, env_id: str, episodes: Sequence[str]) -> int:
        deleted = 0
        for begin in range(0, len(episodes), EPISODES_AT_ONCE):
            chosen = episodes[begin : begin + EPISODES_AT_ONCE]
            places = ", ".join("?" * len(chosen))

            def work(connection: sqlite3.Connection, chosen: Sequence[str] = chosen, places: str = places) -> int:
                return connection.execute(
                    f"DELETE FROM transitions WHERE env_id = ? AND episode_id IN ({places})", [env_id, *chosen]
                ).rowcount

            deleted += self._write("delete rows from", work)
        return deleted

    # Connections

    def _read(self, work: Callable[[sqlite3.Connection], _T], *, current: bool = True) -> _T:
        """Do `work` with a connection that reads; `current` False: the one at hand, though its file was replaced."""
        return self._patiently(
            "read", lambda: work(self._reading() if current or self._reader is None else self._reader[0])
        )

    def _write(self, doing: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` in one transaction; again where the file was deleted or replaced meanwhile."""

        def attempt() -> _T:
            connection = self._writing()
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
            if self._writer[1] == _identity(self._path):
                return result

    def _patiently(self, doing: str, attempt: Callable[[], _T]) -> _T:
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.001
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise sentence(error, self._path, doing) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _is_current(self) -> bool:
        return self._reader is not None and self._reader[1] == _identity(self._path)

    def _reading(self) -> sqlite3.Connection:
        """The connection that reads the file which now has the path."""
        if self._reader is not None and self._is_current():
            return self._reader[0]
        identity = _identity(self._path)
        if identity is None:
            raise self._gone()
        if self._reader is not None:
            self._reader[0].close()
            self._reader, self._checked = None, False
        with _sentences(self._path, "read"):
            self._reader = (_open_to_read(self._path), identity)
        return self._reader[0]

    def _writing(self) -> sqlite3.Connection:
        """The connection that writes the file which now has the path; made anew if it may and must be."""
        identity, identity_before = _identity(self._path), None
        if self._writer is not None:
            if self._writer[1] == identity:
                return self._writer[0]
            identity_before = self._writer[1]
            self._writer[0].close()
            self._writer = None
            if identity is None and self._create:
                _log.warning("%s was deleted while it was in use; it is made anew.", self._path)
        if identity is None:
            if not self._create:
                raise self._gone()
            _make_file(self._path)
            identity = _identity(self._path)
            if identity is None:
                raise self._gone()
        with _sentences(self._path, "open"):
            connection = _connect(self._path, "rw")
        self._writer = (connection, identity)

        def prepare() -> None:
            if self._create and not _columns(connection, "transitions"):
                _make_tables(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            # Readers do not wait for writers in this mode; a file system that lacks it does without.
            connection.execute("PRAGMA journal_mode = WAL").fetchall()

        self._patiently("open", prepare)
        self._require(connection, "transitions", COLUMNS)
        if identity_before is not None and identity_before != identity:
            for info in list(self._described.values()):
                self.upsert_metadata(info)
        return connection

    def _gone(self) -> ReplayUnavailableError:
        return ReplayUnavailableError(
            f"There is no replay database {self._path}. Start an actor, which makes it (clew actor --db {self._path}), "
            "or check the path."
        )

    def _has_rows(self, connection: sqlite3.Connection) -> bool:
        """Whether the table `transitions` is there; a database that holds nothing yet is empty, not wrong."""
        if not self._checked:
            self._checked = self._require(connection, "transitions", COLUMNS)
        return self._checked

    def _require(self, connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> bool:
        """Whether the table is there with the columns it must have. Raises `EvidenceError` for a foreign schema."""
        with _sentences(self._path, "read"):
            there = _columns(connection, table)
            others = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for column in columns:
            if there and column not in there:
                raise EvidenceError(
                    f"{self._path}: the table {table} has no column {column}. It must have: {', '.join(columns)}."
                )
        strangers = sorted(row[0] for row in others if row[0] != "game_metadata" and not row[0].startswith("sqlite_"))
        if not there and table == "transitions" and strangers:
            raise EvidenceError(
                f"{self._path} is no replay database: it has no table transitions, but {', '.join(strangers[:5])}. "
                "Check the path."
            )
        return bool(there)


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _connect(path: Path, mode: str, extra: str = "") -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode={mode}{extra}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # One id that is no UTF-8 must not keep the other rows from being read.
    connection.text_factory = lambda content: content.decode("utf-8", "replace")
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, unless a writer died and left work that only a writing one can undo."""
    try:
        return _connect(path, "ro")
    except sqlite3.OperationalError as refused:
        if is_busy(refused):
            raise
    try:
        return _connect(path, "rw")
    except sqlite3.OperationalError:
        wal = path.with_name(path.name + "-wal")
        if wal.is_file() and wal.stat().st_size:
            raise
        # A read-only folder, where nobody can be writing.
        return _connect(path, "ro", "&immutable=1")


def _make_file(path: Path) -> None:
    """Make an empty replay database at `path`, whole or not at all; one that another process makes first is kept."""
    with files.sentences_for(path, "make the replay database"):
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
                with contextlib.closing(_connect(temporary, "rw")) as connection:
                    connection.execute("PRAGMA journal_mode = WAL").fetchall()
                    connection.executescript(SCHEMA)
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


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, SCHEMA.split(";")):
        connection.execute(statement)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _find_place(connection: sqlite3.Connection, trail: Sequence[Sequence[Any]]) -> int | None:
    """The rowid of the newest row of the trail that is still there; None where all that is there is unread."""
    for rowid, identifier in trail:
        there = connection.execute("SELECT id FROM transitions WHERE rowid = ?", [rowid]).fetchone()
        if there is not None and there[0] == identifier:
            return int(rowid)
        # VACUUM and a restored dump number rows anew, in the same order; a larger number is a row written again.
        moved = connection.execute("SELECT rowid FROM transitions WHERE id = ?", [identifier]).fetchone()
        if moved is not None and moved[0] <= rowid:
            return int(moved[0])
    return None


@contextlib.contextmanager
def _sentences(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise sentence(error, path, doing) from error
    except OSError as error:
        raise ClewError(f"Could not {doing} {path}: {error.strerror or error}.") from error
