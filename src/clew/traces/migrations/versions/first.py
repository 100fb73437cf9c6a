"""Traces, scores, datasets, runs, evaluations, baselines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables where there are none."""
    op.create_table(
        "datasets",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("dataset_key", sa.String(length=193), nullable=False),
        sa.Column("build_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("manifest_path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_datasets")),
        sa.UniqueConstraint("build_id", name=op.f("uq_datasets_build_id")),
        sa.UniqueConstraint("dataset_key", name=op.f("uq_datasets_dataset_key")),
    )
    op.create_table(
        "evaluations",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("eval_set_sha256", sa.String(length=64), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("mean_score", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("id", name=op.f("uq_evaluations_id")),
    )
    op.create_index(op.f("ix_evaluations_eval_set_sha256"), "evaluations", ["eval_set_sha256"], unique=False)
    op.create_table(
        "runs",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("pid_started", sa.String(length=64), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("started_at", sa.String(length=27), nullable=True),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_runs_id")),
    )
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)
    op.create_table(
        "traces",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("trace_version", sa.String(length=64), nullable=False),
        sa.Column("step_count", sa.Integer(), nullable=False),
        sa.Column("total_chars", sa.Integer(), nullable=False),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_traces")),
        sa.UniqueConstraint("id", name=op.f("uq_traces_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "baselines",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("evaluation_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name=op.f("fk_baselines_evaluation_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_baselines")),
    )
    op.create_table(
        "dataset_members",
        sa.Column("dataset", NUMBER, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("trace_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.number"], name=op.f("fk_dataset_members_dataset")),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name=op.f("fk_dataset_members_trace_id")),
        sa.PrimaryKeyConstraint("dataset", "position", name=op.f("pk_dataset_members")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scores",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trace_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("criteria", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name=op.f("fk_scores_trace_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_scores")),
        sa.UniqueConstraint("id", name=op.f("uq_scores_id")),
    )
    op.create_index(op.f("ix_scores_trace_id"), "scores", ["trace_id"], unique=False)
