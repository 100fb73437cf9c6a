"""`clew train OBJECTIVE|RECIPE [--field value ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pydantic

from clew import recipes
from clew.cli import flags
from clew.cli.imports import stoppable_imports
from clew.core.errors import EXIT_DONE, EXIT_USAGE
from clew.recipes.base import Recipe
from clew.recipes.familiar import translated
from clew.runs.metrics import print_json


class TrainOptions(flags.Options):
    """Where the run goes, and how it is reported."""

    runs_dir: Path = Path("runs")
    """Folder that the run's folder is made in."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Train a model from a recipe; every field of the recipe is a flag."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = ["usage: clew train RECIPE [--field value ...]", "", "shipped recipes:"]
        lines += [f"  {name:<14} {_headline(path)}" for name, path in recipes.presets().items()]
        lines += ["", f"objectives (all defaults): {', '.join(recipes.OBJECTIVES)}; or the path of a YAML file.", ""]
        lines += [
            "`clew train RECIPE --help` lists its fields. Behind torchrun, the same command trains data-parallel:"
        ]
        lines += ["  torchrun --nproc-per-node 2 --no-python clew train tactics"]
        print("\n".join(lines), file=sys.stdout if arguments else sys.stderr)
        return EXIT_DONE if arguments else EXIT_USAGE
    target, *rest = arguments
    recipe, options = parse(target, rest)

    with stoppable_imports():
        from clew.training import launch  # torch is imported only now, when all arguments are known to be good
        from clew.training.devices import leads

    run, progress = launch.train(recipe, options.runs_dir, say=lambda text: print(text, file=sys.stderr))
    if not leads():
        return EXIT_DONE
    print(
        f"{progress.ended or 'finished'} at step {progress.step}; best score {progress.best_score:.4f} at step "
        f"{progress.best_step}; run {run.folder}",
        file=sys.stderr,
    )
    if options.as_json:
        print_json(launch.summary(run, progress))
    return EXIT_DONE


def parse(target: str, arguments: list[str]) -> tuple[Recipe, TrainOptions]:
    """The recipe that `target` names with the flags of `arguments` laid over it, and the command's own options."""
    loaded = recipes.load(target)
    if loaded.objective == "alphazero":
        training = loaded.training
        arguments = translated(arguments, peak=training.learning_rate, lowest=training.min_learning_rate)
    create: Any = pydantic.create_model
    kind = create("Train", __base__=TrainOptions, recipe=(type(loaded), loaded), __doc__=type(loaded).__doc__)
    parsed: Any = flags.parse(kind, arguments, program=f"clew train {target}", default=kind(recipe=loaded))
    # Flags replace whole values without the sections' checks across fields; these run here.
    recipe = type(loaded).model_validate(parsed.recipe.model_dump())
    return recipe, parsed


def _headline(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# ")
