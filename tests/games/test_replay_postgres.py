"""The replay database on a PostgreSQL server: commits out of order, restarts, other programs' tables, secrets."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.games.replay import Replay, ReplayUnavailableError
from clew.games.rules import find_game
from episodes import CONTRACT, by_hand, fingerprint, random_episode
from postgres_server import PASSWORD, QUOTED_PASSWORD, Server

FOREIGN = CONTRACT.replace("BLOB", "BYTEA").replace("DATETIME", "TIMESTAMPTZ").replace("done INTEGER", "done BOOLEAN")
"""The agreed table as a program in another language may make it on a server: done is a truth value, reward a REAL."""


@pytest.fixture
def url(postgres) -> str:
    """A new, empty database."""
    return postgres.new_database()


def insert(connection: psycopg.Connection, number: int, *, done_is_boolean: bool = False) -> list[str]:
    """Write an episode by named columns, as an actor that knows nothing of Clew does."""
    ids = []
    for row in random_episode(number):
        values = by_hand(row)
        if done_is_boolean:
            values["done"] = row.done
        connection.execute(
            f"INSERT INTO transitions ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            list(values.values()),
        )
        ids.append(row.id)
    return ids


def test_a_transaction_that_commits_late_is_not_passed_over(url):
    with Replay.open(url, create=True) as replay, psycopg.connect(url) as late, psycopg.connect(url) as early:
        begun_first = insert(late, 1)
        begun_second = insert(early, 2)
        early.commit()
        # The rows of the second are there, but rows of the first may still come before them.
        rows, position = replay.tail("tictactoe", None, 1000)
        assert replay.count("tictactoe") == len(begun_second)
        late.commit()
        more, position = replay.tail("tictactoe", position, 1000)
        assert [row.id for row in rows + more] == begun_first + begun_second
        assert replay.tail("tictactoe", position, 1000)[0] == []


def test_a_late_commit_between_two_looks_of_a_reader_that_is_ahead_is_seen(url):
    with Replay.open(url, create=True) as replay, psycopg.connect(url) as late:
        replay.append(random_episode(0))
        rows, position = replay.tail("tictactoe", None, 1000)
        slow = insert(late, 1)
        quick = []
        for number in range(2, 6):
            replay.append(random_episode(number))
            quick += [row.id for row in random_episode(number)]
            found, position = replay.tail("tictactoe", position, 1000)
            rows += found
        late.commit()
        found, position = replay.tail("tictactoe", position, 1000)
        ids = [row.id for row in rows + found]
        assert sorted(ids) == sorted([row.id for row in random_episode(0)] + slow + quick)
        assert len(set(ids)) == len(ids)


def test_transactions_are_in_the_order_of_numbers_and_not_of_digits(url):
    """Rows of transactions 9, 10, 99 and 100, in pieces of one row."""
    episodes = [random_episode(number) for number in range(4)]
    with Replay.open(url, create=True) as replay:
        for episode, xid in zip(episodes, (9, 10, 99, 100), strict=True):
            replay.append(episode)
            with psycopg.connect(url) as connection:
                connection.execute(
                    "UPDATE transitions SET commit_xid = %s::text::xid8 WHERE episode_id = %s",
                    [str(xid), episode[0].episode_id],
                )
        seen, position = [], None
        while True:
            rows, position = replay.tail("tictactoe", position, 1)
            if not rows:
                break
            seen += [row.id for row in rows]
        assert seen == [row.id for episode in episodes for row in episode]
        assert replay.episode("tictactoe")[0].id == episodes[3][0].id
        replay.delete_older("tictactoe", 1)
        assert replay.count("tictactoe") == len(episodes[3])


def test_a_transaction_that_is_given_up_holds_nothing_back(url):
    with Replay.open(url, create=True) as replay, psycopg.connect(url) as given_up:
        insert(given_up, 1)
        replay.append(random_episode(2))
        given_up.rollback()
        rows, _ = replay.tail("tictactoe", None, 1000)
        assert [row.id for row in rows] == [row.id for row in random_episode(2)]


def test_tables_made_by_another_program_are_read_and_written(url):
    with psycopg.connect(url) as connection:
        connection.execute(FOREIGN)
        before = insert(connection, 1, done_is_boolean=True)
    with Replay.open(url, create=True) as replay:
        rows, position = replay.tail("tictactoe", None, 1000)
        assert [row.id for row in rows] == before
        assert [row.done for row in rows] == [row.done for row in random_episode(1)]
        replay.upsert_metadata(find_game("tictactoe"))
        replay.append(random_episode(2))
        replay.append(random_episode(2))
        with psycopg.connect(url) as connection:
            insert(connection, 3, done_is_boolean=True)
        rows, _ = replay.tail("tictactoe", position, 1000)
        assert [row.id for row in rows] == [row.id for number in (2, 3) for row in random_episode(number)]


def test_a_column_of_another_type_is_named(url):
    with psycopg.connect(url) as connection:
        connection.execute(FOREIGN.replace("action BYTEA", "action INTEGER"))
    with pytest.raises(EvidenceError, match="column action of the table transitions has the type integer where bytea"):
        Replay.open(url)


def test_rows_restored_on_another_server_are_read_once(url):
    with Replay.open(url, create=True) as replay:
        replay.append(random_episode(0))
        replay.append(random_episode(1))
        _, position = replay.tail("tictactoe", None, 1000)
    # What a dump brings along: numbers of transactions that the server has not come to yet, and another server's name.
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE transitions SET commit_xid = (commit_xid::text::bigint + 1000000)::text::xid8")
    position |= {"server": "another"}
    with Replay.open(url) as replay:
        assert replay.tail("tictactoe", position, 1000)[0] == []
        rows, _ = replay.tail("tictactoe", None, 1000)
        assert len(rows) == len(random_episode(0)) + len(random_episode(1))
        replay.append(random_episode(2))
        rows, _ = replay.tail("tictactoe", position, 1000)
        assert [row.id for row in rows] == [row.id for row in random_episode(2)]


def test_a_user_who_may_only_insert_and_select_can_play(url):
    with Replay.open(url, create=True) as replay:
        replay.append(random_episode(0))
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE actor LOGIN PASSWORD 'plain'")
        (schema,) = connection.execute("SELECT current_schema()").fetchone()
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO actor")
        connection.execute("GRANT SELECT, INSERT ON transitions TO actor")
    with Replay.open(url.replace(f"clew:{QUOTED_PASSWORD}", "actor:plain"), create=True) as replay:
        replay.append(random_episode(1))
        assert len(replay.tail("tictactoe", None, 1000)[0]) == len(random_episode(0)) + len(random_episode(1))
        with pytest.raises(EvidenceError, match="does not permit it to this user"):
            replay.clear("tictactoe")


def test_what_a_server_refuses_is_a_sentence_without_the_password(postgres, url):
    nobody = url.replace("clew:", "bob:")
    refused = [
        (url.replace(QUOTED_PASSWORD, "wrong-guess"), "refuses this user or this password"),
        (nobody, "refuses this user or this password"),
        (postgres.url("elsewhere"), "no such database"),
        (url.replace(f":{postgres.port}/", ":1/"), "does not answer. Is it running"),
        (url.replace("127.0.0.1", "no.such.host.invalid"), "name of the server is not known"),
        (url.replace(QUOTED_PASSWORD, "s3cret@wrong-guess"), "cannot be read"),
        (url.replace(QUOTED_PASSWORD, "%zzwrong-guess"), "cannot be read"),
        (f"postgresql://clew:wrong-guess/{url.rpartition('/')[2]}", "cannot be read"),
    ]
    for where, sentence in refused:
        with pytest.raises(ClewError, match=sentence) as raised:
            Replay.open(where)
        said = str(raised.value)
        for secret in (PASSWORD, QUOTED_PASSWORD, "wrong-guess", "s3cret"):
            assert secret not in said, where


def test_a_missing_psycopg_names_the_extra(monkeypatch, url):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("psycopg"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"clew\[postgres\]"):
        Replay.open(url)


def test_sqlite_needs_no_psycopg(tmp_path):
    code = (
        "import sys\nfrom clew.games.replay import Replay\n"
        f"Replay.open({str(tmp_path / 'replay.db')!r}, create=True).close()\n"
        "assert not [name for name in sys.modules if name.startswith('psycopg')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def own_server():
    """A server that the test may stop."""
    server = Server()
    yield server
    server.close()


def test_a_server_that_is_restarted_loses_no_episode_and_doubles_none(own_server, caplog):
    url = own_server.new_database()
    caplog.set_level(logging.WARNING)
    written: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with Replay.open(url, create=True) as replay:
            while not stop.is_set():
                replay.append(random_episode(len(written)))
                written.append(len(written))

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    position = None
    with Replay.open(url, create=True) as reader:
        for mode in ("immediate", "fast"):
            time.sleep(0.3)
            own_server.stop(mode)
            time.sleep(0.2)
            own_server.start()
            rows, position = reader.tail("tictactoe", position, 1_000_000)
            seen += rows
        time.sleep(0.2)
        stop.set()
        writer.join()
        rows, position = reader.tail("tictactoe", position, 1_000_000)
        seen += rows
    assert [row.id for row in seen] == [row.id for number in written for row in random_episode(number)]
    assert fingerprint(seen) == fingerprint([row for number in written for row in random_episode(number)])
    assert "was lost; trying again" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_commit_of_which_nobody_was_told_is_not_written_again(url, monkeypatch):
    """The connection breaks after the server has committed and before the client hears of it."""
    with Replay.open(url, create=True) as replay:
        connection = replay._link._connected()
        real = psycopg.Connection.transaction
        broken = []

        class Deaf:
            def __init__(self, *arguments):
                self._inner = real(*arguments)

            def __enter__(self):
                return self._inner.__enter__()

            def __exit__(self, *trouble):
                self._inner.__exit__(*trouble)
                if not broken:
                    broken.append(True)
                    connection.close()
                    raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(psycopg.Connection, "transaction", lambda self: Deaf(self))
        replay.append(random_episode(0))
        assert broken
        rows, _ = replay.tail("tictactoe", None, 1000)
        assert fingerprint(rows) == fingerprint(random_episode(0))


def test_a_server_that_stays_away_is_a_sentence_and_comes_back_later(own_server, monkeypatch):
    with Replay.open(own_server.new_database(), create=True) as replay:
        replay.append(random_episode(0))
        own_server.stop()
        monkeypatch.setattr(type(replay._link).run, "__kwdefaults__", {"patience": 0.3})
        with pytest.raises(ReplayUnavailableError, match="does not answer"):
            replay.append(random_episode(1))
        with pytest.raises(ReplayUnavailableError, match="does not answer"):
            replay.tail("tictactoe", None, 10)
        own_server.start()
        replay.append(random_episode(1))
        assert replay.count("tictactoe") == len(random_episode(0)) + len(random_episode(1))
