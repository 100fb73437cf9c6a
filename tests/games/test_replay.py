"""The replay database, SQLite and PostgreSQL alike: what is written is read, once, in the order of commits."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clew.core.errors import EvidenceError, UsageError
from clew.games.replay import Replay, without_password
from clew.games.rules import GAMES, GameInfo, find_game
from episodes import by_hand, fingerprint, random_episode

HEX = GameInfo("hex", "Hex", 5, 5, 25, 77, 50)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request, tmp_path) -> str:
    """A database that is not there yet, or is empty."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "replay.db")
    return request.getfixturevalue("postgres").new_database()


@contextlib.contextmanager
def plainly(where: str) -> Iterator[sqlite3.Connection | psycopg.Connection]:
    """The same database without Clew."""
    if "://" in where:
        with psycopg.connect(where, autocommit=True) as connection:
            yield connection
    else:
        with contextlib.closing(sqlite3.connect(where, isolation_level=None)) as connection:
            yield connection


def drain(replay, env_id, after=None, limit=1000):
    rows = []
    while True:
        found, after = replay.tail(env_id, after, limit)
        rows += found
        if len(found) < limit:
            return rows, after


@pytest.mark.parametrize("env_id", GAMES)
def test_what_is_appended_is_read_back_to_the_bit(where, env_id):
    episodes = [random_episode(number, env_id) for number in range(3)]
    with Replay.open(where, create=True) as replay:
        for episode in episodes:
            replay.append(episode)
    wanted = [row for episode in episodes for row in episode]
    with Replay.open(where) as replay:
        rows, _ = replay.tail(env_id, None, 1000)
        assert [row.id for row in rows] == [row.id for row in wanted]
        assert fingerprint(rows) == fingerprint(wanted)
        assert replay.count(env_id) == len(wanted)
        assert replay.env_ids() == {env_id: len(wanted)}
        assert [row.id for row in replay.episode(env_id)] == [row.id for row in episodes[-1]]
        first = episodes[0][0].episode_id
        assert [row.id for row in replay.episode(env_id, first)] == [row.id for row in episodes[0]]
        assert replay.episode(env_id, "nobody's") == []


def test_a_row_without_policy_and_outcome_stays_without(where):
    bare = [dataclasses.replace(row, policy_probs=None, game_outcome=None) for row in random_episode(0)]
    with Replay.open(where, create=True) as replay:
        replay.append(bare)
        rows, _ = replay.tail("tictactoe", None, 100)
    assert all(row.policy_probs is None and row.game_outcome is None for row in rows)


def test_a_reader_that_stops_and_goes_on_sees_each_row_once(where):
    seen, position = [], None
    with Replay.open(where, create=True) as writer, Replay.open(where) as reader:
        for number in range(12):
            writer.append(random_episode(number))
            writer.append(random_episode(number, "connect4", actor="other"))
            if number % 3 == 0:
                rows, position = reader.tail("tictactoe", position, 4)
                seen += [row.id for row in rows]
                position = json.loads(json.dumps(position))
        rows, position = drain(reader, "tictactoe", position, limit=7)
        seen += [row.id for row in rows]
        assert seen == [row.id for number in range(12) for row in random_episode(number)]
        assert reader.tail("tictactoe", position, 10)[0] == []


def test_the_same_episode_again_changes_nothing_and_another_of_its_name_is_refused(where):
    episode, other = random_episode(1), random_episode(2)
    clashing = [
        dataclasses.replace(row, id=f"{episode[0].episode_id}-step-{row.step_number}", episode_id=episode[0].episode_id)
        for row in other
    ]
    with Replay.open(where, create=True) as replay:
        replay.append(episode)
        replay.append(episode)
        with pytest.raises(EvidenceError, match="a name of its own"):
            replay.append(clashing)
        assert replay.count("tictactoe") == len(episode)
        replay.append(other)
        assert fingerprint(drain(replay, "tictactoe")[0]) == fingerprint([*episode, *other])


