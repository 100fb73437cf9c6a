"""The replay database on a PostgreSQL server, for actors on many machines.

Transactions that began earlier may commit later, so no number that is drawn while a row is written tells the order
of commits. Each row therefore knows its transaction (`commit_xid`, beside `commit_seq` for the order within), and a
reader takes only rows of transactions older than any that is still under way: nothing can come before them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from clew.core.errors import EvidenceError
from clew.games.replay.postgres_link import AlreadyThereError, Link
from clew.games.replay.postgres_link import shown as shown
from clew.games.replay.postgres_schema import (
    GAME_METADATA,
    METADATA_TYPES,
    NUMBER,
    ORDER,
    TEXT,
    TRANSITIONS,
    TYPES,
    WHOLE,
    check_columns,
    columns_of,
)
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

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

OLDEST = 130000
"""The first version that tells whole transaction numbers."""
EPISODES_AT_ONCE = 1024
"""Episodes deleted in one transaction."""

_SELECT = ", ".join(f"{name}::float8" if TYPES[name] is NUMBER else name for name in COLUMNS)
_INSERT = f"INSERT INTO transitions ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
_FROM_THE_FUTURE = """
WITH RECURSIVE games AS (
    SELECT min(env_id) AS env_id FROM transitions
    UNION ALL
    SELECT (SELECT min(env_id) FROM transitions WHERE env_id > games.env_id) FROM games WHERE games.env_id IS NOT NULL
)
SELECT games.env_id FROM games WHERE games.env_id IS NOT NULL AND EXISTS (
    SELECT FROM transitions
    WHERE transitions.env_id = games.env_id AND commit_xid >= pg_snapshot_xmax(pg_current_snapshot())
)
"""
"""Games with rows whose transactions are yet to come. It goes by the index, since it is asked with each connection."""
# With the table's name before it: a bare commit_xid would be the text that is selected under this name.
_ORDER = "transitions.commit_xid, transitions.commit_seq"
_BACKWARDS = "transitions.commit_xid DESC, transitions.commit_seq DESC"
_SAFE = "commit_xid < pg_snapshot_xmin(pg_current_snapshot())"
_LOCK = 0x636C6577
"""Names the advisory lock under which tables are made: two that do it at once get in each other's way."""


