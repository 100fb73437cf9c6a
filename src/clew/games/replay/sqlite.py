"""The replay database in an SQLite file: many writing processes, one file, and readers that never wait for them.

Rows are inserted under the file's one write lock, so rowids grow in the order of commits, and a reader follows them.
Each process may come and go, and the file may be deleted, replaced or vacuumed under it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clew.databases.sqlite import SqliteFile, columns_of, make_tables
from clew.games.replay.schema import COLUMNS, METADATA, SCHEMA, upsert_statement
from clew.games.replay.store import Replay
from clew.games.replay.transitions import (
    Position,
    Transition,
    as_text,
    check_episode,
    clash,
    follow_trail,
    from_row,
    same_rows,
    to_row,
)
from clew.games.rules import GameInfo

_SELECT = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO transitions ({_SELECT}) VALUES ({', '.join('?' * len(COLUMNS))})"
_NEWEST = "SELECT rowid, id FROM transitions ORDER BY rowid DESC LIMIT 1"
_NEWEST_OF_GAME = "SELECT rowid, id FROM transitions WHERE env_id = ? ORDER BY rowid DESC LIMIT 1"


class SqliteReplay(Replay):
    """A replay database in the file `path`."""

    _columns = _SELECT
    _key = _key_columns = "rowid"
    _key_value = "?"
    _newest_first = "rowid DESC"

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.name = str(path)
        self._described: dict[str, GameInfo] = {}
        self._file = SqliteFile(path, SCHEMA, create=create, made_anew=self._describe_again)
        self._file.open()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def upsert_metadata(self, info: GameInfo) -> None:
        """See `Replay`."""
        self._described[info.env_id] = info

        def work(connection: sqlite3.Connection) -> None:
            if not self._file.has(connection, "game_metadata"):
                make_tables(connection, SCHEMA, "game_metadata")
            columns = columns_of(connection, "game_metadata")
            # Tables made by others may keep the time as a number.
            whole = "INT" in columns.get("updated_at", "")
            now = "CAST(strftime('%s', 'now') AS INTEGER)" if whole else "CURRENT_TIMESTAMP"
            connection.execute(upsert_statement(columns, now), [getattr(info, column) for column in METADATA])

        self._file.write("describe a game in", work)

    def _describe_again(self) -> None:
        for info in list(self._described.values()):
            self.upsert_metadata(info)

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

        self._file.write(f"write episode {episode[0].episode_id} to", work)

    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """See `Replay`."""
        head = after["head"] if after else None
        trail = after["trail"] if after else []

        def work(connection: sqlite3.Connection) -> tuple[list[Any], Any, Any]:
            if not self._file.has_rows(connection):
                return [], [], None
            connection.execute("BEGIN")
            try:
                start = _find_place(connection, [*([head] if head else []), *trail])
                found = connection.execute(
                    f"SELECT rowid, {_SELECT} FROM transitions WHERE rowid > ? AND env_id = ? ORDER BY rowid LIMIT ?",
                    [start or 0, env_id, limit],
                ).fetchall()
                newest = connection.execute(_NEWEST).fetchone()
            finally:
                connection.execute("ROLLBACK")
            return found, trail if start is not None else [], newest

        while True:
            # A file that was replaced is read to its end before its successor is: what was committed is not lost.
            found, kept, newest = self._file.read(work, current=False)
            if len(found) == limit or self._file.is_current():
                break
            if found:
                newest = None
                break
            self._file.reading()
        rows = [from_row(values[1:]) for values in found]
        kept = follow_trail(kept, rows, [values[0] for values in found])
        if len(found) == limit or newest is None:
            return rows, {"head": kept[0] if kept else None, "trail": kept}
        # Rows of other games up to here need not be looked at again.
        return rows, {"head": [newest[0], as_text(newest[1])], "trail": kept}

    def end(self, env_id: str) -> Position:
        """See `Replay`."""
        last = self._find(_NEWEST_OF_GAME, [env_id])
        trail = [[rowid, as_text(identifier)] for rowid, identifier in last]
        return {"head": trail[0] if trail else None, "trail": trail}

    def _find(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._found("transitions", query, values)

    def _find_metadata(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._found("game_metadata", query, values)

    def _found(self, table: str, query: str, values: Sequence[Any]) -> list[Any]:
        def work(connection: sqlite3.Connection) -> list[Any]:
            there = self._file.has_rows(connection) if table == SCHEMA.main else self._file.has(connection, table)
            return connection.execute(query, values).fetchall() if there else []

        return self._file.read(work)

    def _delete(self, where: str, values: Sequence[Any]) -> int:
        def work(connection: sqlite3.Connection) -> int:
            if not self._file.has(connection, SCHEMA.main):
                return 0
            return connection.execute(f"DELETE FROM transitions WHERE {where}", values).rowcount

        return self._file.write("delete rows from", work)


def _find_place(connection: sqlite3.Connection, trail: Sequence[Sequence[Any]]) -> int | None:
    """The rowid of the newest row of the trail that is still there; None where all that is there is unread."""
    for rowid, identifier in trail:
        there = connection.execute("SELECT id FROM transitions WHERE rowid = ?", [rowid]).fetchone()
        if there is not None and as_text(there[0]) == identifier:
            return int(rowid)
        # VACUUM and a restored dump number rows anew, in the same order; a larger number is a row written again.
        moved = connection.execute("SELECT rowid FROM transitions WHERE id = ?", [identifier]).fetchone()
        if moved is not None and moved[0] <= rowid:
            return int(moved[0])
    return None
