"""The store of traces, the same on SQLite and PostgreSQL: what is answered as written is there, whoever else writes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import clew.traces
from clew.core.errors import EvidenceError
from clew.traces.schema import MOST_BYTES, ConflictError, InvalidError, NotFoundError, Trace
from clew.traces.store import TraceStore
from clew.traces.tables import METADATA, REVISION
from small_traces import trace


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place where nothing is yet."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "traces.db")
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def store(where: str) -> Iterator[TraceStore]:
    with TraceStore.open(where) as opened:
        yield opened


def test_what_was_written_is_there_under_its_id_when_the_store_is_opened_again(where: str) -> None:
    before = datetime.now(UTC)
    with TraceStore.open(where) as store:
        written = store.add([trace(0), trace(1, meta=None)])
    assert [uuid.UUID(each.id).version for each in written] == [4, 4]
    with TraceStore.open(where, create=False) as store:
        for each, given in zip(written, [trace(0), trace(1, meta=None)], strict=True):
            found = store.get(each.id)
            assert found == each
            assert found.trace == given
            assert before - timedelta(seconds=1) < found.created_at < before + timedelta(minutes=1)
            assert found.check().document() == {
                "id": each.id,
                "created_at": each.created,
                **given.model_dump(mode="json"),
            }


def test_pages_go_from_the_newest_to_the_oldest(store: TraceStore) -> None:
    ids = [store.add([trace(number)])[0].id for number in range(5)]
    assert [each.id for each in store.page(2)] == ids[:2:-1]
    assert [each.id for each in store.page(10, 3)] == [ids[1], ids[0]]
    assert store.page(10, 5) == []
    assert store.page(10, 10**30) == []
    assert store.count() == 5


def test_all_traces_stream_in_the_order_in_which_they_came(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.traces.store._AT_ONCE", 4)
    written = [each.id for each in store.add([trace(number) for number in range(8)])]
    assert [each.id for each in store.iterate()] == written
    assert [each.trace.meta for each in store.iterate(filters={"level": 1})] == [trace(1).meta] * 3
    chosen = [written[6], written[0], written[6], *written[1:5]]
    assert [each.id for each in store.iterate(chosen)] == chosen
    with pytest.raises(NotFoundError, match="There is no trace 'nobody'"):
        list(store.iterate([written[0], "nobody"]))


@pytest.mark.parametrize("unknown", ["", "x", "00000000-0000-0000-0000-000000000000", "a\0b", "\ud800", "'; --"])
def test_an_unknown_id_is_not_found(store: TraceStore, unknown: str) -> None:
    with pytest.raises(NotFoundError):
        store.get(unknown)
    with pytest.raises(NotFoundError):
        store.add_score(unknown, {}, 1.0, {})
    assert store.scores(unknown) == []


def too_large(by: int = 0) -> Trace:
    """A trace whose JSON is 1 MiB and `by` bytes long."""
    empty = len(trace(0, meta={"x": ""}).model_dump_json())
    return trace(0, meta={"x": "a" * (MOST_BYTES + by - empty)})


def deep(levels: int) -> Trace:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return trace(0, meta={"x": value})


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (trace(0, meta={"x": float("nan")}), "meta of trace 2 cannot be kept as JSON"),
        (trace(0, meta={"x": [float("inf")]}), "cannot be kept"),
        (trace(0, meta={"x": "\ud800"}), "cannot be kept"),
        (trace(0, meta={"x": datetime.now(UTC)}), "cannot be kept"),
        (trace(0, meta={"x": 10**5000}), "cannot be kept"),
        (too_large(1), "has 1,048,577 bytes as JSON; at most 1,048,576"),
    ],
)
def test_traces_are_written_all_or_none(store: TraceStore, bad: Trace, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        store.add([trace(0), bad, trace(1)])
    assert store.count() == 0
    with pytest.raises(InvalidError):
        store.add_many(iter([trace(0), bad]))
    assert store.count() == 0
    store.add([too_large()])


def test_a_meta_too_deep_to_write_is_refused(store: TraceStore) -> None:
    with pytest.raises(InvalidError, match="cannot be kept as JSON"):
        store.add([deep(100_000)])


def test_many_traces_are_written_in_one_transaction(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.traces.store._AT_ONCE", 3)

    def coming(fails: bool) -> Iterator[Trace]:
        for number in range(8):
            if fails and number == 7:
                raise ConflictError("enough")
            yield trace(number)

    with pytest.raises(ConflictError, match="enough"):
        store.add_many(coming(True))
    assert store.count() == 0
    ids = store.add_many(coming(False))
    assert [each.trace.prompt for each in store.iterate(ids)] == [trace(number).prompt for number in range(8)]


def test_nothing_is_lost_of_what_many_threads_write(store: TraceStore) -> None:
    ids: list[str] = []

    def write(writer: int) -> None:
        for number in range(10):
            ids.extend(each.id for each in store.add([trace(writer), trace(number)]))

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 240
    assert sorted(each.id for each in store.iterate()) == sorted(ids)


def test_stores_that_open_at_once_make_the_tables_once(where: str) -> None:
    faults: list[BaseException] = []
    start = threading.Barrier(4)

    def begin() -> None:
        try:
            start.wait()
            with TraceStore.open(where) as store:
                store.add([trace(0)])
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with TraceStore.open(where) as store:
        assert store.count() == 4


def test_the_migrations_make_the_tables_that_the_code_knows(store: TraceStore) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(clew.traces.__path__[0], "migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == REVISION


def test_a_newer_schema_is_told_and_left_alone(where: str) -> None:
    with TraceStore.open(where) as store, store.database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EvidenceError, match=r"the schema 9999, which this Clew \(schema \d+\) does not know.*Update"):
        TraceStore.open(where)


def test_a_database_of_another_program_is_told_and_left_alone(where: str) -> None:
    with TraceStore.open(where) as store, store.database.writing() as connection:
        METADATA.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        connection.execute(sa.text("CREATE TABLE customers (id INTEGER)"))
    with pytest.raises(EvidenceError, match="is no trace store: it holds customers of another program"):
        TraceStore.open(where)


def test_a_trace_changed_by_hand_is_known(store: TraceStore) -> None:
    written = store.add([trace(0), trace(1)])
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE traces SET content = replace(content, '29', '30')"))
    with pytest.raises(EvidenceError, match=f"The trace {written[0].id} was changed in the database"):
        store.get(written[0].id).check()
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE traces SET content = '{'"))
    with pytest.raises(EvidenceError, match="is no trace any more"):
        _ = store.get(written[1].id).trace


def test_scores_are_kept_with_their_criteria(store: TraceStore) -> None:
    (one,) = store.add([trace(0)])
    first = store.add_score(one.id, {"judge": "answer", "expected": "29"}, 1.0, {"answer": "29"})
    second = store.add_score(one.id, {"judge": "answer", "expected": "30"}, 0.0, {"answer": "29"})
    assert store.scores(one.id) == [first, second]


# Runs


def test_of_all_who_start_a_run_one_does(store: TraceStore) -> None:
    jobs = [store.add_job({"number": number}) for number in range(3)]
    claimed: list[object] = []
    threads = [threading.Thread(target=lambda: claimed.append(store.claim_job())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The oldest, once: the others wait while it works.
    assert [job for job in claimed if job is not None] == [store.job(jobs[0].id)]
    assert store.job(jobs[0].id).state == "starting"
    store.update_job(jobs[0].id, state="done")
    second = store.claim_job()
    assert second is not None
    assert second.id == jobs[1].id
    assert [job.id for job in store.jobs()] == [job.id for job in reversed(jobs)]
    assert [job.id for job in store.jobs(states=["queued"])] == [jobs[2].id]


def test_a_run_changes_only_from_an_expected_state(store: TraceStore) -> None:
    job = store.add_job({"model": "base"}, folder="runs/x", job_id="given")
    assert store.job("given") == job
    running = store.update_job("given", expected=["queued"], state="running", pid=7, pid_started="123.5")
    assert running is not None
    assert (running.state, running.pid, running.request) == ("running", 7, {"model": "base"})
    assert store.update_job("given", expected=["queued"], state="cancelled") is None
    assert store.job("given").state == "running"
    with pytest.raises(NotFoundError):
        store.update_job("nobody", state="done")
    with pytest.raises(NotFoundError):
        store.job("nobody")


def test_the_leaderboard_begins_with_the_best(store: TraceStore) -> None:
    kept = [
        store.add_evaluation(
            name, eval_set_sha256=set_, judge="answer", examples=10, mean_score=score, details={"by": name}
        )
        for name, set_, score in (("a", "s1", 0.5), ("b", "s1", 0.9), ("c", "s2", 0.7), ("d", "s1", 0.9))
    ]
    assert [each.name for each in store.evaluations()] == ["b", "d", "c", "a"]
    assert [each.name for each in store.evaluations("newest", limit=2, offset=1)] == ["c", "b"]
    assert [each.name for each in store.evaluations(eval_set_sha256="s1")] == ["b", "d", "a"]
    assert store.evaluation(kept[2].id) == kept[2]


def test_a_baseline_is_replaced_only_where_that_is_asked_for(store: TraceStore) -> None:
    one, two = (
        store.add_evaluation(name, eval_set_sha256="s", judge="exact", examples=1, mean_score=1.0) for name in "ab"
    )
    first = store.set_baseline("main", one.id)
    assert store.set_baseline("main", one.id) == first
    with pytest.raises(ConflictError, match="The baseline 'main' is the evaluation"):
        store.set_baseline("main", two.id)
    assert store.baseline("main").evaluation == one
    store.set_baseline("main", two.id, replace=True)
    assert [each.evaluation for each in store.baselines()] == [two]
    with pytest.raises(NotFoundError):
        store.baseline("other")
    with pytest.raises(NotFoundError):
        store.set_baseline("other", "nobody")
