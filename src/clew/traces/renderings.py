r"""How a trace becomes a row of an export: three forms, and the conversation that one of them holds.

The forms are agreed with other programs to the letter, so that a text with turn markers in it is rendered like any
other. What the conversation then holds cannot be told from its text: whoever reads one back (`clew.traces.jsonl`)
refuses it, and takes the same trace in the form `trace`, where every part stands for itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from clew.core.errors import nearest
from clew.traces.schema import InvalidError, Trace
from clew.traces.store import Stored

START, END = "<start_of_turn>", "<end_of_turn>"
REASONING, ANSWER = "Reasoning:", "Answer: "
REQUEST = "\n\nPlease show your reasoning steps."
"""What a `training_example` adds to the prompt."""


def answer_text(steps: Sequence[str], final_answer: str) -> str:
    """What a model says: the numbered steps, where there are any, and the answer."""
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([*([REASONING, *numbered] if numbered else []), f"{ANSWER}{final_answer}"])


def conversation(prompt: str, steps: Sequence[str], final_answer: str, system: str | None = None) -> str:
    """A prompt and what the model says to it, in turns: no BOS, no newline at the end."""
    asked = f"{system}\n\n{prompt}" if system else prompt
    return f"{START}user\n{asked}{END}\n{START}model\n{answer_text(steps, final_answer)}{END}"


def metadata(created: str, trace: Trace, form: str) -> dict[str, Any]:
    """The trace's own meta, with created_at, trace_version and format, which it may not overwrite."""
    own = {"created_at": created, "trace_version": trace.trace_version, "format": form}
    return own | {key: value for key, value in (trace.meta or {}).items() if key not in own}


def _trace(each: Stored, trace: Trace, system: str | None) -> dict[str, Any]:
    steps = [step.content for step in trace.steps]
    return {"prompts": trace.prompt, "trace_steps": steps, "final_answer": trace.final_answer}


def _tunix_sft(each: Stored, trace: Trace, system: str | None) -> dict[str, Any]:
    steps = [step.content for step in trace.steps]
    return {
        "prompts": conversation(trace.prompt, steps, trace.final_answer, system),
        "final_answer": trace.final_answer,
    }


def _training_example(each: Stored, trace: Trace, system: str | None) -> dict[str, Any]:
    steps = [step.content for step in trace.steps]
    return {"prompt": trace.prompt + REQUEST, "response": answer_text(steps, trace.final_answer)}


FORMATS: Mapping[str, Callable[[Stored, Trace, str | None], dict[str, Any]]] = {
    "trace": _trace,
    "tunix_sft": _tunix_sft,
    "training_example": _training_example,
}


def check_format(form: str) -> str:
    """`form`, where it is one of `FORMATS`; else `InvalidError`."""
    if form not in FORMATS:
        raise InvalidError(f"There is no format '{form[:64]}'.{nearest(form, list(FORMATS))} {_known()}")
    return form


def _known() -> str:
    return f"Formats are: {', '.join(FORMATS)}."


def render(stored: Stored, form: str, *, system: str | None = None) -> dict[str, Any]:
    """The row of a trace in one of `FORMATS`. `system` stands before the prompt of a `tunix_sft` conversation."""
    trace = stored.trace
    row = FORMATS[check_format(form)](stored, trace, system)
    return {"id": stored.id, **row, "metadata": metadata(stored.created, trace, form)}


def line(stored: Stored, form: str, *, system: str | None = None) -> bytes:
    """The row as one line of JSON with its newline."""
    return json.dumps(render(stored, form, system=system), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def lines(stored: Iterable[Stored], form: str, *, system: str | None = None, at_once: int = 2**16) -> Iterator[bytes]:
    """The rows as lines of JSON, in pieces of about `at_once` bytes that end with a line."""
    check_format(form)
    piece = bytearray()
    for each in stored:
        piece += line(each, form, system=system)
        if len(piece) >= at_once:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
