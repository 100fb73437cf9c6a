"""The replay database in an SQLite file: many writing processes, one file, and readers that never wait for them.

Rows are inserted under the file's one write lock, so rowids grow in the order of commits, and a reader follows them.
Each process may come and go, and the file may be deleted, replaced or vacuumed under it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clew.games.replay.sqlite_file import SqliteFile, columns_of, make_tables
from clew.games.replay.transitions import (
    COLUMNS,
    METADATA,
    Position,
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

EPISODES_AT_ONCE = 256
"""Episodes deleted in one transaction, so that writers get their turn between."""

_SELECT = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO transitions ({_SELECT}) VALUES ({', '.join('?' * len(COLUMNS))})"


class SqliteReplay:
    """A replay database in the file `path`; see `Replay` for what its methods do."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._described: dict[str, GameInfo] = {}
        self._file = SqliteFile(path, create=create, made_anew=self._describe_again)
        self._file.open()

    @property
    def name(self) -> str:
        """The path."""
        return str(self._file.path)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

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
            make_tables(connection)
            self._file.require(connection, "game_metadata", METADATA)
            # Tables made by others may keep the time as a number.
            kind = columns_of(connection, "game_metadata").get("updated_at")
            now = "CAST(strftime('%s', 'now') AS INTEGER)" if kind and "INT" in kind else "CURRENT_TIMESTAMP"
            columns = METADATA if kind is None else (*METADATA, "updated_at")
            places = ", ".join(["?"] * len(METADATA) + ([] if kind is None else [now]))
            renew = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
            connection.execute(
                f"INSERT INTO game_metadata ({', '.join(columns)}) VALUES ({places}) "
                f"ON CONFLICT (env_id) DO UPDATE SET {renew}",
                [getattr(info, column) for column in METADATA],
            )

        self._file.write("describe a game in", work)

    def _describe_again(self) -> None:
        for info in list(self._described.values()):
            self.upsert_metadata(info)

    def metadata(self) -> dict[str, GameInfo]:
        """See `Replay`."""

        def work(connection: sqlite3.Connection) -> list[Any]:
            self._file.require(connection, "game_metadata", METADATA)
            if not columns_of(connection, "game_metadata"):
                return []
            return connection.execute(f"SELECT {', '.join(METADATA)} FROM game_metadata ORDER BY env_id").fetchall()

        return {row[0]: make_info(self.name, row) for row in self._file.read(work)}

    # Rows

    def env_ids(self) -> dict[str, int]:
        """See `Replay`."""
        return dict(
            self._file.read(
                lambda connection: (
                    connection.execute(
                        "SELECT env_id, COUNT(*) FROM transitions GROUP BY env_id ORDER BY env_id"
                    ).fetchall()
                    if self._file.has_rows(connection)
                    else []
                )
            )
        )

    def count(self, env_id: str) -> int:
        """See `Replay`."""

        def work(connection: sqlite3.Connection) -> int:
            if not self._file.has_rows(connection):
                return 0
            found = connection.execute("SELECT COUNT(*) FROM transitions WHERE env_id = ?", [env_id]).fetchone()
            return int(found[0])

        return self._file.read(work)

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
                newest = connection.execute("SELECT rowid, id FROM transitions ORDER BY rowid DESC LIMIT 1").fetchone()
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
        return rows, {"head": list(newest), "trail": kept}

    def episode(self, env_id: str, episode_id: str | None = None) -> list[Transition]:
        """See `Replay`."""

        def work(connection: sqlite3.Connection) -> list[Any]:
            if not self._file.has_rows(connection):
                return []
            newest = "SELECT episode_id FROM transitions WHERE env_id = ? ORDER BY rowid DESC LIMIT 1"
            chosen = [episode_id] if episode_id is not None else connection.execute(newest, [env_id]).fetchone()
            return connection.execute(
                f"SELECT {_SELECT} FROM transitions WHERE env_id = ? AND episode_id = ? ORDER BY step_number",
                [env_id, *(chosen or [None])],
            ).fetchall()

        return [from_row(values) for values in self._file.read(work)]

    def delete_older(self, env_id: str, keep: int) -> int:
        """See `Replay`."""
        if keep <= 0:
            return self.clear(env_id)

        def doomed(connection: sqlite3.Connection) -> list[str]:
            if not self._file.has_rows(connection):
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

        return self._delete(env_id, self._file.read(doomed))

    def clear(self, env_id: str) -> int:
        """See `Replay`."""

        def doomed(connection: sqlite3.Connection) -> list[str]:
            if not self._file.has_rows(connection):
                return []
            found = connection.execute("SELECT DISTINCT episode_id FROM transitions WHERE env_id = ?", [env_id])
            return [row[0] for row in found]

        return self._delete(env_id, self._file.read(doomed))

    def _delete(self, env_id: str, episodes: Sequence[str]) -> int:
        deleted = 0
        for begin in range(0, len(episodes), EPISODES_AT_ONCE):
            chosen = episodes[begin : begin + EPISODES_AT_ONCE]
            places = ", ".join("?" * len(chosen))

            def work(connection: sqlite3.Connection, chosen: Sequence[str] = chosen, places: str = places) -> int:
                return connection.execute(
                    f"DELETE FROM transitions WHERE env_id = ? AND episode_id IN ({places})", [env_id, *chosen]
                ).rowcount

            deleted += self._file.write("delete rows from", work)
        return deleted


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
