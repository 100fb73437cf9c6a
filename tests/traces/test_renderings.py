"""Rows of an export are the agreed ones to the letter, and read back they hold what the trace held."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given

from clew.core.files import canonical_json, sha256_of
from clew.traces.jsonl import LineError, read_rows, read_traces
from clew.traces.renderings import FORMATS, REQUEST, conversation, line, lines, render
from clew.traces.schema import InvalidError, Trace
from clew.traces.store import Stored
from small_traces import any_traces, trace

ID, CREATED = "6e67d2c6-9755-43fd-8a42-86e560ccb4c7", "2026-01-31T23:59:59.123456Z"


def stored(value: Trace) -> Stored:
    content = canonical_json(value.model_dump())
    return Stored(ID, CREATED, content, sha256_of(content))


SUM = trace(12, meta={"category": "sum", "format": "mine", "created_at": "never", "trace_version": "x", "id": 7})
METADATA = {"created_at": CREATED, "trace_version": "1.0", "category": "sum", "id": 7}


def test_the_rows_are_those_of_the_contract() -> None:
    assert render(stored(SUM), "trace") == {
        "id": ID,
        "prompts": "12 + 29 = ?",
        "trace_steps": ["12 + 9", "then 20: 41"],
        "final_answer": "41",
        "metadata": METADATA | {"format": "trace"},
    }
    assert render(stored(SUM), "tunix_sft") == {
        "id": ID,
        "prompts": (
            "<start_of_turn>user\n12 + 29 = ?<end_of_turn>\n<start_of_turn>model\n"
            "Reasoning:\n1. 12 + 9\n2. then 20: 41\nAnswer: 41<end_of_turn>"
        ),
        "final_answer": "41",
        "metadata": METADATA | {"format": "tunix_sft"},
    }
    assert render(stored(SUM), "training_example") == {
        "id": ID,
        "prompt": "12 + 29 = ?\n\nPlease show your reasoning steps.",
        "response": "Reasoning:\n1. 12 + 9\n2. then 20: 41\nAnswer: 41",
        "metadata": METADATA | {"format": "training_example"},
    }


def test_a_meta_of_null_and_a_system_text_and_no_steps() -> None:
    assert render(stored(trace(meta=None)), "trace")["metadata"] == {
        "created_at": CREATED,
        "trace_version": "1.0",
        "format": "trace",
    }
    assert conversation("p", [], "a", system="Be brief.") == (
        "<start_of_turn>user\nBe brief.\n\np<end_of_turn>\n<start_of_turn>model\nAnswer: a<end_of_turn>"
    )
    text = render(stored(SUM), "tunix_sft", system="Be brief.")["prompts"]
    assert text.startswith("<start_of_turn>user\nBe brief.\n\n12 + 29")


def test_an_unknown_format_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidError, match=r"There is no format 'tunix-sft'\. Did you mean 'tunix_sft'\?"):
        list(lines([], "tunix-sft"))


def test_lines_come_in_pieces_that_end_with_a_line() -> None:
    pieces = list(lines([stored(SUM)] * 10, "trace", at_once=600))
    assert len(pieces) > 1
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert b"".join(pieces) == line(stored(SUM), "trace") * 10


@given(any_traces())
def test_a_trace_row_holds_every_part(value: Trace) -> None:
    row = json.loads(line(stored(value), "trace"))
    (read,) = read_rows(io.BytesIO(line(stored(value), "trace")))
    assert (read.id, read.prompt, read.answer) == (ID, value.prompt, value.final_answer)
    assert list(read.steps) == [step.content for step in value.steps]
    assert read.metadata == row["metadata"]
    own = {
        key: each for key, each in (value.meta or {}).items() if key not in ("created_at", "trace_version", "format")
    }
    assert {key: each for key, each in row["metadata"].items() if key in own} == own
    (again,) = read_traces(io.BytesIO(line(stored(value), "trace")))
    assert (again.trace_version, again.prompt, again.final_answer) == (
        value.trace_version,
        value.prompt,
        value.final_answer,
    )
    assert (again.meta or {}) == own


@given(any_traces())
def test_a_conversation_reads_back_to_the_same_text_or_is_refused(value: Trace) -> None:
    row = render(stored(value), "tunix_sft")
    steps = [step.content for step in value.steps]
    texts = [value.prompt, value.final_answer, *steps]
    content = line(stored(value), "tunix_sft")
    if any("<end_of_turn>" in text or "<start_of_turn>" in text for text in texts):
        with pytest.raises(LineError, match=r"no conversation|turn markers within"):
            list(read_rows(io.BytesIO(content)))
        return
    (read,) = read_rows(io.BytesIO(content))
    assert (read.prompt, read.answer) == (value.prompt, value.final_answer)
    assert conversation(read.prompt, read.steps, read.answer) == row["prompts"]
    # Where no step has a line that begins as a later step does, the steps are told apart.
    if not any(f"\n{number}. " in step for step in steps for number in range(2, len(steps) + 2)):
        assert list(read.steps) == steps


@given(any_traces())
def test_a_training_example_reads_back_to_the_same_text(value: Trace) -> None:
    row = render(stored(value), "training_example")
    steps = [step.content for step in value.steps]
    (read,) = read_rows(io.BytesIO(line(stored(value), "training_example")))
    assert read.prompt == value.prompt + REQUEST
    assert (
        conversation("", read.steps, read.answer) == f"{conversation('', [], '')[:-21]}{row['response']}<end_of_turn>"
    )
    if not any(
        "\nAnswer: " in text or "\n2. " in text or "\n3. " in text for text in ["\n" + value.final_answer, *steps]
    ):
        assert read.answer == value.final_answer


@given(any_traces())
def test_a_trace_itself_reads_back_whole(value: Trace) -> None:
    content = json.dumps({"id": ID, **value.model_dump(mode="json")}).encode()
    assert list(read_traces(io.BytesIO(content))) == [value]


def test_every_format_is_tested_here() -> None:
    assert list(FORMATS) == ["trace", "tunix_sft", "training_example"]
