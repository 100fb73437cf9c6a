"""Where traces are kept: an SQLite file or a PostgreSQL server, for many threads and processes at once.

with TraceStore.open("data/traces.db") as store:
    stored = store.add([trace])
    for each in store.iterate():
        ...
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pydantic
import sqlalchemy as sa

from clew.core.errors import EvidenceError
from clew.core.files import canonical_json, sha256_of
from clew.databases.engine import Connection, Database
from clew.databases.together import Together
from clew.traces.filters import matches
from clew.traces.kept import json_text, kept_object, sought
from clew.traces.moments import now
from clew.traces.ratings import Ratings
from clew.traces.records import Records
from clew.traces.schema import MOST_BYTES, InvalidError, NotFoundError, Trace
from clew.traces.tables import METADATA, OLDER, REVISION, SCORES, TRACES

DEFAULT_PLACE = "data/traces.db"
WHAT = "trace store"
_AT_ONCE = 1_000
"""Rows read in one transaction, so that a slow reader holds nothing up."""
_migrating = threading.Lock()


@dataclass(frozen=True, slots=True)
class Stored:
    """A trace that is kept, by the id and the time that it got."""

    id: str
    """A UUID, the same for as long as the trace is kept."""
    created: str
    """When it was written, UTC: 2026-01-31T23:59:59.123456Z."""
    content: str
    """The trace as canonical JSON."""
    sha256: str
    """Of `content`, as it was written."""

    @property
    def created_at(self) -> datetime:
        """When it was written, UTC."""
        return datetime.fromisoformat(self.created)

    @property
    def trace(self) -> Trace:
        """The trace. Raises `EvidenceError` where somebody has changed the row so that it is none."""
        try:
            return Trace.model_validate_json(self.content)
        except pydantic.ValidationError as error:
            raise EvidenceError(
                f"The trace {self.id} was changed in the database and is no trace any more: {error.errors()[0]['msg']}."
            ) from error

    def document(self) -> dict[str, Any]:
        """Id, time and the trace itself, for JSON."""
        return {"id": self.id, "created_at": self.created, **self.trace.model_dump(mode="json")}

    def check(self) -> Self:
        """Raise `EvidenceError` unless the content is what was written; return this."""
        if sha256_of(self.content) != self.sha256:
            raise EvidenceError(f"The trace {self.id} was changed in the database: its hash is not what was written.")
        return self


class TraceStore(Records, Ratings):
    """Traces, and in the same database their scores, the datasets built of them, runs, evaluations, baselines, ratings.

    All methods may be called from many threads. Raises `UnavailableError` where waiting may help (locked, full, the
    server does not answer), `EvidenceError` for what is broken or foreign.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = database.name
        """The database as messages call it: a path, or a URL without its password."""
        self._together = Together(self._insert)

    @classmethod
    def open(cls, where: str | Path = DEFAULT_PLACE, *, create: bool = True) -> Self:
        """Open a store: a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE; its schema is brought up to date.

        `create`: make what is absent. Raises `EvidenceError` for a database that is missing, broken, of other tables
        or of a newer schema.
        """
        database = Database(where, what=WHAT, create=create)
        try:
            _prepare(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TraceStore.open({self.name!r})"

    @property
    def datasets_folder(self) -> Path:
        """Where manifests of datasets are written, unless another folder is named: beside the file."""
        path = self.database.path
        if path is not None:
            return path.with_name(path.name + "-datasets")
        return Path("data", f"{self.name.rpartition('/')[2] or 'traces'}-datasets")

    # Traces

    def add(self, traces: Sequence[Trace]) -> list[Stored]:
        """Write traces in one transaction, all or none; when it returns they are on the disk.

        Raises `InvalidError` for a trace that JSON cannot hold (a number that is not finite in its meta) or whose
        JSON is past 1 MiB.
        """
        moment = now()
        rows = [_row(trace, moment, index) for index, trace in enumerate(traces)]
        if rows and self.database.path is not None:
            self._together(rows)
        elif rows:
            self._insert(rows)
        return [Stored(row["id"], row["created_at"], row["content"], row["sha256"]) for row in rows]

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self.database.writing("write into") as connection:
            connection.execute(sa.insert(TRACES), rows)

    def add_many(self, traces: Iterable[Trace]) -> list[str]:
        """Write any number of traces in one transaction, all or none, some at a time in memory; return their ids.

        Others that would write wait meanwhile. Raises as `add` does, and whatever `traces` raises: then none is there.
        """
        moment, ids, coming = now(), list[str](), enumerate(traces)
        with self.database.writing("write into") as connection:
            while rows := [_row(trace, moment, index) for index, trace in itertools.islice(coming, _AT_ONCE)]:
                connection.execute(sa.insert(TRACES), rows)
                ids += [row["id"] for row in rows]
        return ids

    def get(self, trace_id: str) -> Stored:
        """The trace of that id. Raises `NotFoundError`."""
        with self.database.reading() as connection:
            found = connection.execute(_SELECT.where(TRACES.c.id == sought(trace_id))).first()
        if found is None:
            raise NotFoundError(f"There is no trace '{trace_id[:64]}' in {self.name}.")
        return Stored(*found)

    def page(self, limit: int = 20, offset: int = 0) -> list[Stored]:
        """`limit` traces behind the first `offset`, the newest first."""
        # An offset past all traces is no error, but SQL has no larger numbers.
        query = _SELECT.order_by(TRACES.c.number.desc()).limit(limit).offset(min(offset, 2**62))
        with self.database.reading() as connection:
            return [Stored(*row) for row in connection.execute(query)]

    def count(self) -> int:
        """How many traces there are."""
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(TRACES)).scalar_one())

    def iterate(self, ids: Sequence[str] | None = None, filters: Mapping[str, Any] | None = None) -> Iterator[Stored]:
        """Traces one by one, some at a time in memory: those of `ids` in their order, or all, the oldest first.

        `filters`: see `clew.traces.filters`. Raises `NotFoundError` for an id that is not there.
        """
        chosen = self._all() if ids is None else self._named(ids)
        for each in chosen:
            if not filters or matches(filters, each.trace.meta, each.trace.trace_version):
                yield each

    def _all(self) -> Iterator[Stored]:
        after = 0
        while True:
            query = sa.select(TRACES.c.number, *_COLUMNS).where(TRACES.c.number > after)
            with self.database.reading() as connection:
                rows = connection.execute(query.order_by(TRACES.c.number).limit(_AT_ONCE)).all()
            for row in rows:
                yield Stored(*row[1:])
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][0]

    def _named(self, ids: Sequence[str]) -> Iterator[Stored]:
        for begin in range(0, len(ids), _AT_ONCE):
            part = [sought(each) for each in ids[begin : begin + _AT_ONCE]]
            with self.database.reading() as connection:
                found = {row[0]: Stored(*row) for row in connection.execute(_SELECT.where(TRACES.c.id.in_(part)))}
            for each in part:
                if each not in found:
                    raise NotFoundError(f"There is no trace '{each[:64]}' in {self.name}.")
                yield found[each]

    # Scores

    def add_score(self, trace_id: str, criteria: Mapping[str, Any], score: float, details: Mapping[str, Any]) -> Score:
        """Keep what a judge found. Raises `NotFoundError` where there is no such trace."""
        made = Score(str(uuid.uuid4()), sought(trace_id), now(), dict(criteria), score, dict(details))
        values = vars(made) | {
            "criteria": json_text(made.criteria, "The criteria"),
            "details": json_text(made.details, "The details of a score"),
        }
        try:
            with self.database.writing("write into") as connection:
                connection.execute(sa.insert(SCORES), values)
        except sa.exc.IntegrityError:
            raise NotFoundError(f"There is no trace '{trace_id[:64]}' in {self.name}.") from None
        return made

    def scores(self, trace_id: str) -> list[Score]:
        """What was kept of a trace, in the order of time."""
        columns = [SCORES.c[name] for name in ("id", "trace_id", "created_at", "criteria", "score", "details")]
        query = sa.select(*columns).where(SCORES.c.trace_id == sought(trace_id)).order_by(SCORES.c.number)
        with self.database.reading() as connection:
            return [
                Score(
                    **{
                        **row._mapping,
                        "criteria": kept_object(row.criteria, f"What the score {row.id} goes by"),
                        "details": kept_object(row.details, f"What is told of the score {row.id}"),
                    }
                )
                for row in connection.execute(query)
            ]


