"""Lines of JSON that hold traces: the traces themselves, or rows of any export, read back to what they hold.

What is wrong with a line is told with the file, the line and the column. Blank lines are skipped; a byte order mark
and either kind of line end will do.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydantic

from clew.core.files import sentences_for
from clew.traces.renderings import ANSWER, END, REASONING, START, answer_text
from clew.traces.schema import MOST_BYTES, InvalidError, Trace

MOST_LINE = 4 * MOST_BYTES
"""Bytes of a line. A trace is at most 1 MiB; escapes and the metadata of an export may take more."""


@dataclass(frozen=True)
class TrainingRow:
    """What a row holds that a model is trained on."""

    id: str | None
    prompt: str
    """What is asked, as the row has it: the whole turn of the user, with a system text where one stands before it,
    and with the request for steps that a `training_example` adds."""
    steps: tuple[str, ...]
    answer: str
    metadata: dict[str, Any]


class LineError(InvalidError):
    """A line that is no trace: file, line and column, and what is wrong there."""

    def __init__(self, file: str, number: int, column: int, told: str) -> None:
        super().__init__(f"{file}:{number}:{column}: {told}")
        self.file, self.line, self.column, self.told = file, number, column, told


Bad = Callable[[LineError], None]
"""Is told of a bad line, which is then left out; where it raises the error, reading ends."""


def refuse(error: LineError) -> None:
    """What is done with a bad line unless a reader says otherwise."""
    raise error


def read_traces(source: Path | BinaryIO, *, name: str | None = None, bad: Bad = refuse) -> Iterator[Trace]:
    """The traces of a file or a stream of bytes: one an object a line, or a row of an export.

    The steps of an export have lost their kinds, so each is of the kind "step". A trace may have an `id`, which is
    not kept. `name` is what errors call the source. Raises `LineError`, also for an id that comes twice.
    """
    for place, value in objects(source, name, bad):
        with place.reporting(bad):
            yield _trace_of(place, value)


def read_rows(source: Path | BinaryIO, *, name: str | None = None, bad: Bad = refuse) -> Iterator[TrainingRow]:
    """The rows of a file or a stream of bytes: of an export in any form, or traces. Raises `LineError`."""
    for place, value in objects(source, name, bad):
        with place.reporting(bad):
            yield _row_of(place, value)


# From JSON to what it holds


def _trace_of(place: Place, value: dict[str, Any]) -> Trace:
    if _form(value) == "":
        return place.fit(Trace, {key: each for key, each in value.items() if key not in ("id", "created_at")})
    row = _row_of(place, value)
    version = row.metadata.get("trace_version")
    own = {key: each for key, each in row.metadata.items() if key not in ("created_at", "trace_version", "format")}
    made = {
        "trace_version": version if isinstance(version, str) else "1.0",
        "prompt": row.prompt,
        "final_answer": row.answer,
        "steps": [{"i": number, "type": "step", "content": step} for number, step in enumerate(row.steps)],
        "meta": own or None,
    }
    if not row.steps:
        raise place.error("the row has no steps, and a trace has one at least")
    return place.fit(Trace, made)


def _form(value: Mapping[str, Any]) -> str:
    """The format of a row by its keys; "" is a trace itself."""
    if "trace_steps" in value:
        return "trace"
    if "prompts" in value:
        return "tunix_sft"
    return "training_example" if "response" in value else ""


def _row_of(place: Place, value: dict[str, Any]) -> TrainingRow:
    form = _form(value)
    if form == "":
        trace = _trace_of(place, value)
        held = {"trace_version": trace.trace_version, **(trace.meta or {})}
        steps = tuple(step.content for step in trace.steps)
        return TrainingRow(place.id, trace.prompt, steps, trace.final_answer, held)
    metadata = {} if value.get("metadata") is None else value["metadata"]
    if not isinstance(metadata, dict):
        raise place.error("metadata is no object", "metadata")
    if form == "trace":
        steps = value["trace_steps"]
        if not isinstance(steps, list) or not all(isinstance(each, str) for each in steps):
            raise place.error("trace_steps is no list of texts", "trace_steps")
        prompt, answer = place.text(value, "prompts"), place.text(value, "final_answer")
        return TrainingRow(place.id, prompt, tuple(steps), answer, metadata)
    if form == "tunix_sft":
        prompt, said = _turns(place, place.text(value, "prompts"))
        told = place.text(value, "final_answer") if "final_answer" in value else None
        return TrainingRow(place.id, prompt, *_parts(place, said, told, "prompts"), metadata)
    prompt, said = place.text(value, "prompt"), place.text(value, "response")
    return TrainingRow(place.id, prompt, *_parts(place, said, None, "response"), metadata)


_CONVERSATION = re.compile(rf"{START}user\n(.*){END}\n{START}model\n(.*){END}", re.DOTALL)


def _turns(place: Place, text: str) -> tuple[str, str]:
    match = _CONVERSATION.fullmatch(text)
    if match is None:
        raise place.error(
            f"this is no conversation of one turn of the user and one of the model: it goes {START}user, the prompt, "
            f"{END}, {START}model, the answer, {END}",
            "prompts",
        )
    if any(marker in part for part in match.groups() for marker in (START, END)):
        raise place.error(
            "the conversation has turn markers within its texts, so that nobody can tell where a turn ends. Export "
            "the dataset in the format trace, which keeps its parts apart",
            "prompts",
        )
    return match[1], match[2]


def _parts(place: Place, said: str, answer: str | None, key: str) -> tuple[tuple[str, ...], str]:
    """Steps and answer of what a model says; rendered again, they give the same text.

    The answer begins where the row says so, or else at the last line that begins with "Answer: ". A step ends where a
    line begins with the next number.
    """
    if answer is None:
        begins = 0 if said.startswith(ANSWER) else said.rfind("\n" + ANSWER) + 1
        answer = said[begins + len(ANSWER) :]
    before = said.removesuffix(ANSWER + answer)
    steps: list[str] = []
    if before.startswith(f"{REASONING}\n1. ") and before.endswith("\n"):
        rest = before[len(REASONING) + 4 : -1]
        while True:
            step, more, rest = rest.partition(f"\n{len(steps) + 2}. ")
            steps.append(step)
            if not more:
                break
    if answer_text(steps, answer) != said:
        raise place.error(
            'what the model says has another form than "Reasoning:", numbered steps and "Answer: ..."'
            + (" with the row's final_answer" if key == "prompts" else ""),
            key,
        )
    return tuple(steps), answer


# From bytes to JSON


@dataclass
class Place:
    """A line that is being read."""

    file: str
    number: int
    line: str
    id: str | None = None

    def error(self, told: str, *keys: str | int) -> LineError:
        """What is wrong with the value that `keys` lead to."""
        return LineError(self.file, self.number, _column(self.line, keys), f"{told}.")

    @contextlib.contextmanager
    def reporting(self, bad: Bad) -> Iterator[None]:
        """Tell `bad` of the line."""
        try:
            yield
        except LineError as error:
            bad(error)

    def text(self, value: Mapping[str, Any], key: str) -> str:
        """The text of a key; `LineError` where there is none."""
        found = value.get(key)
        if not isinstance(found, str) or not found:
            raise self.error(f"{key} is no text" if key in value else f"{key} is missing", key)
        return found

    def optional_id(self, value: Mapping[str, Any]) -> str | None:
        """The id of a row, where it has one."""
        found = value.get("id")
        if found is None or isinstance(found, str):
            return found
        raise self.error("id is no text", "id")

    def fit(self, kind: type[Trace], value: dict[str, Any]) -> Trace:
        """The trace that `value` is; `LineError` names the field that is wrong."""
        try:
            return kind.model_validate(value)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            said = str(first["msg"]).removeprefix("Value error, ")
            raise self.error(f"{field}: {said}" if field else said, *first["loc"]) from None


def objects(source: Path | BinaryIO, name: str | None, bad: Bad) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each line that is not blank, and the object in it; ids that come twice are refused."""
    seen: dict[str, int] = {}
    for number, content in enumerate(_lines(source), 1):
        place = Place(name or (str(source) if isinstance(source, Path) else "the upload"), number, "")
        with place.reporting(bad):
            value = _object(place, content, first=number == 1)
            if value is None:
                continue
            place.id = place.optional_id(value)
            if place.id is not None:
                if place.id in seen:
                    raise place.error(f"the id '{place.id[:64]}' stands in line {seen[place.id]} already", "id")
                seen[place.id] = number
            yield place, value


