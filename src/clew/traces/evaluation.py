"""What a chat model answers to the questions of an eval set, and what a judge makes of each answer.

A model is asked through the chat template that it was trained with, never with the raw prompt. An evaluation is a
file of rows, one JSON object a line, that keep the question, the expected answer, what was written, its score, the
tokens used and the time; beside it stands a `.meta.json` that says by which model, questions, judge and sampling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pydantic

from clew.bundle.chat import ChatTemplate, conversation_of
from clew.bundle.generate import BATCH_SIZE, Completion, generate, stop_token
from clew.bundle.load import Bundle
from clew.bundle.names import MANIFEST_FILE, MODEL_FILE
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.core.intervals import mean_interval, wilson
from clew.core.randomness import generator
from clew.traces.evalset import EvalSet, Question
from clew.traces.judges import Judge, answer_of, find_judge

DEFAULT_JUDGE = "answer"
"""What stands after `Answer:` is the expected answer: the headline "exact match" of all reports."""

MOST_TOKENS = 512
"""Of an answer, where nothing is said."""

CHUNK = 256
"""Questions that a model is given at once: enough to sort by length, few enough to show progress."""


class ChatModel(Protocol):
    """A model that answers questions: a bundle of ours, a checkpoint, a Hugging Face folder."""

    @property
    def name(self) -> str:
        """As rows and leaderboards show it."""

    @property
    def context_length(self) -> int:
        """Tokens that a prompt and its answer may have together."""

    def provenance(self) -> Mapping[str, Any]:
        """Plain values that say which model this is: kind, path, sha256 of its weights, template, system text."""

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        """Tokens of each question as the model reads it, template and system text included."""

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        """What the model writes after each question.

        Draws are keyed by the sampling's seed, the question's key and the position: equal questions with different
        keys are answered differently, and a question is answered alike whatever is asked beside it.
        """


class BundleModel:
    """A bundle that answers through the chat template that it was trained with."""

    def __init__(
        self,
        bundle: Bundle,
        template: ChatTemplate,
        *,
        system: str = "",
        name: str = "",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """`system`: the system text that it was trained with. Raises `BundleError` or `UsageError` where bundle and
        template do not belong together."""
        template.check(bundle.tokenizer)
        stop_token(bundle, template.end_of_turn)
        self.bundle, self.template, self.system, self.batch_size = bundle, template, system, batch_size
        self.name = name or bundle.folder.name
        self.context_length = bundle.config.context_length

    def provenance(self) -> dict[str, Any]:
        """Kind, path, hashes, template and system text."""
        manifest = self.bundle.folder / MANIFEST_FILE
        return {
            "kind": "bundle",
            "path": files.printable(self.bundle.folder),
            "sha256": files.sha256_of_file(self.bundle.folder / MODEL_FILE),
            "manifest_sha256": files.sha256_of_file(manifest) if manifest.is_file() else None,
            "template": self.template.name,
            "template_sha256": files.sha256_of(self.template.source),
            "system": self.system,
        }

    def prompt_lengths(self, questions: Sequence[str]) -> list[int]:
        """Tokens of each question as the model reads it."""
        return [len(prompt) for prompt in self._prompts(questions)]

    def answer(self, questions: Sequence[str], sampling: Sampling, keys: Sequence[str]) -> list[Completion]:
        """What the model writes after each question."""
        return generate(
            self.bundle,
            self._prompts(questions),
            sampling,
            stop=self.template.end_of_turn,
            keys=keys,
            batch_size=self.batch_size,
        )

    def _prompts(self, questions: Sequence[str]) -> list[list[int]]:
        conversations = (conversation_of(question, self.system) for question in questions)
        return [self.template.encode_prompt(self.bundle.tokenizer, messages) for messages in conversations]


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


def is_binary(scores: Sequence[float]) -> bool:
    """Whether each score is 0 or 1, right or wrong."""
    return all(score in (0.0, 1.0) for score in scores)


def figures(rows: Sequence[Row]) -> Figures:
    """The figures of rows; no rows give a mean of 0 within 0 to 1."""
    scores = [row.score for row in rows]
    low, high = wilson(sum(scores), len(scores)) if is_binary(scores) else mean_interval(scores)
    return Figures(
        examples=len(rows),
        mean_score=sum(scores) / len(scores) if scores else 0.0,
        low=low,
        high=high,
        unfinished=sum(not row.finished for row in rows),
        tokens=sum(row.tokens for row in rows),
        seconds=sum(row.seconds for row in rows),
    )


def set_sha256(rows: Sequence[Row] | Sequence[Question]) -> str:
    """Hash of what was asked: ids, prompts and expected answers, in whatever order. Equal for equal questions alone."""
    return files.sha256_of(files.canonical_json(sorted([row.id, row.prompt, row.expected_answer] for row in rows)))


def choose(eval_set: EvalSet, max_examples: int, seed: int) -> list[Question]:
    """At most `max_examples` questions (0: all), drawn by the seed, in the order of the set."""
    if max_examples < 0:
        raise UsageError(f"max-examples is {max_examples}: give a number of questions, or 0 for all.")
    if not 0 < max_examples < len(eval_set):
        return list(eval_set)
    drawn = generator(seed, "evaluated questions").permutation(len(eval_set))[:max_examples]
    return [eval_set[int(place)] for place in sorted(drawn)]


def room(model: ChatModel, questions: Sequence[Question], at_most: int = MOST_TOKENS) -> int:
    """Tokens that every answer may have: what the longest prompt leaves of the context, no more than `at_most`."""
    lengths = model.prompt_lengths([question.prompt for question in questions])
    return max(1, min([at_most, *(model.context_length - length for length in lengths)]))


def evaluate(
    model: ChatModel,
    questions: Sequence[Question],
    sampling: Sampling,
    judge: Judge | str = DEFAULT_JUDGE,
    *,
    tick: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Ask `model` each question, judge each answer, and return the rows in the order of the questions.

    `tick` is called once a question. Raises `UsageError` naming the question whose prompt does not fit the model with
    `max_tokens` to come, before anything is answered; `InvalidError` for a question that the judge cannot judge.
    """
    judged_by = find_judge(judge) if isinstance(judge, str) else judge
    for question in questions:
        judged_by.judge(question, "")  # a question that cannot be judged is told before an hour of answering
    lengths = model.prompt_lengths([question.prompt for question in questions])
    for question, length in zip(questions, lengths, strict=True):
        if length + sampling.max_tokens > model.context_length:
            raise UsageError(
                f"The prompt of the question {question.id[:80]!r} has {length} tokens as {model.name} reads it; with "
                f"max-tokens {sampling.max_tokens} to come it does not fit the context of {model.context_length}. "
                "Choose a smaller max-tokens, or leave this question out."
            )
    rows: dict[int, Row] = {}
    order = sorted(range(len(questions)), key=lambda place: (-lengths[place], place))
    for start in range(0, len(order), CHUNK):
        places = order[start : start + CHUNK]
        asked = [questions[place] for place in places]
        completions = model.answer([each.prompt for each in asked], sampling, [each.id for each in asked])
        for place, question, completion in zip(places, asked, completions, strict=True):
            rows[place] = _row(question, completion, judged_by, model.name, sampling.seed)
            tick()
    return [rows[place] for place in range(len(questions))]


