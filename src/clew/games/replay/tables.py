"""The tables of the replay database, as SQLAlchemy makes them in SQLite and PostgreSQL; imported only to make them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, TIMESTAMP

TABLES = sql.MetaData()

_NUMBER: sql.types.TypeEngine[Any] = sql.REAL().with_variant(DOUBLE_PRECISION(), "postgresql")
_SECONDS = sql.Integer().with_variant(sql.BigInteger(), "postgresql")
_MOMENT = sql.DATETIME().with_variant(TIMESTAMP(timezone=True), "postgresql")
_NOW = sql.text("CURRENT_TIMESTAMP")


def _due(name: str, kind: sql.types.TypeEngine[Any]) -> sql.Column[Any]:
    return sql.Column(name, kind, nullable=False)


TRANSITIONS = sql.Table(
    "transitions",
    TABLES,
    sql.Column("id", sql.Text, primary_key=True, nullable=True),
    _due("env_id", sql.Text()),
    _due("episode_id", sql.Text()),
    _due("step_number", sql.Integer()),
    _due("state", sql.LargeBinary()),
    _due("action", sql.LargeBinary()),
    _due("next_state", sql.LargeBinary()),
    _due("observation", sql.LargeBinary()),
    _due("next_observation", sql.LargeBinary()),
    _due("reward", _NUMBER),
    _due("done", sql.Integer()),
    _due("timestamp", _SECONDS),
    sql.Column("policy_probs", sql.LargeBinary),
    sql.Column("mcts_value", _NUMBER, server_default=sql.text("0.0")),
    sql.Column("game_outcome", _NUMBER),
    sql.Column("created_at", _MOMENT, server_default=_NOW),
    sql.Index("idx_transitions_timestamp", "timestamp"),
    sql.Index("idx_transitions_episode", "episode_id"),
)

GAME_METADATA = sql.Table(
    "game_metadata",
    TABLES,
    sql.Column("env_id", sql.Text, primary_key=True, nullable=True),
    _due("display_name", sql.Text()),
    _due("board_width", sql.Integer()),
    _due("board_height", sql.Integer()),
    _due("num_actions", sql.Integer()),
    _due("obs_size", sql.Integer()),
    _due("legal_mask_offset", sql.Integer()),
    _due("player_count", sql.Integer()),
    sql.Column("updated_at", _MOMENT, server_default=_NOW),
)
