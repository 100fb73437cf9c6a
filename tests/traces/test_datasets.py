"""Datasets never change: what is built stays what it is, whoever builds, deletes or edits afterwards."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import sqlalchemy as sa

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.traces.datasets import (
    BuildRequest,
    Built,
    build,
    datasets,
    diff,
    export,
    export_file,
    load,
    read_seal,
    rows,
    stored,
    verify,
)
from clew.traces.filters import matches
from clew.traces.manifests import folder_name
from clew.traces.renderings import render
from clew.traces.schema import ConflictError, InvalidError, NotFoundError
from clew.traces.store import TraceStore
from small_traces import trace


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceStore]:
    monkeypatch.chdir(tmp_path)  # a server's manifests are written below the working folder
    where = tmp_path / "traces.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres").new_database()
    with TraceStore.open(where) as opened:
        yield opened


def asked(name: str = "sums", version: str = "1", **more: Any) -> BuildRequest:
    return BuildRequest(dataset_name=name, dataset_version=version, **more)


def test_the_manifest_has_the_agreed_keys_and_stands_beside_the_database(store: TraceStore, tmp_path: Path) -> None:
    ids = [each.id for each in store.add([trace(0), trace(1), trace(22)])]
    built = build(
        store,
        asked(session_id="s", parent_dataset_id="p", training_run_id="r", provenance={"round": 2}),
        tmp_path / "d",
    )
    assert built.new
    assert built.manifest_path == tmp_path / "d" / "sums-1" / "manifest.json"
    found = json.loads(built.manifest_path.read_text(encoding="utf-8"))
    assert found == built.manifest.model_dump(mode="json") == load(store, "sums-1").model_dump(mode="json")
    characters = [len(each.prompt + each.final_answer + "".join(step.content for step in each.steps)) for each in
                  (trace(0), trace(1), trace(22))]  # fmt: skip
    assert {key: found[key] for key in found if key not in ("build_id", "created_at", "content_sha256")} == {
        "dataset_key": "sums-1",
        "dataset_name": "sums",
        "dataset_version": "1",
        "dataset_schema_version": "1.0",
        "filters": {},
        "selection_strategy": "latest",
        "seed": None,
        "trace_ids": ids[::-1],
        "trace_count": 3,
        "stats": {
            "trace_count": 3,
            "avg_step_count": 2.0,
            "min_step_count": 2,
            "max_step_count": 2,
            "avg_total_chars": pytest.approx(sum(characters) / 3),
        },
        "session_id": "s",
        "parent_dataset_id": "p",
        "training_run_id": "r",
        "provenance": {"round": 2},
    }


def test_the_content_hash_is_that_of_the_lines_told(store: TraceStore) -> None:
    store.add([trace(0), trace(1, meta={"ä": "é"})])
    manifest = build(store, asked()).manifest
    digest = hashlib.sha256()
    for trace_id in manifest.trace_ids:
        each = store.get(trace_id)
        value = {"created_at": each.created, "id": each.id, "trace": each.trace.model_dump(mode="json")}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(text.encode() + b"\n")
    assert manifest.content_sha256 == digest.hexdigest()


@pytest.mark.parametrize("form", ["trace", "tunix_sft", "training_example"])
def test_exports_are_the_same_each_time_and_in_the_order_of_the_manifest(
    store: TraceStore, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.traces.datasets._AT_ONCE", 3)
    store.add([trace(number) for number in range(7)])
    manifest = build(store, asked(selection_strategy="random", seed=5)).manifest
    first = b"".join(export(store, "sums-1", form))
    store.add([trace(9)])
    assert b"".join(export(store, "sums-1", form)) == first
    found = [json.loads(line) for line in first.splitlines()]
    assert found == [render(store.get(trace_id), form) for trace_id in manifest.trace_ids]
    assert [row.prompt for row in rows(store, "sums-1")] == [each.trace.prompt for each in stored(store, "sums-1")]


def test_the_same_build_again_is_the_same_dataset_and_another_is_refused(store: TraceStore) -> None:
    store.add([trace(0), trace(1)])
    first = build(store, asked())
    again = build(store, asked())
    assert (again.new, again.manifest, again.manifest_path) == (False, first.manifest, first.manifest_path)
    for other in (asked(filters={"level": 1}), asked(seed=3), asked(provenance={}), asked(parent_dataset_id="x")):
        with pytest.raises(ConflictError, match=r"is there, built .* A dataset never changes: choose another version"):
            build(store, other)
    store.add([trace(2)])
    with pytest.raises(ConflictError, match="content_sha256"):
        build(store, asked())
    assert load(store, "sums-1") == first.manifest
    assert json.loads(first.manifest_path.read_text(encoding="utf-8"))["trace_count"] == 2


def test_a_lost_manifest_file_is_written_again(store: TraceStore) -> None:
    store.add([trace(0)])
    first = build(store, asked())
    first.manifest_path.unlink()
    assert not verify(store, "sums-1").good
    build(store, asked())
    assert verify(store, "sums-1").good


def test_two_names_that_make_one_key_do_not_take_one_another_s_place(store: TraceStore) -> None:
    store.add([trace(0)])
    build(store, asked("a-b", "c"))
    with pytest.raises(ConflictError, match="dataset_name"):
        build(store, asked("a", "b-c"))
    assert load(store, "a-b-c").dataset_name == "a-b"


def test_of_builds_at_once_one_is_the_dataset(store: TraceStore) -> None:
    store.add([trace(number) for number in range(6)])
    done: list[Built] = []
    refused: list[BaseException] = []

    def attempt(level: int) -> None:
        try:
            done.append(build(store, asked(filters={"level": level})))
        except BaseException as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=[number % 2]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert [each.new for each in done].count(True) == 1
    assert len({each.manifest.build_id for each in done}) == 1
    assert all(isinstance(error, ConflictError) for error in refused)
    assert verify(store, "sums-1").good


def test_a_random_choice_depends_on_seed_and_content_alone(store: TraceStore, tmp_path: Path) -> None:
    numbers = range(20)
    store.add([trace(number) for number in numbers])

    def chosen(of: TraceStore, seed: int, version: str) -> list[str]:
        build(of, asked(version=version, limit=5, selection_strategy="random", seed=seed), tmp_path / version)
        return [row.prompt for row in rows(of, f"sums-{version}")]

    first = chosen(store, 1, "1")
    assert len(set(first)) == 5
    assert chosen(store, 2, "2") != first
    with TraceStore.open(tmp_path / "other.db") as other:
        other.add([trace(number) for number in reversed(numbers)])
        assert chosen(other, 1, "3") == first


def test_the_latest_are_the_newest_first(store: TraceStore) -> None:
    store.add([trace(number) for number in range(5)])
    build(store, asked(limit=3))
    assert [row.prompt for row in rows(store, "sums-1")] == [trace(number).prompt for number in (4, 3, 2)]
    build(store, asked(version="2"), limit=10**12)
    assert load(store, "sums-2").trace_count == 5


def test_filters_look_at_meta_and_at_the_version_and_a_meta_of_null_breaks_nothing(store: TraceStore) -> None:
    store.add([trace(0), trace(1, meta=None), trace(2, trace_version="2"), trace(3, meta={"level": True})])

    def count(**filters: Any) -> int:
        built = build(store, asked(version=json.dumps(filters).replace("/", ""), filters=filters))
        return built.manifest.trace_count

    assert count(level=0) == 1
    assert count(category="sum") == 2
    assert count(trace_version="1.0") == 3
    assert count(level=2, trace_version="2") == 1
    assert count(level=None) == 1
    assert count(category=None) == 2
    with pytest.raises(InvalidError, match=r"none of the 4 traces in .* passes its filters"):
        count(level=1)


@pytest.mark.parametrize(
    ("wanted", "held", "passes"),
    [
        (2, 2.0, True), (1, True, False), (False, 0, False), ("2", 2, False), ([1, "a"], [1.0, "a"], True),
        ([1], [True], False), ([1], [1, 2], False), ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": {"b": 0}}, {"a": {"b": 0}}, True),
        ({"a": True}, {"a": 1}, False), (None, None, True), (0, None, False),
    ],
)  # fmt: skip
def test_filters_compare_as_json(wanted: Any, held: Any, passes: bool) -> None:
    assert matches({"x": wanted}, {"x": held}, "1.0") is passes


def test_an_empty_store_makes_no_dataset(store: TraceStore) -> None:
    with pytest.raises(InvalidError, match=r"would be empty: .* holds no traces yet"):
        build(store, asked())
    assert datasets(store) == []


@pytest.mark.parametrize(
    "body",
    [
        {"selection_strategy": "random"}, {"selection_strategy": "first"}, {"limit": 0}, {"limit": 10_001},
        {"dataset_name": ""}, {"dataset_name": "x" * 129}, {"dataset_version": "x" * 65}, {"dataset_name": "a/b"},
        {"dataset_name": "a\0"}, {"dataset_name": " a"}, {"dataset_name": "a\n"}, {"filters": {"x": float("nan")}},
        {"filters": {"x": "\ud800"}}, {"provenance": {"x": float("inf")}},
        {"seed": 2**63, "selection_strategy": "random"},
        {"unknown": 1}, {"limit": "5"}, {"filters": None},
    ],
)  # fmt: skip
def test_a_request_that_breaks_the_schema_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        BuildRequest.model_validate({"dataset_name": "a", "dataset_version": "1"} | body)


def test_folders_tell_keys_apart_on_every_file_system() -> None:
    keys = [
        "a-1",
        "A-1",
        "ä-1",
        "a 1",
        "a_1",
        "..-x",
        ".-",
        "a" * 128 + "-" + "b" * 64,
        "a" * 128 + "-" + "c" * 64,
        "%-1",
    ]
    names = [folder_name(key) for key in keys]
    assert len({name.lower() for name in names}) == len(keys)
    assert all(len(name) < 150 and name.isascii() and "/" not in name and name[0] != "." for name in names)


def test_an_unknown_key_is_told_with_the_nearest(store: TraceStore) -> None:
    store.add([trace(0)])
    build(store, asked())
    for call in (load, verify, rows, stored):
        with pytest.raises(NotFoundError, match=r"There is no dataset 'sums-2' in .*Did you mean 'sums-1'\?"):
            call(store, "sums-2")
    with pytest.raises(NotFoundError):
        export(store, "a\0\ud800", "trace")
    with pytest.raises(InvalidError, match="There is no format 'csv'"):
        export(store, "sums-1", "csv")


CHANGES = [
    ("UPDATE traces SET content = replace(content, '29', '30')", "was changed in the database"),
    ("UPDATE traces SET created_at = '2020-01-01T00:00:00.000000Z'", "is not what was built"),
    ("UPDATE dataset_members SET position = position + 10 WHERE position = 0", "is not what was built"),
    ("DELETE FROM dataset_members WHERE position = 2", "is not what was built"),
    ("UPDATE datasets SET manifest = replace(manifest, '\"latest\"', '\"random\"')", "selection_strategy"),
]


@pytest.mark.parametrize(("statement", "said"), CHANGES)
def test_what_is_changed_in_the_database_by_hand_is_found(store: TraceStore, statement: str, said: str) -> None:
    store.add([trace(0), trace(1), trace(2)])
    build(store, asked())
    assert verify(store, "sums-1").good
    with store.database.writing() as connection:
        connection.execute(sa.text(statement))
    found = verify(store, "sums-1")
    assert not found.good
    assert any(said in fault for fault in found.faults)
    if "datasets" not in statement:
        with pytest.raises(EvidenceError, match="The dataset 'sums-1' is broken"):
            list(export(store, "sums-1", "trace"))


def test_a_trace_deleted_by_hand_is_found(tmp_path: Path) -> None:
    with TraceStore.open(tmp_path / "traces.db") as store:
        ids = [each.id for each in store.add([trace(0), trace(1)])]
        build(store, asked())
        # As a program does that knows nothing of foreign keys.
        with store.database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("DELETE FROM traces WHERE number = 1")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.exec_driver_sql("BEGIN")
        assert f"the trace {ids[0]} was deleted" in verify(store, "sums-1").faults[0]


def test_a_manifest_changed_on_the_disk_is_found(store: TraceStore) -> None:
    store.add([trace(0)])
    path = build(store, asked()).manifest_path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"seed": null', '"seed": 7'), encoding="utf-8")
    assert "seed differs between them" in verify(store, "sums-1").faults[0]
    path.write_text("{", encoding="utf-8")
    assert "is not a manifest of a dataset" in verify(store, "sums-1").faults[0]


def test_what_two_datasets_differ_in(store: TraceStore) -> None:
    ids = [each.id for each in store.add([trace(number) for number in range(4)])]
    build(store, asked(version="1", limit=3))
    build(store, asked(version="2", filters={"category": "sum"}))
    found = diff(store, "sums-1", "sums-2")
    assert (found.added, found.removed, found.common, found.same_order) == ((ids[0],), (), 3, True)
    assert found.changed["filters"] == ({}, {"category": "sum"})
    assert found.changed["dataset_version"] == ("1", "2")
    assert "seed" not in found.changed
    back = diff(store, "sums-2", "sums-1")
    assert (back.added, back.removed) == ((), (ids[0],))
    assert [each["dataset_key"] for each in datasets(store)] == ["sums-2", "sums-1"]


def test_an_exported_file_is_known_by_its_seal(store: TraceStore, tmp_path: Path) -> None:
    store.add([trace(0), trace(1)])
    manifest = build(store, asked()).manifest
    path = tmp_path / "out" / "sums.jsonl"
    seal = export_file(store, "sums-1", "trace", path)
    assert path.read_bytes() == b"".join(export(store, "sums-1", "trace"))
    assert read_seal(path) == seal
    assert (seal.dataset_key, seal.build_id, seal.content_sha256, seal.sha256) == (
        "sums-1", manifest.build_id, manifest.content_sha256, hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"29", b"30"))
    with pytest.raises(InvalidError, match="is not what was exported of the dataset 'sums-1'"):
        read_seal(path)
    (tmp_path / "out" / "sums.manifest.json").unlink()
    assert read_seal(path) is None


@pytest.mark.parametrize("theirs", ["sums.jsonl", "sums.manifest.json"])
def test_an_export_replaces_earlier_exports_and_no_other_file(store: TraceStore, tmp_path: Path, theirs: str) -> None:
    store.add([trace(0)])
    build(store, asked())
    for form in ("trace", "tunix_sft", "training_example"):
        export_file(store, "sums-1", form, tmp_path / "sums.jsonl")
    (tmp_path / theirs).write_text('{"step": 1, "loss": 2.5}\n')
    before = {path: path.read_bytes() for path in tmp_path.glob("sums.*")}
    with pytest.raises(UsageError, match="so it is not replaced"):
        export_file(store, "sums-1", "trace", tmp_path / "sums.jsonl")
    assert {path: path.read_bytes() for path in tmp_path.glob("sums.*")} == before


def test_a_manifest_replaces_no_other_file_and_then_there_is_no_dataset(store: TraceStore, tmp_path: Path) -> None:
    store.add([trace(0)])
    theirs = tmp_path / "mine" / "sums-1" / "manifest.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"name": "an app of mine"}')
    with pytest.raises(UsageError, match="so it is not replaced"):
        build(store, asked(), tmp_path / "mine")
    assert theirs.read_text() == '{"name": "an app of mine"}'
    assert datasets(store) == []


SPOILED = [
    ("UPDATE datasets SET manifest = 'x'", "is no JSON any more"),
    ("UPDATE datasets SET manifest = '[1]'", "is no JSON object any more"),
    ("UPDATE datasets SET manifest = replace(manifest, '\"trace_count\"', '\"count\"')", "'sums-1' was changed"),
]


@pytest.mark.parametrize(("statement", "said"), SPOILED)
def test_a_manifest_that_is_none_any_more_is_told(store: TraceStore, statement: str, said: str) -> None:
    store.add([trace(0)])
    build(store, asked())
    with store.database.writing() as connection:
        connection.execute(sa.text(statement))
    for call in (datasets, lambda store: load(store, "sums-1"), lambda store: list(stored(store, "sums-1"))):
        with pytest.raises(EvidenceError, match=said):
            call(store)


def test_an_export_that_fails_leaves_the_old_file(store: TraceStore, tmp_path: Path) -> None:
    store.add([trace(0), trace(1)])
    build(store, asked())
    path = tmp_path / "sums.jsonl"
    export_file(store, "sums-1", "trace", path)
    before = path.read_bytes()
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE traces SET created_at = '2020-01-01T00:00:00.000000Z'"))
    with pytest.raises(ClewError, match="is broken"):
        export_file(store, "sums-1", "trace", path)
    assert path.read_bytes() == before
    assert read_seal(path) is not None
    assert [each.name for each in tmp_path.glob(".*.tmp")] == []