@dataclass(frozen=True)
class Score:
    """What a trace is worth by some criteria."""

    id: str
    trace_id: str
    created_at: str
    criteria: dict[str, Any]
    score: float
    """0 to 1."""
    details: dict[str, Any]


_COLUMNS = (TRACES.c.id, TRACES.c.created_at, TRACES.c.content, TRACES.c.sha256)
_SELECT = sa.select(*_COLUMNS)


def _row(trace: Trace, moment: str, index: int) -> dict[str, Any]:
    try:
        value = trace.model_dump()
        content = canonical_json(value)
        encoded = content.encode("utf-8")
        meta = None if trace.meta is None else canonical_json(trace.meta)
    except (ValueError, TypeError, RecursionError) as error:
        told = "its brackets stand too deep in one another" if isinstance(error, RecursionError) else str(error)
        raise InvalidError(f"The meta of trace {index + 1} cannot be kept as JSON: {told}.") from error
    if len(encoded) > MOST_BYTES:
        raise InvalidError(f"Trace {index + 1} has {len(encoded):,} bytes as JSON; at most {MOST_BYTES:,} are kept.")
    return {
        "id": str(uuid.uuid4()),
        "created_at": moment,
        "trace_version": trace.trace_version,
        "step_count": len(trace.steps),
        "total_chars": len(trace.prompt) + len(trace.final_answer) + sum(len(step.content) for step in trace.steps),
        "meta": meta,
        "content": content,
        "sha256": sha256_of(encoded),
    }


# The schema


def _prepare(database: Database, *, create: bool) -> None:
    with database.reading("open") as connection:
        there = _revision(database, connection)
    if there == REVISION:
        return
    if there is None and not create:
        raise EvidenceError(f"{database.name} holds no traces. `clew traces import` and `clew serve` make a store.")
    with database.writing("make the tables of") as connection:
        database.alone(connection)
        if _revision(database, connection) != REVISION:
            _migrate(connection)


def _revision(database: Database, connection: Connection) -> str | None:
    """The schema that the database has; None: it is empty. Raises `EvidenceError` for what is not ours to change."""
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in tables or "traces" not in tables:
        strangers = sorted(tables - {"transitions", "game_metadata"})
        if strangers:
            raise EvidenceError(
                f"{database.name} is no {WHAT}: it holds {', '.join(strangers[:5])} of another program. Check the path."
            )
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    if found == [REVISION] or (len(found) == 1 and found[0] in OLDER):
        return str(found[0])
    raise EvidenceError(
        f"{database.name} has the schema {', '.join(map(str, found)) or 'of no version'}, which this Clew (schema "
        f"{REVISION}) does not know: a newer one wrote it. Update Clew."
    )


def _migrate(connection: Connection) -> None:
    """Bring the schema up to date within the transaction of `connection`."""
    # Alembic is loaded only where there is something to do: it costs a quarter of a start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _migrating:  # Alembic has one global context in a process.
        command.upgrade(config, "head")


__all__ = ["DEFAULT_PLACE", "METADATA", "Score", "Stored", "TraceStore"]