def test_rows_of_two_episodes_are_not_appended_together(where):
    with Replay.open(where, create=True) as replay:
        with pytest.raises(UsageError, match="another episode"):
            replay.append([*random_episode(0), *random_episode(1)])
        replay.append([])
        assert replay.count("tictactoe") == 0


def test_cleaning_up_keeps_whole_episodes_the_newest(where):
    episodes = [random_episode(number, unix=2_000_000_000 - number) for number in range(10)]
    with Replay.open(where, create=True) as replay:
        for number, episode in enumerate(episodes):
            replay.append(episode)
            replay.append(random_episode(number, "connect4", actor="other"))
        others = replay.count("connect4")
        keep = len(episodes[9]) + len(episodes[8]) + 1
        assert replay.delete_older("tictactoe", keep) == sum(map(len, episodes[:7]))
        rows, _ = drain(replay, "tictactoe")
        assert [row.id for row in rows] == [row.id for episode in episodes[7:] for row in episode]
        assert replay.delete_older("tictactoe", 10_000) == 0
        assert replay.clear("tictactoe") == sum(map(len, episodes[7:]))
        assert (replay.count("tictactoe"), replay.count("connect4")) == (0, others)


def test_a_reader_goes_on_after_cleanup_and_after_all_was_cleared(where):
    first, second, third = (random_episode(number) for number in range(3))
    with Replay.open(where, create=True) as writer, Replay.open(where) as reader:
        writer.append(first)
        _, position = reader.tail("tictactoe", None, 100)
        writer.append(second)
        writer.delete_older("tictactoe", 1)
        rows, position = reader.tail("tictactoe", position, 100)
        assert [row.id for row in rows] == [row.id for row in second]
        writer.clear("tictactoe")
        assert reader.tail("tictactoe", position, 100)[0] == []
        writer.append(third)
        rows, position = reader.tail("tictactoe", position, 100)
        assert [row.id for row in rows] == [row.id for row in third]


KEEPS_ONE = {
    "sqlite": """CREATE TRIGGER keeper BEFORE DELETE ON transitions WHEN OLD.id = '{}'
        BEGIN SELECT RAISE(ABORT, 'this row is kept'); END""",
    "postgres": """CREATE FUNCTION keeper() RETURNS trigger AS $$ BEGIN
            IF OLD.id = '{}' THEN RAISE EXCEPTION 'this row is kept'; END IF; RETURN OLD; END $$ LANGUAGE plpgsql;
        CREATE TRIGGER keeper BEFORE DELETE ON transitions FOR EACH ROW EXECUTE FUNCTION keeper()""",
}


def test_all_rows_of_a_game_are_cleared_or_none(where, request):
    kind = request.node.callspec.params["where"]
    with Replay.open(where, create=True) as replay:
        for number in range(300):
            replay.append(random_episode(number))
        before = replay.count("tictactoe")
        with plainly(where) as connection:
            connection.execute(KEEPS_ONE[kind].format(random_episode(299)[-1].id))
        with pytest.raises(EvidenceError, match="this row is kept"):
            replay.clear("tictactoe")
        assert replay.count("tictactoe") == before


def test_a_reader_that_begins_at_the_end_sees_what_comes_after(where):
    with Replay.open(where, create=True) as replay:
        assert replay.tail("tictactoe", replay.end("tictactoe"), 100)[0] == []
        replay.append(random_episode(0))
        replay.append(random_episode(0, "connect4", actor="other"))
        end = json.loads(json.dumps(replay.end("tictactoe")))
        assert replay.tail("tictactoe", end, 100)[0] == []
        replay.append(random_episode(1))
        rows, _ = replay.tail("tictactoe", end, 100)
        assert [row.id for row in rows] == [row.id for row in random_episode(1)]
        # So too where what came before is deleted afterwards.
        end = replay.end("tictactoe")
        replay.clear("tictactoe")
        assert replay.tail("tictactoe", end, 100)[0] == []
        replay.append(random_episode(2))
        rows, _ = replay.tail("tictactoe", end, 100)
        assert [row.id for row in rows] == [row.id for row in random_episode(2)]


