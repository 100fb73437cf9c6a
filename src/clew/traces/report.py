"""What training changed: two evaluations of the same questions, paired by id.

Every figure of the page stands in the JSON as well. The same two evaluations give the same bytes but for the date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import UsageError
from clew.core.intervals import RESAMPLINGS
from clew.traces.evaluation_rows import Evaluation, Row
from clew.traces.page import code, delta, mean, statistics, table, verdict
from clew.traces.paired import Change, change_between, check_same_questions
from clew.traces.schema import InvalidError

TITLE = "# What training changed"
GROUPS = ("category", "difficulty", "section")
"""Labels of a question that have a table of their own."""
EXAMPLES = 10
"""Examples on the page that got better, and that got worse; the JSON has all."""

MARKDOWN = files.text_output("a report of clew report", TITLE)
JSON = files.json_output("a report of clew report", "summary", "examples", "method")


@dataclass(frozen=True)
class Side:
    """One of the two evaluations."""

    path: str
    model: str
    unfinished: int
    """Answers that were cut before the model ended its turn."""
    tokens_per_answer: float
    seconds_per_answer: float
    created_at: str | None
    meta: Mapping[str, Any]
    """What it was made with, where that is known: sampling, model, eval set."""


@dataclass(frozen=True)
class Example:
    """One question, before and after."""

    id: str
    prompt: str
    expected_answer: str
    answer_before: str
    """What stands after `Answer:`, or else the end of what was written."""
    answer_after: str
    score_before: float
    score_after: float
    change: float


@dataclass(frozen=True)
class DeltaReport:
    """What changed between two evaluations of the same questions."""

    date: str
    judge: str
    before: Side
    after: Side
    summary: Change
    groups: Mapping[str, Mapping[str, Change]]
    """By category, difficulty and section: the change among the questions of each label."""
    examples: tuple[Example, ...]
    """All questions, in the order of the first evaluation."""
    notes: tuple[str, ...]
    """What a reader should know before believing the figures."""
    seed: int

    @property
    def better(self) -> list[Example]:
        """Those whose score rose, the most first."""
        return sorted((each for each in self.examples if each.change > 0), key=lambda each: -each.change)

    @property
    def worse(self) -> list[Example]:
        """Those whose score fell, the most first."""
        return sorted((each for each in self.examples if each.change < 0), key=lambda each: each.change)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "examples_count": len(self.examples), "method": method(self)}

    def _repr_markdown_(self) -> str:
        """The page that a notebook shows."""
        return markdown(self)


def compare(before: Evaluation, after: Evaluation, *, date: str = "", seed: int = 0) -> DeltaReport:
    """Pair two evaluations by id.

    `date`: of the report, today's by default (UTC). `seed`: of the bootstrap.
    Raises `InvalidError` where the questions or the judges differ.
    """
    check_same_questions(_asked(before), _asked(after), (before.path or "the first", after.path or "the second"))
    if before.judge != after.judge:
        raise InvalidError(
            f"{before.path} was judged by '{before.judge}', {after.path} by '{after.judge}': their scores cannot be "
            "compared. Evaluate again with one judge."
        )
    of_id = {row.id: row for row in after.rows}
    pairs = [(row, of_id[row.id]) for row in before.rows]
    summary = _change(pairs, seed)
    groups: dict[str, dict[str, Change]] = {}
    for kind in GROUPS:
        members: dict[str, list[tuple[Row, Row]]] = {}
        for pair in pairs:
            label = getattr(pair[0], kind)
            if label is not None:
                members.setdefault(label, []).append(pair)
        if members:
            groups[kind] = {
                label: _change(members[label], seed, summary.binary) for label in sorted(members, key=_natural)
            }
    return DeltaReport(
        date=date or datetime.now(UTC).date().isoformat(),
        judge=before.judge,
        before=_side(before),
        after=_side(after),
        summary=summary,
        groups=groups,
        examples=tuple(_example(*pair) for pair in pairs),
        notes=tuple(_notes(before, after)),
        seed=seed,
    )


def _asked(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    return {row.id: (row.prompt, row.expected_answer) for row in evaluation.rows}


def _change(pairs: Sequence[tuple[Row, Row]], seed: int, binary: bool | None = None) -> Change:
    return change_between([old.score for old, _ in pairs], [new.score for _, new in pairs], seed=seed, binary=binary)


def _natural(label: str) -> tuple[bool, float, str]:
    """Labels that are numbers stand in their order, before the others."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def _side(evaluation: Evaluation) -> Side:
    found = evaluation.figures
    return Side(
        path=evaluation.path,
        model=evaluation.model,
        unfinished=found.unfinished,
        tokens_per_answer=found.tokens / found.examples,
        seconds_per_answer=found.seconds / found.examples,
        created_at=evaluation.meta.get("created_at"),
        meta={key: evaluation.meta[key] for key in ("model", "sampling", "eval_set") if key in evaluation.meta},
    )


def _example(before: Row, after: Row) -> Example:
    return Example(
        id=before.id,
        prompt=before.prompt,
        expected_answer=before.expected_answer,
        answer_before=_said(before),
        answer_after=_said(after),
        score_before=before.score,
        score_after=after.score,
        change=after.score - before.score,
    )


def _said(row: Row) -> str:
    return row.answer if row.answer is not None else row.completion[-200:]


