"""What a replay database is made of: names of its tables and columns, and what the rows of `game_metadata` may say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from clew.core.errors import EvidenceError
from clew.databases import Schema
from clew.games.rules import GameInfo

if TYPE_CHECKING:
    import sqlalchemy

COLUMNS = (
    "id",
    "env_id",
    "episode_id",
    "step_number",
    "state",
    "action",
    "next_state",
    "observation",
    "next_observation",
    "reward",
    "done",
    "timestamp",
    "policy_probs",
    "mcts_value",
    "game_outcome",
)
"""Columns of the table `transitions` that are written and read; `created_at` is the database's own."""

METADATA = (
    "env_id",
    "display_name",
    "board_width",
    "board_height",
    "num_actions",
    "obs_size",
    "legal_mask_offset",
    "player_count",
)
"""Columns of the table `game_metadata`; `updated_at` stands beside them."""

MOST = {
    "board_width": 2**16,
    "board_height": 2**16,
    "num_actions": 2**24,
    "obs_size": 2**24,
    "legal_mask_offset": 2**24,
    "player_count": 2**10,
}
"""What no game has more of; a row that says so is wrong."""


def _tables() -> sqlalchemy.MetaData:
    from clew.games.replay.tables import TABLES

    return TABLES


SCHEMA = Schema(
    what="replay database",
    columns={"transitions": COLUMNS, "game_metadata": METADATA},
    tables=_tables,
    advice="Start an actor, which makes it (clew actor --db {path}), or check the path.",
)


def make_info(name: str, values: Sequence[Any]) -> GameInfo:
    """The game of a row of `METADATA`. Raises `EvidenceError` naming the column whose value cannot be."""
    row = dict(zip(METADATA, values, strict=True))
    for column, value in row.items():
        if column in MOST:
            least = 0 if column == "legal_mask_offset" else 1
            sound = isinstance(value, int) and least <= value <= MOST[column]
        else:
            sound = isinstance(value, str)
        if not sound:
            raise EvidenceError(
                f"{name}: game_metadata says {column} = {short(repr(value))} for {short(repr(row['env_id']))}, which "
                "cannot be. Correct the row."
            )
    if row["legal_mask_offset"] + row["num_actions"] > row["obs_size"]:
        raise EvidenceError(
            f"{name}: game_metadata of '{row['env_id']}' places {row['num_actions']} legal moves at "
            f"legal_mask_offset {row['legal_mask_offset']} of an observation of obs_size {row['obs_size']}: they do "
            "not fit. Correct the row."
        )
    return GameInfo(*(row[column] for column in METADATA))


def upsert_statement(columns: Iterable[str], now: str) -> str:
    """SQL with `?` for the values of `METADATA` that writes or renews a row; `columns`: those that the table has."""
    renewed = "updated_at" in columns
    names = (*METADATA, "updated_at") if renewed else METADATA
    places = ", ".join(["?"] * len(METADATA) + ([now] if renewed else []))
    renew = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return (
        f"INSERT INTO game_metadata ({', '.join(names)}) VALUES ({places}) ON CONFLICT (env_id) DO UPDATE SET {renew}"
    )


def short(text: str) -> str:
    """What stands in a cell, as a message may show it: never longer than a line."""
    return text if len(text) <= 80 else f"{text[:77]}..."