def test_what_a_notebook_asks_of_a_database(where):
    episodes = [random_episode(number) for number in range(5)]
    with Replay.open(where, create=True) as replay:
        for episode in episodes:
            replay.append(episode)
    with Replay.open(where) as replay:
        assert replay.count() == replay.count("tictactoe") == sum(map(len, episodes))
        assert [[row.id for row in episode] for episode in replay.episodes("tictactoe")] == [
            [row.id for row in episode] for episode in episodes
        ]
        assert fingerprint(list(replay.rows("tictactoe"))) == fingerprint([row for each in episodes for row in each])
        assert replay.statistics() == replay.statistics("tictactoe")
        assert replay.statistics()["episodes"] == 5
        (report,) = replay.check()
        assert (report["env_id"], report["faults"]) == ("tictactoe", [])
        assert repr(replay).startswith("Replay.open(")
    with Replay.open(where, create=True) as replay:
        replay.append(random_episode(0, "connect4", actor="other"))
        with pytest.raises(UsageError, match="Choose a game"):
            replay.statistics()
        assert [report["env_id"] for report in replay.check()] == ["connect4", "tictactoe"]


def test_an_episode_deleted_by_hand_is_all_that_is_missed(where):
    episodes = [random_episode(number) for number in range(4)]
    with Replay.open(where, create=True) as writer, Replay.open(where) as reader:
        for episode in episodes[:3]:
            writer.append(episode)
        _, position = reader.tail("tictactoe", None, 100)
        with plainly(where) as connection:
            connection.execute(f"DELETE FROM transitions WHERE episode_id = '{episodes[2][0].episode_id}'")
        writer.append(episodes[3])
        rows, _ = reader.tail("tictactoe", position, 100)
        assert [row.id for row in rows] == [row.id for row in episodes[3]]


def test_the_database_describes_its_games(where):
    with Replay.open(where, create=True) as replay:
        assert replay.metadata() == {}
        replay.upsert_metadata(find_game("connect4"))
        replay.upsert_metadata(HEX)
        replay.upsert_metadata(HEX)
        assert replay.metadata()["hex"] == HEX
        assert replay.info("hex") == HEX
        assert replay.info("connect4").legal_mask_offset == 84
    with plainly(where) as connection:
        row = connection.execute("SELECT * FROM game_metadata WHERE env_id = 'connect4'").fetchone()
        assert row[:8] == ("connect4", "Connect 4", 7, 6, 7, 93, 84, 2)
        assert row[8] is not None


def test_a_game_that_nothing_describes_is_told_unless_its_rules_are_here(where):
    with Replay.open(where, create=True) as replay:
        replay.append(random_episode(0, "othello"))
        assert replay.info("othello") is GAMES["othello"]
        with pytest.raises(EvidenceError, match=r"does not describe the game 'othelo'.*Did you mean 'othello'"):
            replay.info("othelo")
        replay.upsert_metadata(HEX)
    with plainly(where) as connection:
        connection.execute("UPDATE game_metadata SET legal_mask_offset = 70 WHERE env_id = 'hex'")
    with Replay.open(where) as replay, pytest.raises(EvidenceError, match="legal_mask_offset 70"):
        replay.info("hex")


def test_a_column_that_is_missing_is_named(where):
    with Replay.open(where, create=True) as replay:
        replay.append(random_episode(0))
    with plainly(where) as connection:
        connection.execute("ALTER TABLE transitions RENAME COLUMN mcts_value TO root_value")
    with pytest.raises(EvidenceError, match="table transitions has no column mcts_value"), Replay.open(where) as replay:
        replay.count("tictactoe")


