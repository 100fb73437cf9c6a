"""`clew report`: what training changed; the leaderboard; the gate against a named baseline."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED, UsageError

COMMANDS: Commands = {
    "leaderboard": (f"{__name__}:list_evaluations", "recorded evaluations, the best first"),
    "record": (f"{__name__}:record_evaluation", "add an evaluation to the leaderboard"),
    "baseline": (f"{__name__}:name_baseline", "name an evaluation that later ones are held against, or list these"),
    "check": (f"{__name__}:check_regression", "pass or fail (exit code 1) against a named baseline"),
}


class ReportOptions(Options):
    """Compare two evaluations of the same questions, paired by id: Markdown, and beside it JSON and a picture.

    `clew report leaderboard`, `record`, `baseline` and `check` keep evaluations and hold new ones against old ones.
    """

    before: Path
    """Rows of `clew evaluate traces` before training."""
    after: Path
    """Rows of the same questions after it."""
    output: Path = Path("delta_report.md")
    """The page; the JSON and the picture get its name with .json and .png."""
    seed: int = 0
    """Of the bootstrap."""
    as_json: Json = False
    """Print the report as one JSON document, the last line of stdout."""


class StoreOptions(Options):
    """Options of commands on the leaderboard."""

    db: str = "data/traces.db"
    """Database of traces: a path, sqlite:///PATH or postgresql://..."""
    as_json: Json = False
    """Print the result as one JSON document, the last line of stdout."""


class LeaderboardOptions(StoreOptions):
    """Recorded evaluations by eval set and judge, the best first."""

    eval_set: str = ""
    """Only those of the eval set whose hash begins so, or of the questions that this file of rows answers."""
    limit: int = pydantic.Field(default=50, ge=1, le=10_000)
    """At most so many."""


class RecordOptions(StoreOptions):
    """Add an evaluation to the leaderboard, with the score of each question."""

    evaluation: Positional[Path]
    """File of rows of `clew evaluate traces`."""
    name: str = ""
    """Name in the leaderboard; by default that of the model."""


class BaselineOptions(StoreOptions):
    """Name an evaluation as a baseline; without a name, list the baselines."""

    name: Positional[str] = ""
    """Name of the baseline, such as main."""
    evaluation: Positional[str] = ""
    """File of rows, or the id of a recorded evaluation; none: show the baseline."""
    replace: bool = False
    """Whether a baseline of that name may be another evaluation from now on."""


