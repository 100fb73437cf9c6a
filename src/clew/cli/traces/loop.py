"""`clew loop RECIPE` for traces: a generator's traces teach a model, which then makes traces of its own."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clew import recipes
from clew.cli import flags
from clew.cli.output import print_json
from clew.cli.runs.train import with_flags
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED
from clew.recipes.chat import ChatRecipe
from clew.runs.progress import InterruptedRunError

if TYPE_CHECKING:
    from clew.traces.loop import Outcome


class LoopOptions(flags.Options):
    """Generate, build the dataset, evaluate, train, evaluate, report, gate; then rounds in which the model learns from
    its own answers that the checker accepts. Ctrl-C and kill -9 lose nothing: the same command goes on where it was."""

    folder: Path = Path("data/loop")
    """Folder of the traces, the questions, the runs and the reports."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew loop` for traces."""
    target, *rest = arguments
    recipe, options = with_flags(recipes.load(target), rest, LoopOptions, program=f"clew loop {target}")
    assert isinstance(recipe, ChatRecipe)

    from clew.traces.loop import loop, settled

    try:
        outcome = loop(settled(recipe, options.folder), options.folder)
    except InterruptedRunError as stopped:
        print(f"loop: {stopped}", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    print(_table(outcome), file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(asdict(outcome))
    return EXIT_DONE


def _table(outcome: Outcome) -> str:
    """The share of right answers of each round, with its interval."""
    lines = []
    for name, scores in outcome.scores.items():
        lines.append(f"{name.replace('_', ' ')} questions answered right")
        for round_, score in scores.items():
            told = f"{score.value:7.1%} ({score.low:.1%} to {score.high:.1%} of {score.cases:,})"
            lines.append(f"  {round_:<10} {told}")
    return "\n".join([*lines, f"model: {outcome.model}", f"{outcome.seconds:,.0f} s"])
