"""`clew evaluate games`: a model's games against an opponent, from both seats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from clew.cli.flags import Json, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.core.files import check_output
from clew.games.evaluation import REPORT_FILES, GamesEvaluation, evaluate_games

QUIET = ("WARNING", "ERROR")


class EvaluateGamesOptions(GamesEvaluation):
    """Play a model against an opponent, half of the games from each seat."""

    verbose: bool = False
    """Print each game."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG prints each game too; WARNING and ERROR say nothing on the way."""
    output: Path | None = None
    """Folder for report.json and report.md."""
    as_json: Json = False
    """Print the report as one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate games`."""
    options = parse(EvaluateGamesOptions, arguments, program="clew evaluate games")
    if options.output is not None:
        for name, kind in REPORT_FILES.items():
            check_output(options.output / name, kind)
    quiet = options.log_level in QUIET
    report = evaluate_games(options, say=lambda text: None if quiet else print(text, file=sys.stderr))
    page = sys.stderr if options.as_json else sys.stdout
    if options.verbose or options.log_level == "DEBUG":
        print("\n".join(report.games) + "\n", file=page)
    if options.output is not None:
        report.write(options.output)
    print(report.page, file=page)
    if options.as_json:
        print_json(report.values)
    return EXIT_DONE
