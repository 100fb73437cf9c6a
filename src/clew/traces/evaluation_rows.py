"""Rows of evaluations: questions with what was written in answer to them and its score, one JSON object a line.

Beside a file of rows stands a `.meta.json` that says by which model, questions, judge and sampling they were made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic

from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.errors import EvidenceError
from clew.traces.evalset import EvalSet, Question
from clew.traces.paired import mean_of


class Row(pydantic.BaseModel):
    """One question, answered and judged. Keys that another tool adds are left out, the first four must be there."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    id: str = pydantic.Field(min_length=1)
    """Of the question; two evaluations are paired by it."""
    prompt: str = pydantic.Field(min_length=1)
    """The question itself, without template."""
    expected_answer: str = pydantic.Field(min_length=1)
    """What the judge compared with."""
    score: float = pydantic.Field(ge=0, le=1)
    """What the judge said, 0 to 1."""
    category: str | None = None
    """As in the eval set."""
    difficulty: str | None = None
    """As in the eval set."""
    section: str | None = None
    """As in the eval set."""
    completion: str = ""
    """All that the model wrote."""
    answer: str | None = None
    """What stands after the last `Answer:` of it; null where there is none."""
    judge: str = ""
    """Name of the judge."""
    tokens: int = pydantic.Field(default=0, ge=0)
    """Tokens that the model wrote, the end of its turn included."""
    prompt_tokens: int = pydantic.Field(default=0, ge=0)
    """Tokens that it read, template and system text included."""
    seconds: float = pydantic.Field(default=0.0, ge=0)
    """Its share of the time that its batch took."""
    finished: bool = True
    """Whether the model ended its turn; otherwise it was cut at the sampling's `max_tokens`."""
    model: str = ""
    """Name of the model."""
    seed: int = 0
    """Of the sampling."""


ROWS = files.json_lines_output("an evaluation", "id", "prompt", "expected_answer", "score")
META = files.json_output("what an evaluation was made with", "rows_sha256", "judge", "sampling", "model")


@dataclass(frozen=True)
class Figures:
    """What an evaluation says in numbers."""

    examples: int
    mean_score: float
    low: float
    """95% interval of the mean: Wilson's where every score is 0 or 1, else by bootstrap."""
    high: float
    unfinished: int
    """Answers that were cut at `max_tokens`."""
    tokens: int
    """Written in all answers together."""
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Rows, and what they were made with where that is known (see `write_evaluation`)."""

    rows: tuple[Row, ...]
    meta: Mapping[str, Any]
    path: str = ""

    @property
    def figures(self) -> Figures:
        """Mean, interval, counts."""
        return figures(self.rows)

    @property
    def judge(self) -> str:
        """Name of the judge of all rows, empty where it is not known."""
        return self.rows[0].judge if self.rows else ""

    @property
    def model(self) -> str:
        """Name of the model, empty where it is not known."""
        return self.rows[0].model if self.rows else ""


def figures(rows: Sequence[Row]) -> Figures:
    """The figures of rows; no rows give a mean of 0 within 0 to 1."""
    mean = mean_of([row.score for row in rows])
    return Figures(
        examples=len(rows),
        mean_score=mean.value,
        low=mean.low,
        high=mean.high,
        unfinished=sum(not row.finished for row in rows),
        tokens=sum(row.tokens for row in rows),
        seconds=sum(row.seconds for row in rows),
    )


def set_sha256(rows: Sequence[Row] | Sequence[Question]) -> str:
    """Hash of what was asked: ids, prompts and expected answers, in whatever order. Equal for equal questions alone."""
    return files.sha256_of(files.canonical_json(sorted([row.id, row.prompt, row.expected_answer] for row in rows)))


def meta_path(path: Path) -> Path:
    """Where it stands what the evaluation in `path` was made with: `eval.jsonl` has `eval.meta.json`."""
    return path.with_suffix(".meta.json")


def check_evaluation_output(path: Path) -> None:
    """Raise `UsageError` unless an evaluation may be written to `path`: it replaces an earlier one and nothing else."""
    files.check_output(path, ROWS)
    files.check_output(meta_path(path), META)


def write_evaluation(
    path: Path, rows: Sequence[Row], model: Mapping[str, Any], sampling: Sampling, eval_set: EvalSet
) -> Evaluation:
    """Write rows to `path`, each file whole or not at all, and beside them what they were made with.

    `model`: what `described` says of it.
    """
    lines = "".join(json.dumps(row.model_dump(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    meta = {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows_sha256": files.sha256_of(lines),
        "eval_set": {"path": eval_set.path, "sha256": eval_set.sha256, "questions": len(eval_set)},
        "set_sha256": set_sha256(rows),
        "judge": rows[0].judge if rows else "",
        "sampling": asdict(sampling),
        "model": dict(model),
        "figures": asdict(figures(rows)),
    }
    check_evaluation_output(path)
    with files.sentences_for(meta_path(path), "remove"):
        meta_path(path).unlink(missing_ok=True)  # a kill in between leaves rows that no other file speaks for
    files.write_text(path, lines, replaces=ROWS)
    files.write_json(meta_path(path), meta, replaces=META)
    return Evaluation(tuple(rows), meta, files.printable(path))


def read_evaluation(path: Path | str) -> Evaluation:
    """Read rows and what they were made with, where that stands beside them.

    Raises `EvidenceError` naming file and line: no JSON, a key that is missing or does not fit, a repeated id, rows
    of several judges, no rows at all, or rows that are not those that the file beside them was written with.
    """
    path = Path(path)
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    rows: list[Row] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _read_row(line, f"{path}:{number}")
        if row.id in lines_of:
            raise EvidenceError(
                f"{path}:{number}: the id '{row.id[:80]}' stands in line {lines_of[row.id]} as well. Evaluations are "
                "paired by it, so it must be unique: evaluate again on an eval set whose ids differ."
            )
        if rows and row.judge != rows[0].judge:
            raise EvidenceError(
                f"{path}:{number}: this row was judged by '{row.judge}', the first by '{rows[0].judge}': their scores "
                "have no common mean. Evaluate again with one judge."
            )
        lines_of[row.id] = number
        rows.append(row)
    if not rows:
        raise EvidenceError(f"{path} holds no rows. `clew evaluate traces` writes such a file.")
    beside = meta_path(path)
    meta = files.read_json(beside, what="what an evaluation was made with") if files.is_file(beside) else {}
    if not isinstance(meta, dict):
        raise EvidenceError(f"{beside} holds no JSON object. Remove it, or evaluate again.")
    if meta and meta.get("rows_sha256") != files.sha256_of(content):
        raise EvidenceError(
            f"{path} is not the file that {beside.name} was written with: it was altered since. Evaluate again."
        )
    return Evaluation(tuple(rows), meta, files.printable(path))


def _read_row(line: bytes, where: str) -> Row:
    try:
        return Row.model_validate_json(line)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] == "json_invalid":
            raise EvidenceError(f"{where}: this is no JSON: {fault['ctx']['error']}.") from None
        field = str(fault["loc"][0]) if fault["loc"] else "the line"
        if fault["type"] == "missing":
            raise EvidenceError(f"{where}: '{field}' is missing. A row of an evaluation has it.") from None
        said = str(fault["msg"])
        raise EvidenceError(f"{where}: '{field}': {said[:1].lower()}{said[1:]}.") from None
