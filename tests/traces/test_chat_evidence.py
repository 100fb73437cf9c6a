"""Traces as evidence: every format gives the same, what does not fit is told before anything is trained."""

from __future__ import annotations

import json

import pytest

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.traces import datasets
from clew.traces.evidence import prepare
from clew.traces.manifests import BuildRequest
from clew.traces.store import TraceStore
from small_sft import small_sft, write_questions, write_traces
from small_traces import trace


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with TraceStore.open(folder / "traces.db") as opened:
        opened.add([trace(number) for number in range(20)])
        datasets.build(opened, BuildRequest(dataset_name="sums", dataset_version="1"))
        yield opened, folder


def prepared(path, **changed):
    return prepare(small_sft(path, **changed))


def tokens(found):
    return [each.tokens.tolist() for each in found.encoded]


def test_a_key_and_each_format_of_its_export_give_the_same_tokens(store):
    opened, folder = store
    whole = prepared("sums-1", data={"db": str(folder / "traces.db")})
    assert whole.evidence.key == "sums-1"
    assert len(whole.rows) == 20
    for form in ("trace", "tunix_sft", "training_example"):
        path = folder / f"{form}.jsonl"
        seal = datasets.export_file(opened, "sums-1", form, path)
        found = prepared(path, data={"format": form})
        assert tokens(found) == tokens(whole)
        assert (found.evidence.key, found.evidence.build_id) == ("sums-1", seal.build_id)
        assert found.manifest()["build_id"] == seal.build_id


def test_a_system_text_in_the_rows_stands_once(store):
    opened, folder = store
    datasets.export_file(opened, "sums-1", "tunix_sft", folder / "system.jsonl", system="Be brief.")
    with_system = prepared(folder / "system.jsonl", system_instruction="Be brief.")
    whole = prepared("sums-1", data={"db": str(folder / "traces.db")}, system_instruction="Be brief.")
    assert tokens(with_system) == tokens(whole)


def test_an_export_that_was_edited_is_refused(store):
    opened, folder = store
    path = folder / "edited.jsonl"
    datasets.export_file(opened, "sums-1", "trace", path)
    path.write_text(path.read_text().replace("29", "30", 1))
    with pytest.raises(ClewError, match="is not what was exported of the dataset 'sums-1'"):
        prepared(path)


def test_no_prompt_is_on_both_sides_and_all_rows_are_on_one(tmp_path):
    path = write_traces(tmp_path / "a.jsonl", 30)
    path.write_text(path.read_text() * 2)
    found = prepared(path)
    sides = [{found.rows[index].prompt for index in side} for side in (found.train, found.held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 6
    assert sorted([*found.train, *found.held_out]) == list(range(60))


def test_one_prompt_alone_is_trained_on_and_that_is_said(tmp_path):
    path = write_traces(tmp_path / "a.jsonl", 1)
    path.write_text(path.read_text() * 5)
    found = prepared(path)
    assert (len(found.train), len(found.held_out)) == (5, 0)
    assert "nothing is held out" in " ".join(found.describe())


def test_what_is_longer_than_a_row_stops_the_run_unless_it_is_to_be_left_out(tmp_path):
    path = write_traces(tmp_path / "a.jsonl", 6)
    lines = path.read_text().splitlines()
    long = json.loads(lines[3]) | {"prompt": "Why? " * 60}
    path.write_text("\n".join([*lines[:3], json.dumps(long), *lines[4:]]) + "\n")
    with pytest.raises(EvidenceError, match=r"1 of 6 conversations do not fit into a row of 200 .* row 4"):
        prepared(path)
    found = prepared(path, data={"too_long": "skip"})
    assert (len(found.rows), found.skipped) == (5, 1)
    assert "1 conversations of more than 200 tokens are left out" in " ".join(found.describe())
    with pytest.raises(EvidenceError, match="6 of 6"):
        prepared(path, data={"too_long": "skip"}, model={"max_length": 8})


def test_the_first_rows_alone_are_taken(tmp_path):
    found = prepared(write_traces(tmp_path / "a.jsonl"), data={"max_samples": 7})
    assert [row.prompt for row in found.rows] == [f"What is {n} + {n + 3}?" for n in range(7)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no traces"),
        (b'{"prompt": "a"}\n', r"a.jsonl:1:"),
        (b'{"prompt": "a", "final_answer": "b", "steps": [], "trace_version": "1"}', r"a.jsonl:1:"),
        (b"{" * 100_000, r"a.jsonl:1:"),
        (b"\xff\xfe", r"a.jsonl:1:"),
        (b'{"id": "1", "prompts": "no turns", "final_answer": "b"}', r"a.jsonl:1:.*no conversation of one turn"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, content, told):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ClewError, match=f"(?s){told}"):
        prepared(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("path", "told"), [("", "give --data FILE"), ("missing.jsonl", "There is no file"), ("sums-9", "sums-9")]
)
def test_what_is_not_there_is_told(store, path, told):
    with pytest.raises(ClewError, match=told):
        prepared(path, data={"db": str(store[1] / "traces.db")})


def test_a_dataset_in_a_database_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EvidenceError, match="no file sums-1; and as the key of a dataset"):
        prepared("sums-1", data={"db": str(tmp_path / "none.db")})
    assert not list(tmp_path.iterdir())


def test_questions_that_are_not_there_are_told_before_anything_is_trained(tmp_path):
    path = write_traces(tmp_path / "a.jsonl")
    with pytest.raises(ClewError, match=r"none.jsonl"):
        prepared(path, data={"eval_set": str(tmp_path / "none.jsonl")})
    questions = write_questions(tmp_path / "q.jsonl")
    with pytest.raises(UsageError, match="no judge 'anser'"):
        prepared(path, data={"eval_set": str(questions), "judge": "anser"})


def test_a_template_that_is_unknown_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="no chat template 'turns2'"):
        prepared(tmp_path / "missing.jsonl", model={"template": "turns2"})
    assert not list(tmp_path.iterdir())
