"""`clew loop synthesis`: a guide of the program search learns from demonstrations, then from what it solves itself."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from clew import recipes
from clew.cli import flags
from clew.cli.output import print_json
from clew.cli.runs.train import with_flags
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED
from clew.recipes.imitation import ImitationRecipe
from clew.runs.progress import InterruptedRunError

if TYPE_CHECKING:
    from clew.programs.loop import Outcome


class LoopOptions(flags.Options):
    """Demonstrate, imitate, evaluate; then rounds: search the training tasks with the model, learn from what is newly
    solved, evaluate held out. Ctrl-C and kill -9 lose nothing: the same command goes on where it was."""

    folder: Annotated[Path, tyro.conf.arg(aliases=["--output"])] = Path("data/loop-synthesis")
    """Folder of the tasks, the demonstrations, the runs, the models and the curve."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew loop` for programs."""
    target, *rest = arguments
    recipe, options = with_flags(recipes.load(target), rest, LoopOptions, program=f"clew loop {target}")
    assert isinstance(recipe, ImitationRecipe)

    from clew.programs.loop import loop

    try:
        outcome = loop(recipe, options.folder)
    except InterruptedRunError as stopped:
        print(f"loop: {stopped}", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    print(_table(outcome), file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(asdict(outcome))
    return EXIT_DONE


def _table(outcome: Outcome) -> str:
    """The shares of solved tasks, round by round."""
    lines = [f"solved within {outcome.nodes:,} nodes    held out              shipped        training tasks"]
    plain = {group: asdict(each) for group, each in outcome.baseline.items()}
    for name, told in (("without a model", plain), *((f"round {each['round']}", each) for each in outcome.rounds)):
        searched = f"{told['solved']:,} of {told['tried']:,}" if "tried" in told else ""
        lines.append(f"  {name:<22} {_share(told['held_out'])}  {_share(told['shipped'])}  {searched}".rstrip())
    return "\n".join([*lines, f"model: {outcome.model}", f"{outcome.seconds:,.0f} s"])


def _share(told: dict[str, Any]) -> str:
    return f"{told['value']:6.1%} ({told['low']:.0%}-{told['high']:.0%} of {told['cases']})"
