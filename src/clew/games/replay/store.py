"""A replay database as Python sees it, and what is the same in SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from clew.core.errors import EvidenceError, UsageError, nearest
from clew.core.named import named
from clew.databases import is_file, is_postgres, no_address, path_of
from clew.games.replay.schema import METADATA, SCHEMA, make_info, short
from clew.games.replay.transitions import ROWS_AT_ONCE, Position, Transition, from_row
from clew.games.rules import GameInfo, env_id_of, known_game

if TYPE_CHECKING:
    from clew.games.replay.survey import Survey

_KINDS = {
    "SQLite": "clew.games.replay.sqlite:SqliteReplay",
    "PostgreSQL": "clew.games.replay.postgres:PostgresReplay",
}
"""What opens each kind of database; an actor loads the one that it uses."""
EPISODES_AT_ONCE = 256
"""Episodes deleted in one transaction, so that writers get their turn between."""


class Replay(ABC):
    """A replay database: the games that actors wrote, row by row, in an SQLite file or on a PostgreSQL server.

        with Replay.open("data/replay.db") as replay:
            print(replay.env_ids(), replay.statistics("connect4"))
            for episode in replay.episodes("connect4"):
                ...

    Methods raise `EvidenceError` for a database that is broken or foreign, and `ReplayUnavailableError`, one of its
    kinds, where waiting may help: it is gone, locked or full, or its server does not answer.
    """

    name: str
    """The database as messages call it: a path, or a URL without its password."""

    # What the two databases spell differently. Statements here have `?` for their values.
    _columns: ClassVar[str]
    """What is selected of a row, in the order of `COLUMNS`."""
    _key: ClassVar[str]
    """What tells the order of commits."""
    _key_columns: ClassVar[str]
    """The same, to be selected."""
    _key_value: ClassVar[str]
    """The same, as a value."""
    _newest_first: ClassVar[str]

    @staticmethod
    def open(where: str | Path, *, create: bool = False) -> Replay:
        """Open a replay database: a path or `sqlite:///` path for SQLite, a `postgresql://` URL for PostgreSQL.

        `create`: make what is absent, a file with its folder or the tables. Raises `EvidenceError` (a
        `ReplayUnavailableError` where waiting may help) for one that is missing, broken or not a replay database, and
        `UsageError` for a URL of another kind.
        """
        if is_file(where):
            opened = named(_KINDS["SQLite"])(path_of(where), create=create)
        elif is_postgres(where):
            opened = named(_KINDS["PostgreSQL"])(str(where), create=create)
        else:
            raise no_address(where, SCHEMA.what)
        replay: Replay = opened
        return replay

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Replay.open({self.name!r})"

    # What there is

    def env_ids(self) -> dict[str, int]:
        """Rows of each game that has any, by env_id."""
        found = self._find("SELECT env_id, COUNT(*) FROM transitions GROUP BY env_id ORDER BY env_id")
        return {env_id: rows for env_id, rows in found if isinstance(env_id, str)}

    def count(self, env_id: str | None = None) -> int:
        """Rows of a game; None: of all, those that are of no game (their env_id is no text) too."""
        if env_id is None:
            found = self._find("SELECT COUNT(*) FROM transitions")
        else:
            found = self._find("SELECT COUNT(*) FROM transitions WHERE env_id = ?", [env_id])
        return int(found[0][0]) if found else 0

    def choose(self, env_id: str = "") -> str:
        """The game that is meant: `env_id`, or the only one of which there are rows.

        Raises `EvidenceError` where it is not there, `UsageError` where it is not told.
        """
        games = self.env_ids()
        held = ", ".join(f"{short(each)} ({rows:,} rows)" for each, rows in list(games.items())[:20]) or "no rows"
        if env_id and env_id not in games:
            raise EvidenceError(
                f"{self.name} holds no rows of '{short(env_id)}'.{nearest(env_id, list(games))} It holds: {held}."
            )
        if not env_id and len(games) != 1:
            raise UsageError(f"{self.name} holds {held}. Choose a game with --env-id.")
        return env_id or next(iter(games))

    def metadata(self) -> dict[str, GameInfo]:
        """The games that the database describes, by env_id; none where the table `game_metadata` is absent."""
        found = self._find_metadata(f"SELECT {', '.join(METADATA)} FROM game_metadata ORDER BY env_id")
        return {info.env_id: info for info in (make_info(self.name, row) for row in found)}

    def described(self, env_id: str) -> GameInfo | None:
        """What the database says of a game; None where it says nothing."""
        found = self._find_metadata(f"SELECT {', '.join(METADATA)} FROM game_metadata WHERE env_id = ?", [env_id])
        return make_info(self.name, found[0]) if found else None

    def info(self, env_id: str) -> GameInfo:
        """What a trainer needs to know of a game: named or in a file: from the database, or else the rules here.

        Raises `EvidenceError` where neither knows the game.
        """
        env_id = env_id_of(env_id)
        found = self.described(env_id) or known_game(env_id)
        if found is not None:
            return found
        held = list({*self.metadata(), *self.env_ids()})
        told = f" It holds: {', '.join(map(short, sorted(held)[:20]))}." if held else " It holds no game yet."
        if env_id in held:
            told = " Let its actor write the game's row there when it starts, or add the row by hand."
        raise EvidenceError(
            f"{self.name} does not describe the game '{short(env_id)}' (no row of game_metadata), and its rules are "
            f"not known here.{nearest(env_id, [each for each in held if each != env_id])}{told}"
        )

    # What the rows say

    def rows(self, env_id: str, after: Position | None = None) -> Iterator[Transition]:
        """The rows of a game in the order of their commits; `after`: those behind a position that `tail` gave."""
        while True:
            found, after = self.tail(env_id, after, ROWS_AT_ONCE)
            yield from found
            if len(found) < ROWS_AT_ONCE:
                return

    def episodes(self, env_id: str) -> Iterator[list[Transition]]:
        """The games played, in the order of their commits: rows of one episode that follow one another."""
        for _, rows in itertools.groupby(self.rows(env_id), key=lambda row: row.episode_id):
            yield list(rows)

    def episode(self, env_id: str, episode_id: str | None = None) -> list[Transition]:
        """The rows of an episode by step; None: the newest. Empty where there is none."""
        if episode_id is None:
            newest = f"SELECT episode_id FROM transitions WHERE env_id = ? ORDER BY {self._newest_first} LIMIT 1"
            found = self._find(newest, [env_id])
            if not found:
                return []
            episode_id = found[0][0]
        query = f"SELECT {self._columns} FROM transitions WHERE env_id = ? AND episode_id = ? ORDER BY step_number"
        return [from_row(values) for values in self._find(query, [env_id, episode_id])]

    def players(self, rows: Sequence[Transition]) -> list[int]:
        """Who moves in each of the rows of a game, 0 the first player: by turns where a row does not tell."""
        from clew.games.replay.seats import UNKNOWN, seats

        turns = [row.step_number % 2 for row in rows]
        try:
            found = seats(rows, self.info(rows[0].env_id)) if rows else ()
        except EvidenceError:
            return turns
        return [turn if seat == UNKNOWN else int(seat) for turn, seat in zip(turns, found, strict=True)]

    def survey(self, env_id: str = "") -> Survey:
        """One reading of all rows of a game (the only one, where none is named): faults, and columns as arrays."""
        from clew.games.replay.survey import survey

        chosen = self.choose(env_id)
        return survey(self, self.info(chosen))

    def statistics(self, env_id: str = "") -> dict[str, Any]:
        """Figures of a game (the only one, where none is named): outcomes by seat, lengths, policy entropy."""
        from clew.games.replay.statistics import figures

        return figures(self.survey(env_id))

    def check(self, env_id: str = "") -> list[dict[str, Any]]:
        """What is wrong with the rows of a game, or of each where none is named: JSON, a report a game.

        A report has `faults`, what makes rows broken, and `notices`, what is worth knowing: a list each of `what`,
        `count` and `examples`. A game that nothing describes has an `error` in place of both, and so have rows of no
        game, whose env_id is None.
        """
        from clew.games.replay.statistics import report

        if env_id:
            return [report(self, self.choose(env_id))]
        games = self.env_ids()
        reports = [report(self, each) for each in games]
        if strangers := self.count() - sum(games.values()):
            told = f"the env_id of {strangers:,} rows is no text, so that no game has them. Correct or delete them."
            reports.append({"env_id": None, "error": f"{self.name}: {told}"})
        return reports

    # Writing

    @abstractmethod
    def upsert_metadata(self, info: GameInfo) -> None:
        """Write or renew the row of `game_metadata` that describes a game; the table is made where it is absent."""

    @abstractmethod
    def append(self, episode: Sequence[Transition]) -> None:
        """Write one episode in one transaction. Written before to the last bit, it is left as it is.

        Raises `EvidenceError` where other rows have its ids, and a sentence where it could not be written: then
        nothing of it was, and it can be tried again.
        """

    def delete_older(self, env_id: str, keep: int) -> int:
        """Delete episodes that lie wholly before the newest `keep` rows in commit order; return the rows deleted."""
        if keep <= 0:
            return self.clear(env_id)
        oldest_kept = self._find(
            f"SELECT {self._key_columns} FROM transitions WHERE env_id = ? "
            f"ORDER BY {self._newest_first} LIMIT 1 OFFSET ?",
            [env_id, keep - 1],
        )
        if not oldest_kept:
            return 0
        of_side = f"SELECT episode_id FROM transitions WHERE env_id = ? AND {self._key} {{}} {self._key_value}"
        found = self._find(
            f"{of_side.format('<')} EXCEPT {of_side.format('>=')}", [env_id, *oldest_kept[0], env_id, *oldest_kept[0]]
        )
        deleted = 0
        for begin in range(0, len(found), EPISODES_AT_ONCE):
            chosen = [row[0] for row in found[begin : begin + EPISODES_AT_ONCE]]
            places = ", ".join("?" * len(chosen))
            deleted += self._delete(f"env_id = ? AND episode_id IN ({places})", [env_id, *chosen])
        return deleted

    def clear(self, env_id: str) -> int:
        """Delete all rows of a game in one transaction, all or none; return how many there were."""
        return self._delete("env_id = ?", [env_id])

    # Following

    @abstractmethod
    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """Up to `limit` rows of a game that were committed since `after` (None: from the first), in commit order.

        Whoever goes on from the position returned sees each row once, none left out. Fewer than `limit` rows: there
        are no more at this moment. Raises `ReplayUnavailableError` while the database is gone.
        """

    @abstractmethod
    def end(self, env_id: str) -> Position:
        """The position behind all rows of a game that `tail` would give now."""

    # What a database does

    @abstractmethod
    def _find(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query of the table `transitions` finds; nothing where the table is absent."""

    @abstractmethod
    def _find_metadata(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query of the table `game_metadata` finds; nothing where the table is absent."""

    @abstractmethod
    def _delete(self, where: str, values: Sequence[Any]) -> int:
        """Delete rows of `transitions` in one transaction; return how many."""
