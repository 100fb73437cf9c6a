"""Tables that are told once and made in SQLite and PostgreSQL, and what loading them costs nobody else."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from clew.games.replay.schema import COLUMNS, METADATA, SCHEMA
from clew.games.replay.tables import GAME_METADATA, TRANSITIONS
from episodes import CONTRACT

METADATA_CONTRACT = """
CREATE TABLE game_metadata (
    env_id TEXT PRIMARY KEY, display_name TEXT NOT NULL, board_width INTEGER NOT NULL, board_height INTEGER NOT NULL,
    num_actions INTEGER NOT NULL, obs_size INTEGER NOT NULL, legal_mask_offset INTEGER NOT NULL,
    player_count INTEGER NOT NULL, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
"""


def test_sqlite_has_the_tables_of_the_contract():
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as ours,
        contextlib.closing(sqlite3.connect(":memory:")) as due,
    ):
        for statement in SCHEMA.statements("sqlite"):
            ours.execute(statement)
        due.executescript(CONTRACT + METADATA_CONTRACT)
        for question in (
            "PRAGMA table_info(transitions)",
            "PRAGMA table_info(game_metadata)",
            "PRAGMA index_info(idx_transitions_timestamp)",
            "PRAGMA index_info(idx_transitions_episode)",
            "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name",
        ):
            assert ours.execute(question).fetchall() == due.execute(question).fetchall(), question


def test_postgres_has_them_too_with_its_own_types(postgres):
    ours = postgres.new_database()
    types = {"BLOB": "bytea", "DATETIME": "timestamp with time zone", "REAL": "double precision"}
    with psycopg.connect(ours) as connection, contextlib.closing(sqlite3.connect(":memory:")) as due:
        for statement in SCHEMA.statements("postgresql"):
            connection.execute(statement)
        due.executescript(CONTRACT + METADATA_CONTRACT)
        for table in ("transitions", "game_metadata"):
            found = connection.execute(
                "SELECT column_name, data_type, is_nullable = 'NO' FROM information_schema.columns "
                "WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
                [table],
            ).fetchall()
            wanted = [
                # A primary key is never null there, and unix seconds outgrow 32 bits.
                (name, "bigint" if name == "timestamp" else types.get(kind, kind.lower()), bool(due_ or key))
                for _, name, kind, due_, _, key in due.execute(f"PRAGMA table_info({table})")
            ]
            assert found == wanted


def test_the_columns_that_statements_name_are_those_of_the_tables():
    assert [column.name for column in TRANSITIONS.columns] == [*COLUMNS, "created_at"]
    assert [column.name for column in GAME_METADATA.columns] == [*METADATA, "updated_at"]


WRITES = """
import sys
from clew.games.replay import Replay
from clew.games.rules import find_game
from episodes import random_episode

with Replay.open(sys.argv[1], create=True) as replay:
    replay.upsert_metadata(find_game("tictactoe"))
    replay.append(random_episode(int(sys.argv[2])))
    print(replay.count("tictactoe"), replay.tail("tictactoe", None, 10)[0][0].id)
print("ORM" if "sqlalchemy.orm" in sys.modules else "core" if "sqlalchemy" in sys.modules else "none")
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_actor_loads_no_orm_and_where_the_tables_are_there_no_sqlalchemy(tmp_path, request, kind):
    where = str(tmp_path / "r.db") if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    loaded = []
    for number in (0, 1):
        done = subprocess.run(
            [sys.executable, "-c", WRITES, where, str(number)],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        loaded.append(done.stdout.split()[-1])
    assert loaded == ["core", "none"]