def _lines(source: Path | BinaryIO) -> Iterator[bytes]:
    if not isinstance(source, Path):
        yield from _lines_of(source)
        return
    with sentences_for(source, "read"), source.open("rb") as file:
        yield from _lines_of(file)


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Line by line; of one that is too long, only as much as shows it."""
    while content := file.readline(MOST_LINE + 1):
        yield content
        while len(content) > MOST_LINE and not content.endswith(b"\n"):
            content = file.readline(MOST_LINE + 1)


class _NoNumberError(Exception):
    pass


def _constant(spelled: str) -> float:
    raise _NoNumberError(spelled)


def _finite(spelled: str) -> float:
    number = float(spelled)
    if not math.isfinite(number):
        raise _NoNumberError(spelled)
    return number


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)


def _object(place: Place, content: bytes, *, first: bool) -> dict[str, Any] | None:
    if len(content) > MOST_LINE:
        raise place.error(f"the line has more than {MOST_LINE:,} bytes")
    try:
        line = content.decode("utf-8-sig" if first else "utf-8").rstrip(" \t\r\n")
    except UnicodeDecodeError as error:
        raise LineError(place.file, place.number, error.start + 1, "the text is not UTF-8.") from None
    place.line = line
    if not line:
        return None
    try:
        value, end = _DECODER.raw_decode(line, _begin(line))
    except json.JSONDecodeError as error:
        raise LineError(place.file, place.number, error.pos + 1, f"this is no JSON: {error.msg}.") from None
    except _NoNumberError as error:
        column = line.find(str(error)) + 1
        raise LineError(place.file, place.number, column, f"{str(error)[:20]} is no number of JSON.") from None
    except RecursionError:
        raise place.error("its brackets stand too deep in one another") from None
    except ValueError:
        raise place.error("a number in it has thousands of digits") from None
    if end < len(line):
        column = _begin(line[end:]) + end + 1
        raise LineError(place.file, place.number, column, "something stands behind the JSON of this line.")
    if not isinstance(value, dict):
        raise place.error("this is no object")
    return value


def _begin(line: str) -> int:
    """Where the JSON of a line begins."""
    return len(line) - len(line.lstrip(" \t\r\n"))


def _column(line: str, keys: Iterable[str | int]) -> int:
    """Where the value stands that `keys` lead to, or the last on the way there that is there; from 1."""
    at = _begin(line)
    try:
        for key in keys:
            at = _entry(line, at, key)
    except (KeyError, ValueError, IndexError):
        pass
    return at + 1


def _entry(line: str, at: int, key: str | int) -> int:
    """Where the value of a key begins, in the object or the list that begins at `at`."""
    brackets = line[at]
    if brackets not in "{[":
        raise KeyError(key)
    at, index = at + 1, 0
    while True:
        at = _skip(line, at)
        found: str | int = index
        if brackets == "{":
            found, at = _DECODER.raw_decode(line, at)
            at = _skip(line, at)
        if found == key:
            return at
        _, at = _DECODER.raw_decode(line, at)
        at, index = _skip(line, at, ""), index + 1
        if line[at] != ",":
            raise KeyError(key)
        at += 1


def _skip(line: str, at: int, more: str = ":") -> int:
    while line[at] in " \t\r\n" + more:
        at += 1
    return at