def test_the_tables_and_indices_have_the_agreed_names(where):
    with Replay.open(where, create=True):
        pass
    with plainly(where) as connection:
        wanted = {"idx_transitions_timestamp", "idx_transitions_episode"}
        if "://" in where:
            indices = {
                row[0]
                for row in connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()")
            }
        else:
            indices = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
            columns = connection.execute("PRAGMA table_info(transitions)").fetchall()
            assert [(column[1], column[2], column[3]) for column in columns] == [
                *(("id", "TEXT", 0), ("env_id", "TEXT", 1), ("episode_id", "TEXT", 1), ("step_number", "INTEGER", 1)),
                *(("state", "BLOB", 1), ("action", "BLOB", 1), ("next_state", "BLOB", 1), ("observation", "BLOB", 1)),
                *(("next_observation", "BLOB", 1), ("reward", "REAL", 1), ("done", "INTEGER", 1)),
                *(("timestamp", "INTEGER", 1), ("policy_probs", "BLOB", 0), ("mcts_value", "REAL", 0)),
                *(("game_outcome", "REAL", 0), ("created_at", "DATETIME", 0)),
            ]
        assert wanted <= indices


def test_what_is_written_is_what_another_program_expects(where):
    episode = random_episode(5, "connect4")
    with Replay.open(where, create=True) as replay:
        replay.append(episode)
    with plainly(where) as connection:
        for row in episode:
            due = by_hand(row)
            found = connection.execute(f"SELECT {', '.join(due)} FROM transitions WHERE id = '{row.id}'").fetchone()
            assert dict(zip(due, found, strict=True)) == due


def write_many(where: str, actor: str, episodes: int) -> None:
    """What each writing process does."""
    with Replay.open(where, create=True) as replay:
        replay.upsert_metadata(find_game("tictactoe"))
        for number in range(episodes):
            replay.append(random_episode(number, actor=actor))


def test_four_processes_write_and_one_reads_and_nothing_is_lost_or_seen_twice(where):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["test_replay"])
    writers = [processes.Process(target=write_many, args=(where, f"actor{index}", 60)) for index in range(4)]
    for writer in writers:
        writer.start()
    seen, position = [], None
    with Replay.open(where, create=True) as reader:
        while True:
            finished = not any(writer.is_alive() for writer in writers)
            rows, position = reader.tail("tictactoe", position, 50)
            seen += rows
            if finished and len(rows) < 50:
                break
            time.sleep(0.001)
    assert [writer.exitcode for writer in writers] == [0] * 4
    wanted = [
        row for index in range(4) for number in range(60) for row in random_episode(number, actor=f"actor{index}")
    ]
    assert len(seen) == len(wanted)
    assert fingerprint(seen) == fingerprint(wanted)
    # Each episode came in one transaction, so its rows follow one another.
    changes = sum(one.episode_id != other.episode_id for one, other in itertools.pairwise(seen))
    assert changes == 4 * 60 - 1


def test_a_place_of_another_kind_is_a_sentence():
    with pytest.raises(UsageError, match="'mysql://' is none of them"):
        Replay.open("mysql://host/replay")


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("data/replay.db", "data/replay.db"),
        ("postgresql://clew:se%40cret@host:5432/replay?sslmode=require", "postgresql://clew@host:5432/replay"),
        ("postgresql://clew:p@ss@host/replay", "postgresql://clew@host/replay"),
        ("postgresql://clew:1?x@host/replay", "postgresql://..."),
        ("postgresql://host/replay?password=secret", "postgresql://host/replay"),
        ("postgresql://clew:secret/replay", "postgresql://..."),
        ("postgresql:///replay", "postgresql:///replay"),
    ],
)
def test_a_password_is_never_shown(where, shown):
    assert without_password(where) == shown


def test_a_relative_url_names_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Replay.open("sqlite:///some/replay.db", create=True) as replay:
        replay.append(random_episode(0))
    assert Path("some/replay.db").is_file()
