"""`clew train OBJECTIVE|RECIPE [--field value ...]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from clew import recipes
from clew.cli import flags
from clew.cli.imports import stoppable_imports
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_USAGE
from clew.recipes import base
from clew.recipes.base import Recipe
from clew.recipes.familiar import Familiar
from clew.recipes.families import find_family, known
from clew.recipes.reporting import ReportedRecipe, Reporting

if TYPE_CHECKING:
    from clew.runs.folder import Run
    from clew.runs.progress import Progress
    from clew.runs.screen import Shows


class TrainOptions(flags.Options):
    """Where the run goes, and how it is reported."""

    runs_dir: Path | None = None
    """Folder of the run's folder; by default what the recipe names as its checkpoint folder, or runs."""
    output: Path | None = None
    """The run's own folder, which must be new or empty, in place of one with a made-up name in `runs_dir`."""
    config: Path | None = None
    """A YAML file whose settings are laid over those of the recipe."""
    backend: str = "torch"
    """The library that trains."""
    dry_run: bool = False
    """Read and check everything, say what would be trained, and stop."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


O = TypeVar("O", bound=flags.Options)  # noqa: E741


def main(arguments: list[str]) -> int:
    """Train a model from a recipe; every field of the recipe is a flag."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = ["usage: clew train RECIPE [--field value ...]", "", "shipped recipes:"]
        lines += [f"  {name:<14} {_headline(path)}" for name, path in recipes.presets().items()]
        lines += ["", f"objectives (all defaults): {', '.join(known())}; or the path of a YAML file.", ""]
        lines += [
            "`clew train RECIPE --help` lists its fields. Behind torchrun, the same command trains data-parallel:"
        ]
        lines += ["  torchrun --nproc-per-node 2 --no-python clew train tactics"]
        print("\n".join(lines), file=sys.stdout if arguments else sys.stderr)
        return EXIT_DONE if arguments else EXIT_USAGE
    target, *rest = arguments
    recipe, options = parse(target, rest)

    with stoppable_imports():
        from clew.training import launch

    if options.dry_run:
        return _dry_run(recipe, options)
    reporting = recipe.reporting if isinstance(recipe, ReportedRecipe) else Reporting()
    runs_dir = options.runs_dir or Path(reporting.checkpoint_dir or "runs")
    say, shows = voice(recipe)
    run, progress = launch.train(recipe, runs_dir, backend=options.backend, folder=options.output, say=say, shows=shows)
    if not launch.leads():
        return EXIT_DONE
    best = "" if progress.best_score is None else f"best score {progress.best_score:.4f} at step {progress.best_step}; "
    say(f"{progress.ended or 'finished'} at step {progress.step}; {best}run {run.folder}")
    print_outcome(recipe, run, progress, as_json=options.as_json)
    return EXIT_DONE


def voice(recipe: Recipe) -> tuple[Callable[[str], None], Shows]:
    """How a command speaks of a training of `recipe`: to a reader, or to a program."""
    from clew.training import launch

    if isinstance(recipe, ReportedRecipe) and recipe.reporting.structured:
        return launch.say_as_json, "json"
    return launch.say_on_stderr, True


def print_outcome(recipe: Recipe, run: Run, progress: Progress, *, as_json: bool) -> None:
    """Print what the training of `recipe` came to as JSON, where the recipe or a flag asks for it."""
    from clew.training import launch

    outcome = launch.summary(run, progress) if as_json else {}
    if isinstance(recipe, ReportedRecipe) and recipe.reporting.structured:
        outcome |= find_family(recipe.objective).part("summary")(run, progress, recipe)
    if outcome:
        print_json(outcome)


def _dry_run(recipe: Recipe, options: TrainOptions) -> int:
    from clew.training import launch
    from clew.training.backends import choose, find_backend

    find_backend(choose(options.backend, launch.say_on_stderr))
    prepared = launch.prepare(recipe)
    for line in prepared.describe():
        print(line, file=sys.stderr)
    print("dry run: everything is there; nothing was trained or written", file=sys.stderr)
    if options.as_json:
        print_json({"dry_run": True, "recipe": recipe.without_secrets().model_dump(mode="json")})
    return EXIT_DONE


def parse(target: str, arguments: list[str]) -> tuple[Recipe, TrainOptions]:
    """The recipe that `target` names with the file of `--config` and the flags of `arguments` laid over it, and the
    command's own options."""
    loaded = recipes.load(target)
    for place, argument in enumerate(arguments):
        flag, joined, value = argument.partition("=")
        if flag == "--config" and (joined or place + 1 < len(arguments)):
            loaded = recipes.laid_over(loaded, Path(value if joined else arguments[place + 1]))
    return with_flags(loaded, arguments, TrainOptions, program=f"clew train {target}")


def with_flags(
    loaded: Recipe,
    arguments: Sequence[str],
    options: type[O],
    *,
    program: str,
    familiar: Familiar | None = None,
) -> tuple[Recipe, O]:
    """`loaded` with the flags of `arguments` laid over it, and the `options` of a command beside them.

    `familiar`: names of earlier tools, in place of those of the recipe's family. Raises `UsageError`.
    """
    family = find_family(loaded.objective)
    if familiar is None and family.familiar:
        familiar = family.part("familiar")
    if familiar is not None:
        arguments = familiar.flags(arguments, loaded.training)
    create: Any = pydantic.create_model
    whole: Any = flags.Whole
    about = type(loaded).__doc__
    kind = create("Options", __base__=options, recipe=(whole[type(loaded)], loaded), __doc__=about)
    parsed: Any = flags.parse(kind, arguments, program=program, default=kind(recipe=loaded))
    # Flags replace whole values without the sections' checks across fields; these run here.
    return base.validate(type(loaded), parsed.recipe.model_dump(), program), parsed


def _headline(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# ")