class PostgresReplay:
    """A replay database on a PostgreSQL server; see `Replay` for what its methods do."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._create = create
        self._there = False
        self._done_is_boolean = False
        self._server = ""
        self.name = shown(url)
        self._link = Link(url, self._prepare)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a game is

    def upsert_metadata(self, info: GameInfo) -> None:
        """See `Replay`."""

        def work(connection: Connection) -> None:
            types = columns_of(connection, "game_metadata")
            if not types:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                connection.execute(GAME_METADATA)
                types = columns_of(connection, "game_metadata")
            check_columns(self.name, "game_metadata", types, METADATA_TYPES)
            # Tables made by others may keep the time as a number or a text.
            kind = types.get("updated_at", "")
            now = "extract(epoch FROM now())::bigint" if kind in WHOLE else "now()::text" if kind in TEXT else "now()"
            columns = (*METADATA, "updated_at") if kind else METADATA
            places = ", ".join(["%s"] * len(METADATA) + ([now] if kind else []))
            renew = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
            connection.execute(
                f"INSERT INTO game_metadata ({', '.join(columns)}) VALUES ({places}) "
                f"ON CONFLICT (env_id) DO UPDATE SET {renew}",
                [getattr(info, column) for column in METADATA],
            )

        self._link.run("describe a game in", work)

    def metadata(self) -> dict[str, GameInfo]:
        """See `Replay`."""

        def work(connection: Connection) -> list[Any]:
            types = columns_of(connection, "game_metadata")
            if not types:
                return []
            check_columns(self.name, "game_metadata", types, METADATA_TYPES)
            return connection.execute(f"SELECT {', '.join(METADATA)} FROM game_metadata ORDER BY env_id").fetchall()

        return {row[0]: make_info(self.name, row) for row in self._link.run("read", work)}

    # Rows

    def env_ids(self) -> dict[str, int]:
        """See `Replay`."""

        def work(connection: Connection) -> list[Any]:
            if not self._has_rows(connection):
                return []
            return connection.execute(
                "SELECT env_id, COUNT(*) FROM transitions GROUP BY env_id ORDER BY env_id"
            ).fetchall()

        return dict(self._link.run("read", work))

    def count(self, env_id: str) -> int:
        """See `Replay`."""

        def work(connection: Connection) -> int:
            if not self._has_rows(connection):
                return 0
            return int(_one(connection, "SELECT COUNT(*) FROM transitions WHERE env_id = %s", [env_id])[0])

        return self._link.run("read", work)

    def append(self, episode: Sequence[Transition]) -> None:
        """See `Replay`."""
        if not episode:
            return
        check_episode(episode)
        values = [to_row(row) for row in episode]
        flag = COLUMNS.index("done")

        def work(connection: Connection) -> None:
            self._has_rows(connection)
            rows = values
            if self._done_is_boolean:
                rows = [(*row[:flag], bool(row[flag]), *row[flag + 1 :]) for row in values]
            with connection.cursor() as cursor:
                cursor.executemany(_INSERT, rows)

        doing = f"write episode {episode[0].episode_id} to"
        try:
            self._link.run(doing, work)
        except AlreadyThereError as error:
            # Written before a connection was lost, and committed though nobody was told; or by somebody else.
            written = self._link.run(doing, lambda connection: self._rows(connection, [row.id for row in episode]))
            if not same_rows(written, values):
                raise clash(self.name, episode) from error

    @staticmethod
    def _rows(connection: Connection, identifiers: list[str]) -> list[Any]:
        query = f"SELECT {_SELECT} FROM transitions WHERE id = ANY(%s)"
        return connection.execute(query, [identifiers], binary=True).fetchall()

    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """See `Replay`. A transaction that is left open after it wrote something holds up the rows after it."""

        def work(connection: Connection) -> tuple[list[Any], list[list[Any]]]:
            if not self._has_rows(connection):
                return [], after["trail"] if after else []
            trail = self._find_place(connection, after)
            xid, order = trail[0][0] if trail else (0, 0)
            found = connection.execute(
                f"SELECT commit_xid::text, commit_seq, {_SELECT} FROM transitions WHERE env_id = %s AND "
                f"(commit_xid, commit_seq) > (%s::text::xid8, %s) AND {_SAFE} ORDER BY {_ORDER} LIMIT %s",
                [env_id, str(xid), order, limit],
                binary=True,
            ).fetchall()
            return found, trail

        found, trail = self._link.run("read", work)
        rows = [from_row(values[2:]) for values in found]
        keys = [[int(values[0]), values[1]] for values in found]
        return rows, {"server": self._server, "trail": follow_trail(trail, rows, keys)}

    def episode(self, env_id: str, episode_id: str | None = None) -> list[Transition]:
        """See `Replay`."""

        def work(connection: Connection) -> list[Any]:
            if not self._has_rows(connection):
                return []
            newest = f"SELECT episode_id FROM transitions WHERE env_id = %s ORDER BY {_BACKWARDS} LIMIT 1"
            chosen = [episode_id] if episode_id is not None else connection.execute(newest, [env_id]).fetchone()
            return connection.execute(
                f"SELECT {_SELECT} FROM transitions WHERE env_id = %s AND episode_id = %s ORDER BY step_number",
                [env_id, *(chosen or [None])],
                binary=True,
            ).fetchall()

        return [from_row(values) for values in self._link.run("read", work)]

    def delete_older(self, env_id: str, keep: int) -> int:
        """See `Replay`."""
        if keep <= 0:
            return self.clear(env_id)

        def doomed(connection: Connection) -> list[str]:
            if not self._has_rows(connection):
                return []
            oldest_kept = connection.execute(
                "SELECT commit_xid::text, commit_seq FROM transitions WHERE env_id = %s "
                f"ORDER BY {_BACKWARDS} LIMIT 1 OFFSET %s",
                [env_id, keep - 1],
            ).fetchone()
            if oldest_kept is None:
                return []
            border = "(commit_xid, commit_seq) {} (%s::text::xid8, %s)"
            found = connection.execute(
                f"SELECT episode_id FROM transitions WHERE env_id = %s AND {border.format('<')} EXCEPT "
                f"SELECT episode_id FROM transitions WHERE env_id = %s AND {border.format('>=')}",
                [env_id, *oldest_kept, env_id, *oldest_kept],
            )
            return [row[0] for row in found]

        return self._delete(env_id, self._link.run("read", doomed))

    def clear(self, env_id: str) -> int:
        """See `Replay`."""

        def doomed(connection: Connection) -> list[str]:
            if not self._has_rows(connection):
                return []
            found = connection.execute("SELECT DISTINCT episode_id FROM transitions WHERE env_id = %s", [env_id])
            return [row[0] for row in found]

        return self._delete(env_id, self._link.run("read", doomed))

    def _delete(self, env_id: str, episodes: Sequence[str]) -> int:
        deleted = 0
        for begin in range(0, len(episodes), EPISODES_AT_ONCE):
            chosen = list(episodes[begin : begin + EPISODES_AT_ONCE])

            def work(connection: Connection, chosen: list[str] = chosen) -> int:
                return connection.execute(
                    "DELETE FROM transitions WHERE env_id = %s AND episode_id = ANY(%s)", [env_id, chosen]
                ).rowcount

            deleted += self._link.run("delete rows from", work)
        return deleted

    # Tables

    def _prepare(self, connection: Connection) -> None:
        """What each new connection begins with."""
        if connection.info.server_version < OLDEST:
            raise EvidenceError(
                f"{self.name}: the server is older than PostgreSQL 13, which is the oldest that will do."
            )
        self._server = str(_one(connection, "SELECT system_identifier FROM pg_control_system()")[0])
        self._there = False
        if self._create and not columns_of(connection, "transitions"):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            connection.execute(TRANSITIONS)
            connection.execute(ORDER)
            connection.execute(GAME_METADATA)
        self._has_rows(connection)

    def _has_rows(self, connection: Connection) -> bool:
        """Whether the table `transitions` is there, with the columns it must have and those that tell its order."""
        if self._there:
            return True
        types = columns_of(connection, "transitions")
        if not types:
            return False
        check_columns(self.name, "transitions", types, TYPES)
        if not {"commit_xid", "commit_seq"} <= set(types):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            connection.execute(ORDER)
        for (env_id,) in connection.execute(_FROM_THE_FUTURE).fetchall():
            # They were restored from a dump of another server; here they would not be read until it had caught up.
            connection.execute(
                "UPDATE transitions SET commit_xid = pg_current_xact_id() "
                "WHERE env_id = %s AND commit_xid >= pg_snapshot_xmax(pg_current_snapshot())",
                [env_id],
            )
        self._done_is_boolean = types["done"] == "boolean"
        self._there = True
        return True

    def _find_place(self, connection: Connection, after: Position | None) -> list[list[Any]]:
        """The trail from the newest row on behind which to go on; empty where all that is there is unread."""
        trail: list[list[Any]] = after["trail"] if after else []
        if not after or not trail:
            return []
        now = int(_one(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0])
        if after["server"] == self._server and trail[0][0][0] < now:
            # Transactions are numbered upward for as long as the server lives, whatever becomes of the rows.
            return trail
        for index, (_, identifier) in enumerate(trail):
            there = connection.execute(
                "SELECT commit_xid::text, commit_seq FROM transitions WHERE id = %s", [identifier]
            ).fetchone()
            if there is not None:
                return [[[int(there[0]), there[1]], identifier], *trail[index + 1 :]]
        return []


def _one(connection: Connection, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return tuple(row)
