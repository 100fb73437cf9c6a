"""Files of traces: what is wrong with a line is told with file, line and column, and nothing of it is imported."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from clew.core.errors import ClewError
from clew.traces.ingest import ingest
from clew.traces.jsonl import LineError, read_rows, read_traces
from clew.traces.schema import InvalidError
from clew.traces.store import TraceStore
from small_traces import trace

GOOD = trace(0).model_dump_json()


def read(content: bytes) -> list[str]:
    return [each.prompt for each in read_traces(io.BytesIO(content), name="t.jsonl")]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n",
        b"\n\r\n  \n" + GOOD.encode() + b"\n\n",
        b"  " + GOOD.encode() + b"\t\n",
        json.dumps(json.loads(GOOD), ensure_ascii=True).encode(),
    ],
)
def test_marks_blank_lines_and_line_ends_do_not_matter(content: bytes) -> None:
    assert read(content) == [trace(0).prompt]


def changed(**changes: object) -> str:
    return json.dumps(json.loads(GOOD) | changes)


@pytest.mark.parametrize(
    ("bad", "column", "said"),
    [
        ('{"prompt": "a"', 15, "this is no JSON"),
        ('{"prompt": nope}', 12, "this is no JSON"),
        ("[1]", 1, "this is no object"),
        ("17", 1, "this is no object"),
        ("   [1]", 4, "this is no object"),
        ('  {"prompts": 1, "response": ""}', 15, "prompts is no text"),
        (GOOD + " {}", len(GOOD) + 2, "something stands behind"),
        (changed(meta={"x": float("nan")}), None, "NaN is no number of JSON"),
        (GOOD.replace('"level":0', '"level":-Infinity'), None, "-Infinity is no number of JSON"),
        (GOOD.replace('"level":0', '"level":1e999'), None, "1e999 is no number of JSON"),
        (GOOD.replace('"level":0', f'"level":{"1" * 5000}'), 1, "thousands of digits"),
        ("[" * 100_000, 1, "too deep"),
        ('{"a":' * 100_000, 1, "too deep"),
        (changed(prompt=7), None, "prompt: Input should be a valid string"),
        (changed(prompt=""), None, "prompt: String should have at least 1 character"),
        (changed(steps=[]), None, "steps: "),
        (changed(steps=[{"i": 0, "type": "x", "content": "y"}, {"i": -1, "type": "x", "content": "y"}]), None, ".1.i"),
        (changed(steps=[{"i": 0, "type": "x", "content": "y"}] * 2), None, "two steps have the number 0"),
        (changed(prompt="a\0b"), None, "zero byte"),
        (changed(prompt="\ud800"), None, "unable to parse raw data as a unicode string"),
        (changed(extra=1), None, "extra: Extra inputs"),
        (changed(id=7), None, "id is no text"),
        ('{"prompts": "a", "trace_steps": [1], "final_answer": "b"}', 33, "trace_steps is no list of texts"),
        ('{"prompts": "a", "trace_steps": [], "final_answer": "b"}', 1, "has no steps"),
        ('{"prompts": "a", "trace_steps": ["x"]}', 1, "final_answer is missing"),
        ('{"prompts": "hello", "final_answer": "b"}', 13, "no conversation"),
        ('{"prompt": "q", "response": "because", "metadata": {}}', 29, "another form"),
        ('{"prompt": "q", "response": "Answer: a", "metadata": []}', 54, "metadata is no object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_told_with_file_line_and_column(bad: str, column: int | None, said: str) -> None:
    content = f"{GOOD}\n\n{bad}\n".encode("utf-8", "surrogatepass")
    with pytest.raises(LineError) as told:
        read(content)
    assert told.value.line == 3
    assert str(told.value).startswith(f"t.jsonl:3:{told.value.column}: ")
    assert said in str(told.value)
    if column is not None:
        assert told.value.column == column


def test_the_column_is_where_the_value_begins() -> None:
    bad = '{"trace_version": "1", "prompt": "a, \\"b\\": 1", "steps": [{"i": 0, "type": "t", "content": ["c"]}]}'
    with pytest.raises(LineError) as told:
        read(bad.encode())
    # The first fault that pydantic names: final_answer is not there at all, or the content that is a list.
    assert told.value.column in (1, bad.index('["c"]') + 1)
    with pytest.raises(LineError) as told:
        read(bad.replace('"steps"', '"final_answer": "x", "steps"').encode())
    assert told.value.column == bad.replace('"steps"', '"final_answer": "x", "steps"').index('["c"]') + 1


def test_a_byte_that_is_no_utf8_is_told_where_it_stands() -> None:
    with pytest.raises(LineError, match=r"t\.jsonl:2:4: the text is not UTF-8"):
        read(GOOD.encode() + b'\n{"a\xff"}\n')


def test_a_line_without_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.traces.jsonl.MOST_LINE", 1000)
    content = b'{"' + b"a" * 5000 + b'"}\n' + GOOD.encode()
    faults: list[LineError] = []
    found = list(read_traces(io.BytesIO(content), bad=faults.append))
    assert [(fault.line, fault.column) for fault in faults] == [(1, 1)]
    assert "more than 1,000 bytes" in faults[0].told
    assert found == [trace(0)]


def test_an_id_that_comes_twice_is_told_with_both_lines() -> None:
    lines = [changed(id="a"), changed(id="b"), changed(), changed(id="a")]
    with pytest.raises(LineError, match=r"t\.jsonl:4:\d+: the id 'a' stands in line 1 already"):
        read("\n".join(lines).encode())


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return TraceStore.open(tmp_path / "traces.db")


def test_a_file_is_imported_whole_or_not_at_all(store: TraceStore, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join([GOOD, "{", GOOD, '{"a": 1}']), encoding="utf-8")
    with store:
        with pytest.raises(InvalidError, match=r"t\.jsonl:2:2: .* Of 4 lines 2 are bad\. Nothing was imported\."):
            ingest(store, path)
        assert store.count() == 0
        done = ingest(store, path, skip_bad=True)
        assert (len(done.trace_ids), done.bad, [error.line for error in done.named]) == (2, 2, [2, 4])
        assert [each.trace for each in store.iterate(done.trace_ids)] == [trace(0)] * 2
        done = ingest(store, io.BytesIO((GOOD + "\n").encode() * 3), name="the upload")
        assert (len(done.trace_ids), done.bad) == (3, 0)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_told(store: TraceStore, content: bytes) -> None:
    with store, pytest.raises(InvalidError, match="the upload holds no traces"):
        ingest(store, io.BytesIO(content), name="the upload")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClewError, match=r"Could not read .*no such file"):
        list(read_rows(tmp_path / "none.jsonl"))
