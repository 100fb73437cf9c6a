"""A store whose file or server is locked, full, read-only, gone, damaged or foreign: a sentence, and nothing lost."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.databases import UnavailableError, engine, sqlite
from clew.databases.together import Together
from clew.traces.store import TraceStore
from postgres_server import QUOTED_PASSWORD, Server
from small_traces import trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one trace."""
    with TraceStore.open(tmp_path / "traces.db") as store:
        store.add([trace(0)])
    return tmp_path / "traces.db"


def test_a_locked_file_is_told_and_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOCKED_MILLISECONDS", 50)
    with TraceStore.open(path) as store, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="Another process keeps it locked"):
            store.add([trace(1)])
        assert store.count() == 1
        other.rollback()
        store.add([trace(1)])
        assert store.count() == 2


def test_a_full_disk_is_told_and_nothing_is_half_written(path: Path) -> None:
    with TraceStore.open(path) as store:
        with store.database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(UnavailableError, match=r"The disk is full\. Nothing of it was written"):
            store.add([trace(number) for number in range(1000)])
        assert store.count() == 1


def test_a_file_that_can_only_be_read_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "connect", lambda path, mode: sqlite.connect(path, "ro"))
    with TraceStore.open(path) as store:
        assert store.page(1)[0].trace == trace(0)
        with pytest.raises(EvidenceError, match="It cannot be written: change the mode or the owner"):
            store.add([trace(1)])


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_or_replaced_while_in_use_takes_no_more_traces(path: Path, replaced: bool) -> None:
    with TraceStore.open(path) as store:
        path.rename(path.with_name("aside.db"))
        if replaced:
            TraceStore.open(path).close()
        for call in (lambda: store.add([trace(1)]), store.count):
            with pytest.raises(
                UnavailableError, match=r"was deleted or replaced while it was in use|There is no trace st"
            ):
                call()
        path.unlink(missing_ok=True)
        path.with_name("aside.db").rename(path)
        assert len(store.add([trace(1)])) == 1
        assert store.count() == 2


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello " * 1000, encoding="utf-8")
    for create in (True, False):
        with pytest.raises(EvidenceError, match="is not an SQLite database"):
            TraceStore.open(text, create=create)
    assert text.read_text(encoding="utf-8") == "hello " * 1000
    with pytest.raises(EvidenceError, match="is no file"):
        TraceStore.open(tmp_path)
    with pytest.raises(EvidenceError, match="There is no trace store"):
        TraceStore.open(tmp_path / "none.db", create=False)
    (tmp_path / "empty.db").touch()
    with pytest.raises(EvidenceError, match="holds no traces"):
        TraceStore.open(tmp_path / "empty.db", create=False)
    with pytest.raises(ClewError, match=r"Could not make the database .* A part of the path is a file"):
        TraceStore.open(text / "traces.db")
    with pytest.raises(UsageError, match="'mysql://' is none of them"):
        TraceStore.open("mysql://host/db")


@pytest.mark.parametrize("column", ["id", "created_at", "content", "sha256"])
def test_bytes_where_text_is_due_are_told(path: Path, column: str) -> None:
    with TraceStore.open(path) as store:
        with store.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE traces SET {column} = x'ffff'")
        for call in (lambda: store.page(1), lambda: list(store.iterate())):
            with pytest.raises(EvidenceError, match="where text is due: it was changed by hand"):
                call()


def test_nothing_where_text_is_due_is_told(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'traces'")
        other.commit()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE traces SET sha256 = NULL")
        other.commit()
    with TraceStore.open(path) as store, pytest.raises(EvidenceError, match="holds nothing where text is due"):
        store.page(1)


def test_a_damaged_file_is_told(path: Path) -> None:
    with TraceStore.open(path) as store:
        store.add([trace(number) for number in range(500)])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = bytearray(path.read_bytes())
    content[len(content) // 3 :] = b"\xff" * len(content[len(content) // 3 :])
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match="is damaged"), TraceStore.open(path) as store:
        list(store.iterate())


WRITER = """
import sys
from clew.traces.store import TraceStore
from small_traces import trace
with TraceStore.open(sys.argv[1]) as store:
    for number in range(int(sys.argv[2])):
        (stored,) = store.add([trace(number)])
        print(stored.id, flush=True)
"""


@contextlib.contextmanager
def writer(path: Path, count: int) -> Iterator[subprocess.Popen[str]]:
    tests = str(Path(__file__).parents[1])
    script = f"import sys; sys.path.insert(0, {tests!r})\n{WRITER}"
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(count)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_processes_that_open_a_new_file_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(writer(path, 40)) for _ in range(3)]
        told = [process.communicate(timeout=60)[0].split() for process in running]
        assert [process.returncode for process in running] == [0, 0, 0]
    with TraceStore.open(path) as store:
        assert sorted(each.id for each in store.iterate()) == sorted(itertools.chain(*told))


def test_what_a_killed_writer_was_told_is_there(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with writer(path, 1_000_000) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        told += [line for line in process.stdout.read().split() if len(line) == 36]
    with TraceStore.open(path) as store:
        there = {each.id for each in store.iterate()}
    assert set(told) <= there
    assert len(there) <= len(told) + 1


def test_a_server_that_does_not_answer_is_told_without_the_password() -> None:
    with pytest.raises(UnavailableError, match="the server does not answer") as told:
        TraceStore.open("postgresql://clew:hush@127.0.0.1:1/traces")
    assert "hush" not in str(told.value)


def test_a_refused_password_is_told_without_it(postgres: Server) -> None:
    url = postgres.new_database()
    with pytest.raises(EvidenceError, match="refuses this user or this password") as told:
        TraceStore.open(url.replace(QUOTED_PASSWORD, "hush"))
    assert "hush" not in str(told.value)
    with TraceStore.open(url) as store:
        assert QUOTED_PASSWORD not in repr(store)


def test_a_connection_that_the_server_closed_is_made_anew(postgres: Server) -> None:
    with TraceStore.open(postgres.new_database()) as store:
        store.add([trace(0)])
        import psycopg

        with psycopg.connect(postgres.url("postgres"), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() "
                "AND application_name = 'clew'"
            )
        store.add([trace(1)])
        assert store.count() == 2


def test_rows_that_wait_go_together_and_each_is_told_of_a_failure() -> None:
    begun, go_on = threading.Event(), threading.Event()
    written: list[list[int]] = []

    def write(rows: list[int]) -> None:
        begun.set()
        assert go_on.wait(10)
        if 13 in rows:
            raise EvidenceError("thirteen")
        written.append(sorted(rows))

    together, refused = Together(write), list[BaseException]()

    def attempt(number: int) -> None:
        try:
            together([number])
        except EvidenceError as error:
            refused.append(error)

    first = threading.Thread(target=attempt, args=[0])
    first.start()
    assert begun.wait(10)
    others = [threading.Thread(target=attempt, args=[number]) for number in (1, 2, 3)]
    for thread in others:
        thread.start()
    while len(together._waiting) < 3:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert written == [[0], [1, 2, 3]]
    attempt(13)
    assert [str(error) for error in refused] == ["thirteen"]
    attempt(4)
    assert written[-1] == [4]