def _row(question: Question, completion: Completion, judge: Judge, model: str, seed: int) -> Row:
    return Row(
        **question.model_dump(),
        score=judge.judge(question, completion.text),
        completion=completion.text,
        answer=answer_of(completion.text),
        judge=judge.name,
        tokens=len(completion.tokens),
        prompt_tokens=completion.prompt_tokens,
        seconds=round(completion.seconds, 6),
        finished=completion.finished,
        model=model,
        seed=seed,
    )


def meta_path(path: Path) -> Path:
    """Where it stands what the evaluation in `path` was made with: `eval.jsonl` has `eval.meta.json`."""
    return path.with_suffix(".meta.json")


def check_evaluation_output(path: Path) -> None:
    """Raise `UsageError` unless an evaluation may be written to `path`: it replaces an earlier one and nothing else."""
    files.check_output(path, ROWS)
    files.check_output(meta_path(path), META)


def write_evaluation(
    path: Path, rows: Sequence[Row], model: ChatModel, sampling: Sampling, eval_set: EvalSet, judge: str
) -> Evaluation:
    """Write rows to `path`, each file whole or not at all, and beside them what they were made with."""
    lines = "".join(json.dumps(row.model_dump(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    meta = {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows_sha256": files.sha256_of(lines),
        "eval_set": {"path": eval_set.path, "sha256": eval_set.sha256, "questions": len(eval_set)},
        "set_sha256": set_sha256(rows),
        "judge": judge,
        "sampling": asdict(sampling),
        "model": {"name": model.name, "context_length": model.context_length, **model.provenance()},
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
