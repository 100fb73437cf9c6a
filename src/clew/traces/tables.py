"""The tables of a trace store: traces and their scores, datasets and what they hold, runs, evaluations, baselines.

`migrations/` makes them; a test compares what it makes with what stands here.
"""

from __future__ import annotations

import sqlalchemy as sa

REVISION = "0001"
"""The newest of `migrations/versions`: the schema that this code reads and writes."""
OLDER: tuple[str, ...] = ()
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
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("created_at", sa.String(27), nullable=False),  # 2026-01-31T23:59:59.123456Z: exact, sorted as text
    sa.Column("trace_version", sa.String(64), nullable=False),
    sa.Column("step_count", sa.Integer, nullable=False),
    sa.Column("total_chars", sa.Integer, nullable=False),
    sa.Column("meta", sa.Text),  # canonical JSON; what filters look at
    sa.Column("content", sa.Text, nullable=False),  # the whole trace, canonical JSON
    sa.Column("sha256", sa.String(64), nullable=False),  # of `content`
    sqlite_autoincrement=True,  # the number of a row that was deleted by hand is not given again
)

SCORES = sa.Table(
    "scores",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("trace_id", sa.String(36), sa.ForeignKey("traces.id"), nullable=False, index=True),
    sa.Column("created_at", sa.String(27), nullable=False),
    sa.Column("criteria", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
)

DATASETS = sa.Table(
    "datasets",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("dataset_key", sa.String(193), nullable=False, unique=True),
    sa.Column("build_id", sa.String(36), nullable=False, unique=True),
    sa.Column("created_at", sa.String(27), nullable=False),
    sa.Column("content_sha256", sa.String(64), nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),  # canonical JSON, without trace_ids
    sa.Column("manifest_path", sa.Text, nullable=False),
)

MEMBERS = sa.Table(
    "dataset_members",
    METADATA,
    sa.Column("dataset", NUMBER, sa.ForeignKey("datasets.number"), primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("trace_id", sa.String(36), sa.ForeignKey("traces.id"), nullable=False),
    sqlite_with_rowid=False,
)

JOBS = sa.Table(
    "runs",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("folder", sa.Text),
    sa.Column("pid", sa.BigInteger),
    sa.Column("pid_started", sa.String(64)),
    sa.Column("exit_code", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("created_at", sa.String(27), nullable=False),
    sa.Column("started_at", sa.String(27)),
    sa.Column("ended_at", sa.String(27)),
)

EVALUATIONS = sa.Table(
    "evaluations",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("created_at", sa.String(27), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("eval_set_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("judge", sa.Text, nullable=False),
    sa.Column("examples", sa.Integer, nullable=False),
    sa.Column("mean_score", sa.Float, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("path", sa.Text),
    sa.Column("details", sa.Text, nullable=False),
)

BASELINES = sa.Table(
    "baselines",
    METADATA,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("evaluation_id", sa.String(36), sa.ForeignKey("evaluations.id"), nullable=False),
    sa.Column("created_at", sa.String(27), nullable=False),
)