class CheckOptions(StoreOptions):
    """Hold an evaluation against a named baseline, question by question; exit code 1 where it fails."""

    baseline: Positional[str]
    """Name of the baseline."""
    evaluation: Positional[str]
    """File of rows, or the id of a recorded evaluation."""
    tolerance: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Fall of the average score that is put up with: 0.02 is two points of a hundred."""
    rule: Literal["significant", "mean", "noninferior"] = "significant"
    """Fails where: significant, the whole 95% interval of the change lies below -tolerance; mean, the change does;
    noninferior, the lower end of the interval does (the model must be shown not to be worse)."""


def main(arguments: list[str]) -> int:
    """Run `clew report`."""
    if arguments and arguments[0] in COMMANDS:
        return dispatch(COMMANDS, arguments, program="clew report", about="Evaluations, compared.")
    if arguments and not arguments[0].startswith("-"):
        from clew.core.errors import nearest

        raise UsageError(
            f"There is no command 'clew report {arguments[0]}'.{nearest(arguments[0], list(COMMANDS))} Two evaluations "
            "are compared by `clew report --before A.jsonl --after B.jsonl`."
        )
    options = parse(ReportOptions, arguments, program="clew report")

    from clew.traces.evaluation_rows import read_evaluation
    from clew.traces.page import verdict
    from clew.traces.report import check_report_output, compare, write_report

    check_report_output(options.output)
    report = compare(read_evaluation(options.before), read_evaluation(options.after), seed=options.seed)
    written = write_report(report, options.output)
    out = sys.stderr if options.as_json else sys.stdout
    print(verdict(report.summary).replace("**", ""), file=out)
    print(f"Written: {', '.join(map(str, written))}", file=out)
    if options.as_json:
        print_json(report.as_json())
    return EXIT_DONE


def list_evaluations(arguments: list[str]) -> int:
    """Run `clew report leaderboard`."""
    options = parse(LeaderboardOptions, arguments, program="clew report leaderboard")

    from clew.core import files
    from clew.traces.evaluation_rows import read_evaluation, set_sha256
    from clew.traces.regression import leaderboard, summary
    from clew.traces.store import TraceStore

    wanted = options.eval_set
    if wanted and files.is_file(Path(wanted)):
        wanted = set_sha256(read_evaluation(wanted).rows)
    with TraceStore.open(options.db, create=False) as store:
        found = [each for each in leaderboard(store, limit=10_000) if each.eval_set_sha256.startswith(wanted)]
        named = {baseline.evaluation.id: baseline.name for baseline in store.baselines()}
    shown = found[: options.limit]
    if options.as_json:
        print_json([{**summary(each), "baseline": named.get(each.id)} for each in shown])
        return EXIT_DONE
    if not shown:
        print("No evaluation is recorded. `clew report record EVAL.jsonl` adds one.")
    boards: dict[tuple[str, str], list[str]] = {}
    for each in shown:
        mark = f"  baseline '{named[each.id]}'" if each.id in named else ""
        interval = f"{each.low:.3f} to {each.high:.3f}" if each.low is not None and each.high is not None else ""
        line = f"  {each.mean_score:.3f}  {interval:<14}  {each.created_at[:16]}  {each.id}  {each.name}{mark}"
        boards.setdefault((each.eval_set_sha256, each.judge), []).append(line)
    for (eval_set, judge), lines in boards.items():
        examples = next(each.examples for each in shown if each.eval_set_sha256 == eval_set)
        print(f"eval set {eval_set[:12]}, {examples} questions, judged by {judge or 'an unrecorded judge'}")
        print("\n".join(lines))
    return EXIT_DONE


def record_evaluation(arguments: list[str]) -> int:
    """Run `clew report record`."""
    options = parse(RecordOptions, arguments, program="clew report record")

    from clew.traces.evaluation_rows import read_evaluation
    from clew.traces.regression import record, summary
    from clew.traces.store import TraceStore

    evaluation = read_evaluation(options.evaluation)
    with TraceStore.open(options.db) as store:
        made = record(store, evaluation, name=options.name)
    if options.as_json:
        print_json(summary(made))
    else:
        print(f"{made.id}  {made.name}: {made.mean_score:.4f} on {made.examples} questions, in {options.db}")
    return EXIT_DONE


def name_baseline(arguments: list[str]) -> int:
    """Run `clew report baseline`."""
    options = parse(BaselineOptions, arguments, program="clew report baseline")

    from clew.traces.regression import find_baseline, find_evaluation, set_baseline, summary
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=bool(options.evaluation)) as store:
        if options.evaluation:
            made = find_evaluation(store, options.evaluation)
            found = [set_baseline(store, options.name, made.id, replace=options.replace)]
        else:
            found = [find_baseline(store, options.name)] if options.name else store.baselines()
    if options.as_json:
        told = [{**asdict(each), "evaluation": summary(each.evaluation)} for each in found]
        print_json(told if not options.name else told[0])
        return EXIT_DONE
    for each in found:
        of = each.evaluation
        print(f"{each.name}: {of.name}, {of.mean_score:.4f} on {of.examples} questions, evaluation {of.id}")
    if not found:
        print("There are no baselines. `clew report baseline NAME EVAL.jsonl` names one.")
    return EXIT_DONE


def check_regression(arguments: list[str]) -> int:
    """Run `clew report check`."""
    options = parse(CheckOptions, arguments, program="clew report check")

    from clew.core import files
    from clew.traces.evaluation_rows import read_evaluation
    from clew.traces.regression import check, find_evaluation
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        is_file = files.is_file(Path(options.evaluation))
        held = read_evaluation(options.evaluation) if is_file else find_evaluation(store, options.evaluation)
        verdict = check(store, options.baseline, held, tolerance=options.tolerance, rule=options.rule)
    print(verdict.sentence, file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(verdict.as_json())
    return EXIT_DONE if verdict.passed else EXIT_FAILED
