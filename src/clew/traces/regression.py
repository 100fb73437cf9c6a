"""The leaderboard, and the gate: is a model worse than a named baseline on the same questions?

An evaluation that is recorded keeps the score of each question in the database, so that it can be paired with later
ones when its file is gone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from clew.core import files
from clew.core.errors import UsageError, nearest
from clew.traces import records
from clew.traces.evaluation_rows import Evaluation, Row, read_evaluation, set_sha256
from clew.traces.page import between, signed
from clew.traces.paired import Change, change_between, check_same_questions
from clew.traces.schema import InvalidError, NotFoundError
from clew.traces.store import TraceStore

Rule = Literal["significant", "mean", "noninferior"]
"""When the gate fails, with `tolerance` the fall that is put up with. significant: the whole 95% interval of the change
lies below -tolerance, so the fall is shown. mean: the change itself is below it. noninferior: the lower end is below
it, so a fall beyond the tolerance cannot be ruled out."""

MOST_QUESTIONS = 100_000
"""Of an evaluation that is recorded."""


@dataclass(frozen=True)
class Verdict:
    """Pass or fail against a baseline."""

    passed: bool
    baseline: str
    baseline_id: str
    """Of the evaluation that the baseline names."""
    baseline_model: str
    model: str
    rule: str
    tolerance: float
    change: Change
    judge: str

    @property
    def sentence(self) -> str:
        """What was found, and why it passes or fails."""
        change = self.change
        found = (
            f"{self.model or 'the model'} against the baseline '{self.baseline}' on {change.examples} questions: "
            f"{signed(change, change.change)} (95% {between(change)}), {change.better} better, {change.worse} worse"
        )
        limit = signed(change, -self.tolerance if self.tolerance else 0.0)
        why = {
            ("significant", True): f"a fall below {limit} is not shown",
            ("significant", False): f"the whole interval lies below {limit}",
            ("mean", True): f"the average did not fall below {limit}",
            ("mean", False): f"the average fell below {limit}",
            ("noninferior", True): f"a fall below {limit} is ruled out",
            ("noninferior", False): f"a fall below {limit} is not ruled out",
        }[self.rule, self.passed]
        return f"{'passed' if self.passed else 'FAILED'}: {found}; {why}."

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "verdict": "pass" if self.passed else "fail", "sentence": self.sentence}


def record(store: TraceStore, evaluation: Evaluation, *, name: str = "") -> records.Evaluation:
    """Keep an evaluation in the leaderboard, under the name of its model unless one is given.

    Raises `InvalidError` for one of more questions than are kept.
    """
    rows, found = evaluation.rows, evaluation.figures
    if len(rows) > MOST_QUESTIONS:
        raise InvalidError(f"The evaluation has {len(rows):,} questions; at most {MOST_QUESTIONS:,} are recorded.")
    details = {
        "scores": [[row.id, row.score, *_hashes(row)] for row in rows],
        "figures": asdict(found),
        "meta": {key: value for key, value in evaluation.meta.items() if key != "figures"},
    }
    return store.add_evaluation(
        name or evaluation.model or Path(evaluation.path).stem or "unnamed",
        eval_set_sha256=set_sha256(rows),
        judge=evaluation.judge,
        examples=len(rows),
        mean_score=found.mean_score,
        low=found.low,
        high=found.high,
        path=evaluation.path or None,
        details=details,
    )


def _hashes(row: Row) -> tuple[str, str]:
    return files.sha256_of(row.prompt)[:16], files.sha256_of(row.expected_answer)[:16]


def leaderboard(
    store: TraceStore, *, eval_set_sha256: str | None = None, limit: int = 100, offset: int = 0
) -> list[records.Evaluation]:
    """Recorded evaluations, the best first; scores of different eval sets or judges are not comparable."""
    return store.evaluations("score", eval_set_sha256=eval_set_sha256, limit=limit, offset=offset)


def summary(evaluation: records.Evaluation) -> dict[str, Any]:
    """An entry of the leaderboard as JSON: all but the scores of single questions."""
    meta = evaluation.details.get("meta") or {}
    told = {**asdict(evaluation), "figures": evaluation.details.get("figures"), "sampling": meta.get("sampling")}
    del told["details"]
    return told


def find_evaluation(store: TraceStore, named: str) -> records.Evaluation:
    """The evaluation of this id, recorded before, or that of the file of this name, which is recorded now.

    A file that was recorded before is not recorded twice.
    """
    if files.is_file(Path(named)):
        evaluation = read_evaluation(named)
        for known in store.evaluations("newest", eval_set_sha256=set_sha256(evaluation.rows)):
            same_maker = (known.name, known.judge) == (evaluation.model, evaluation.judge)
            if same_maker and _entries(known) == _entries(evaluation):
                return known
        return record(store, evaluation)
    try:
        return store.evaluation(named)
    except NotFoundError:
        raise NotFoundError(
            f"'{named[:200]}' is neither a file of `clew evaluate traces` nor the id of a recorded evaluation in "
            f"{store.name}. `clew report leaderboard` lists those."
        ) from None


def set_baseline(store: TraceStore, name: str, evaluation_id: str, *, replace: bool = False) -> records.Baseline:
    """Name a recorded evaluation as a baseline. Raises `ConflictError` where the name is taken, `NotFoundError`."""
    if not name.strip() or not name.isprintable():
        raise InvalidError("A baseline needs a name of printable characters, such as 'main'.")
    return store.set_baseline(name, evaluation_id, replace=replace)


def find_baseline(store: TraceStore, name: str) -> records.Baseline:
    """The baseline of that name. Raises `NotFoundError` naming the nearest."""
    try:
        return store.baseline(name)
    except NotFoundError:
        known = [each.name for each in store.baselines()]
        listed = (
            f" Known: {', '.join(known[:20])}." if known else " There are none yet: `clew report baseline` names one."
        )
        raise NotFoundError(
            f"There is no baseline '{name[:64]}' in {store.name}.{nearest(name, known)}{listed}"
        ) from None


def check(
    store: TraceStore,
    baseline: str,
    evaluation: records.Evaluation | Evaluation,
    *,
    tolerance: float = 0.0,
    rule: Rule = "significant",
    seed: int = 0,
) -> Verdict:
    """Hold an evaluation, recorded or not, against a named baseline, question by question.

    Raises `NotFoundError` for an unknown baseline, `InvalidError` where questions or judges differ.
    """
    if not 0 <= tolerance <= 1:
        raise UsageError(f"The tolerance is {tolerance}: give the fall of the average that is put up with, 0 to 1.")
    if rule not in get_args(Rule):
        raise UsageError(f"There is no rule '{rule}'.{nearest(rule, list(get_args(Rule)))}")
    against = find_baseline(store, baseline).evaluation
    old, new = _entries(against), _entries(evaluation)
    model = evaluation.name if isinstance(evaluation, records.Evaluation) else evaluation.model or evaluation.path
    check_same_questions(
        {each: asked for each, (_, *asked) in old.items()},
        {each: asked for each, (_, *asked) in new.items()},
        (f"The baseline '{baseline}'", model or "the evaluation"),
    )
    if against.judge != evaluation.judge:
        raise InvalidError(
            f"The baseline '{baseline}' was judged by '{against.judge}', {model} by '{evaluation.judge}': their scores "
            "cannot be compared. Evaluate again with one judge."
        )
    change = change_between([old[each][0] for each in old], [new[each][0] for each in old], seed=seed)
    lowest = {"significant": change.high, "mean": change.change, "noninferior": change.low}[rule]
    return Verdict(
        passed=lowest >= -tolerance - 1e-12,  # a mean of differences is rounded
        baseline=baseline,
        baseline_id=against.id,
        baseline_model=against.name,
        model=model,
        rule=rule,
        tolerance=tolerance,
        change=change,
        judge=evaluation.judge,
    )


def _entries(evaluation: records.Evaluation | Evaluation) -> dict[str, tuple[float, str, str]]:
    """Id of each question -> its score, and hashes of its prompt and its expected answer."""
    if isinstance(evaluation, Evaluation):
        return {row.id: (row.score, *_hashes(row)) for row in evaluation.rows}
    return {each: (float(score), prompt, expected) for each, score, prompt, expected in evaluation.details["scores"]}
