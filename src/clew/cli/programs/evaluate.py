"""`clew evaluate programs`: the heads of a guide on tasks held out, and how much shorter the search gets with it."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path

from clew.cli.flags import Json, Positional, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.core.progress import stage
from clew.programs.evaluation import ProgramsEvaluation


class EvaluateProgramsOptions(ProgramsEvaluation):
    """Evaluate a guide of the program search on tasks that it was not trained on."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    output: Path | None = None
    """Folder for report.json and report.md."""
    as_json: Json = False
    """Print the report as one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate programs`."""
    options = parse(EvaluateProgramsOptions, arguments, program="clew evaluate programs")

    from clew.programs.evaluation import check_report, evaluate_programs, markdown, write_report

    if options.output is not None:
        check_report(options.output)  # before the evaluation, which takes minutes
    with contextlib.ExitStack() as bars:  # whatever ends the evaluation, the terminal gets its cursor back
        report = evaluate_programs(options.bundle, options, stage=functools.partial(stage, bars))
    if options.output is not None:
        write_report(report, options.output)
    print(markdown(report), file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(report.as_json())
    return EXIT_DONE
