"""The tables of a trace store: traces and their scores, datasets and what they hold, runs, evaluations, baselines,
ratings.

`migrations/` makes them; a test compares what it makes with what stands here.
"""

from __future__ import annotations

import sqlalchemy as sa

from clew.traces.kept import Chars, Real, Text, Whole

REVISION = "0002"
"""The newest of `migrations/versions`: the schema that this code reads and writes."""
OLDER: tuple[str, ...] = ("0001",)
"""Revisions that `migrations/` brings up to it."""

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite counts up by itself in a column of the type INTEGER alone."""

TRACES = sa.Table(
    "traces",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),  # the order in which they came
    sa.Column("id", Chars(36), nullable=False, unique=True),
    sa.Column("created_at", Chars(27), nullable=False),  # 2026-01-31T23:59:59.123456Z: exact, sorted as text
    sa.Column("trace_version", Chars(64), nullable=False),
    sa.Column("step_count", Whole, nullable=False),
    sa.Column("total_chars", Whole, nullable=False),
    sa.Column("meta", Text(none=True)),  # canonical JSON; what filters look at
    sa.Column("content", Text, nullable=False),  # the whole trace, canonical JSON
    sa.Column("sha256", Chars(64), nullable=False),  # of `content`
    sqlite_autoincrement=True,  # the number of a row that was deleted by hand is not given again
)

SCORES = sa.Table(
    "scores",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", Chars(36), nullable=False, unique=True),
    sa.Column("trace_id", Chars(36), sa.ForeignKey("traces.id"), nullable=False, index=True),
    sa.Column("created_at", Chars(27), nullable=False),
    sa.Column("criteria", Text, nullable=False),
    sa.Column("score", Real, nullable=False),
    sa.Column("details", Text, nullable=False),
)

DATASETS = sa.Table(
    "datasets",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("dataset_key", Chars(193), nullable=False, unique=True),
    sa.Column("build_id", Chars(36), nullable=False, unique=True),
    sa.Column("created_at", Chars(27), nullable=False),
    sa.Column("content_sha256", Chars(64), nullable=False),
    sa.Column("manifest", Text, nullable=False),  # canonical JSON, without trace_ids
    sa.Column("manifest_path", Text, nullable=False),
)

MEMBERS = sa.Table(
    "dataset_members",
    METADATA,
    sa.Column("dataset", NUMBER, sa.ForeignKey("datasets.number"), primary_key=True, autoincrement=False),
    sa.Column("position", Whole, primary_key=True, autoincrement=False),
    sa.Column("trace_id", Chars(36), sa.ForeignKey("traces.id"), nullable=False),
    sqlite_with_rowid=False,
)

JOBS = sa.Table(
    "runs",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", Chars(36), nullable=False, unique=True),
    sa.Column("state", Chars(32), nullable=False, index=True),
    sa.Column("request", Text, nullable=False),
    sa.Column("folder", Text(none=True)),
    sa.Column("pid", sa.BigInteger),
    sa.Column("pid_started", Chars(64, none=True)),
    sa.Column("exit_code", Whole(none=True)),
    sa.Column("error", Text(none=True)),
    sa.Column("created_at", Chars(27), nullable=False),
    sa.Column("started_at", Chars(27, none=True)),
    sa.Column("ended_at", Chars(27, none=True)),
)

EVALUATIONS = sa.Table(
    "evaluations",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", Chars(36), nullable=False, unique=True),
    sa.Column("created_at", Chars(27), nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("eval_set_sha256", Chars(64), nullable=False, index=True),
    sa.Column("judge", Text, nullable=False),
    sa.Column("examples", Whole, nullable=False),
    sa.Column("mean_score", Real, nullable=False),
    sa.Column("low", Real(none=True)),
    sa.Column("high", Real(none=True)),
    sa.Column("path", Text(none=True)),
    sa.Column("details", Text, nullable=False),
)

BASELINES = sa.Table(
    "baselines",
    METADATA,
    sa.Column("name", Chars(256), primary_key=True),
    sa.Column("evaluation_id", Chars(36), sa.ForeignKey("evaluations.id"), nullable=False),
    sa.Column("created_at", Chars(27), nullable=False),
)

RATINGS = sa.Table(
    "ratings",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", Chars(36), nullable=False, unique=True),
    sa.Column("created_at", Chars(27), nullable=False),
    sa.Column("rater", Chars(64), nullable=False, index=True),
    sa.Column("item", Chars(64), nullable=False, index=True),  # hash of what was rated, in whatever order it was shown
    sa.Column("content", Text, nullable=False),  # the whole rating, canonical JSON
)