def _notes(before: Evaluation, after: Evaluation) -> list[str]:
    notes = []
    for evaluation, which in ((before, "before"), (after, "after")):
        cut = evaluation.figures.unfinished
        if cut:
            notes.append(
                f"{cut} of {len(evaluation.rows)} answers {which} training were cut at the most tokens allowed, before "
                "the model ended its turn."
            )
        if not evaluation.meta:
            notes.append(f"How the answers {which} training were made is not recorded beside {evaluation.path}.")
    repeated = len(before.rows) - len({row.prompt for row in before.rows})
    if repeated:
        notes.append(
            f"{repeated} questions repeat the prompt of another. Their answers are no independent cases, so the "
            "intervals are too narrow."
        )
    notes += _differences(before.meta, after.meta)
    return notes


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What else than the model's weights changed between the two, where both say how they were made."""
    found = []
    for section, keys in (
        ("sampling", ("temperature", "top_p", "top_k", "max_tokens", "seed")),
        ("model", ("template_sha256", "system")),
    ):
        first, second = (each.get(section) for each in (before, after))
        if isinstance(first, dict) and isinstance(second, dict):
            found += [
                f"{key.removesuffix('_sha256')} ({first.get(key)} before, {second.get(key)} after)"
                for key in keys
                if first.get(key) != second.get(key)
            ]
    if not found:
        return []
    return [f"The two evaluations differ in more than the weights: {', '.join(found)}."]


def method(report: DeltaReport) -> list[str]:
    """How the figures were made, a sentence each."""
    summary = report.summary
    means = "Wilson's score intervals" if summary.binary else "percentile intervals by bootstrap"
    test = "McNemar's exact test" if summary.binary else "the exact sign test"
    return [
        f"Each answer was scored by the judge `{report.judge or 'not recorded'}`, from 0 to 1; the average is the mean "
        "score over all questions.",
        "The two evaluations are paired by the id of the question; prompts and expected answers were checked to be "
        "the same.",
        f"Averages have {means}, 95%.",
        f"The change has a 95% percentile interval by paired bootstrap: {RESAMPLINGS:,} resamplings of the questions, "
        f"seed {report.seed}.",
        f"p is two-sided, by {test} on the questions that got better against those that got worse.",
        "Intervals of categories and difficulties are each for itself, with no correction for their number.",
    ]


# The page


def markdown(report: DeltaReport) -> str:
    """The report as a page."""
    change = report.summary
    page = [
        TITLE,
        "",
        f"- Date: {report.date}",
        f"- Number of examples: {change.examples}",
        f"- Before: {code(report.before.model or report.before.path)}",
        f"- After: {code(report.after.model or report.after.path)}",
        "",
        "## Summary",
        "",
        "| | before | after | change |",
        "| --- | --- | --- | --- |",
        f"| average score | {mean(change, 'before')} | {mean(change, 'after')} | {delta(change)} |",
        f"| tokens an answer | {report.before.tokens_per_answer:.1f} | {report.after.tokens_per_answer:.1f} | "
        f"{report.after.tokens_per_answer - report.before.tokens_per_answer:+.1f} |",
        f"| answers cut short | {report.before.unfinished} | {report.after.unfinished} | "
        f"{report.after.unfinished - report.before.unfinished:+d} |",
        "",
        verdict(change),
        "",
        "## Examples",
        "",
        *_examples("Got better", report.better),
        *_examples("Got worse", report.worse),
        "## Statistics",
        "",
        *statistics(change),
    ]
    for kind, groups in report.groups.items():
        if len(groups) == 1 and change.examples == sum(each.examples for each in groups.values()):
            continue  # it would say the summary again
        page += [f"### By {kind}", "", *table(kind, groups), ""]
    page += ["## Method", "", *[f"- {sentence}" for sentence in method(report)]]
    if report.notes:
        page += ["", "## Notes", "", *[f"- {note}" for note in report.notes]]
    return "\n".join(page) + "\n"


def _examples(title: str, examples: Sequence[Example]) -> list[str]:
    shown = examples[:EXAMPLES]
    if not shown:
        return [f"### {title}: none", ""]
    return [
        f"### {title}: {len(shown)} of {len(examples)}",
        "",
        "| id | prompt | expected | answer before | answer after | score before | score after | change |",
        f"|{' --- |' * 8}",
        *(
            f"| {code(each.id, 40)} | {code(each.prompt)} | {code(each.expected_answer, 40)} | "
            f"{code(each.answer_before, 40)} | {code(each.answer_after, 40)} | {each.score_before:g} | "
            f"{each.score_after:g} | {each.change:+g} |"
            for each in shown
        ),
        "",
    ]


# The files


def report_paths(output: Path) -> tuple[Path, Path, Path]:
    """The page, the JSON and the picture of a report. Raises `UsageError` for a page that is not called `*.md`."""
    if output.suffix.lower() not in (".md", ".markdown"):
        raise UsageError(
            f"{output} is to hold a page of Markdown, with the JSON and the picture beside it under the same name. "
            "Call it *.md, such as delta_report.md."
        )
    return output, output.with_suffix(".json"), output.with_suffix(".png")


def check_report_output(output: Path) -> None:
    """Raise `UsageError` unless a report may be written to `output`: it replaces an earlier one and nothing else."""
    for path, kind in zip(report_paths(output), (MARKDOWN, JSON, files.PNG), strict=True):
        files.check_output(path, kind)


def write_report(report: DeltaReport, output: Path) -> list[Path]:
    """Write the page, and beside it the JSON and, where matplotlib is installed, the picture; return their paths."""
    import importlib.util

    check_report_output(output)
    page, document, picture = report_paths(output)
    text = markdown(report)
    written = [page, document]
    if importlib.util.find_spec("matplotlib") is not None:
        from clew.traces.plot import draw_changes

        draw_changes(report.summary, report.groups, picture)
        text = text.replace("\n## Examples\n", f"\n![before and after]({picture.name})\n\n## Examples\n", 1)
        written.append(picture)
    files.write_json(document, report.as_json(), replaces=JSON)
    files.write_text(page, text, replaces=MARKDOWN)
    return written
