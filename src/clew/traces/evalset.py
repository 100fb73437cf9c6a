"""Eval sets: questions with their answers, one JSON object a line, read without dropping or guessing anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic

from clew.core import files
from clew.core.errors import EvidenceError, nearest
from clew.traces.schema import Strict, Text

EVAL_SET = files.json_lines_output("an eval set", "id", "prompt", "expected_answer")


def _label(value: Any) -> Any:
    # Difficulties are numbers in some sets; a report groups by what they are called.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Label = Annotated[Text, pydantic.BeforeValidator(_label), pydantic.Field(max_length=64)]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


Filled = Annotated[Text, pydantic.AfterValidator(_not_blank)]


class Question(Strict):
    """A question of an eval set and the answer that is expected."""

    id: Filled = pydantic.Field(max_length=256)
    """Unique in its set; evaluations are paired by it."""
    prompt: Filled = pydantic.Field(max_length=50_000)
    """What is asked."""
    expected_answer: Filled = pydantic.Field(max_length=50_000)
    """What a right answer says."""
    category: Label | None = None
    """Kind of the question, such as "addition"."""
    difficulty: Label | None = None
    """How hard it is, such as the level of its generator."""
    section: Label | None = None
    """Where it comes from: the name of its generator, by which the judges `checker` and `steps` find it."""


@dataclass(frozen=True)
class EvalSet:
    """The questions of a file, in its order, ids unique."""

    path: str
    sha256: str
    """Of the file's bytes."""
    questions: tuple[Question, ...]
    repeated_prompts: int = 0
    """Questions whose prompt stands in an earlier line as well."""

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, place: int) -> Question:
        return self.questions[place]


def read_evalset(path: Path | str) -> EvalSet:
    """Read an eval set: UTF-8 with or without a byte order mark, lines ended by LF or CRLF, blank lines skipped.

    Raises `EvidenceError` that names file, line and column for what is no JSON, the field for what does not fit, the
    earlier line for a repeated id; and for a set without questions.
    """
    path = Path(path)
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    questions: list[Question] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        question = _read_line(line, f"{path}:{number}")
        if question.id in lines_of:
            raise EvidenceError(
                f"{path}:{number}: the id '{question.id}' stands in line {lines_of[question.id]} as well. Ids pair "
                "what was answered before with what was answered after: give each question its own."
            )
        lines_of[question.id] = number
        questions.append(question)
    if not questions:
        raise EvidenceError(f"{path} holds no question. Each line is {{id, prompt, expected_answer}} as JSON.")
    prompts = Counter(question.prompt for question in questions)
    return EvalSet(
        path=files.printable(path),
        sha256=files.sha256_of(content),
        questions=tuple(questions),
        repeated_prompts=len(questions) - len(prompts),
    )


def _read_line(line: bytes, where: str) -> Question:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{where}:{error.start + 1}: this byte is no UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_no_number, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise EvidenceError(f"{where}:{error.colno}: this is no JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        why = "its brackets stand too deep in one another" if isinstance(error, RecursionError) else str(error)
        raise EvidenceError(f"{where}: this is no JSON that can be kept: {why}.") from None
    if not isinstance(value, dict):
        raise EvidenceError(f"{where}: a line is an object {{id, prompt, expected_answer}}, and this is none.")
    known = list(Question.model_fields)
    for key in value:
        if key not in known:
            raise EvidenceError(
                f"{where}: there is no key '{key[:60]}'.{nearest(key, known)} Known: {', '.join(known)}."
            )
    try:
        return Question.model_validate(value)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        field = str(fault["loc"][0]) if fault["loc"] else "the line"
        if fault["type"] == "missing":
            raise EvidenceError(f"{where}: {field} is missing.") from None
        said = str(fault["msg"]).removeprefix("Value error, ")
        raise EvidenceError(f"{where}: {field}: {said[:1].lower()}{said[1:]}.") from None


def _no_number(spelled: str) -> float:
    raise ValueError(f"{spelled} is no number of JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key '{key[:60]}' stands in it twice")
    return found


def lines_of(questions: Iterable[Question]) -> Iterator[str]:
    """Each question as a line of JSON, without labels that it does not have."""
    for question in questions:
        yield json.dumps(question.model_dump(exclude_none=True), ensure_ascii=False) + "\n"


def write_evalset(path: Path | str, questions: Iterable[Question]) -> None:
    """Write an eval set, whole or not at all. Replaces an earlier one, and nothing else."""
    with files.whole_file(Path(path), replaces=EVAL_SET) as file:
        for line in lines_of(questions):
            file.write(line.encode("utf-8"))
