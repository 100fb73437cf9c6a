"""What a notebook calls, where no room has the call already: see `clew`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clew import recipes
from clew.core import files
from clew.core.errors import BundleError, ClewError, UsageError, nearest
from clew.recipes import base
from clew.recipes.base import Recipe
from clew.recipes.families import Family, find_family, known
from clew.runs.folder import Run, find_run

MANIFEST = "bundle.json"


def load_recipe(target: str, **changes: Any) -> Recipe:
    """The recipe that `target` names: a shipped one, a YAML file, or an objective (all its defaults).

    `changes` are laid over it: a field by its name where only one section has it (`max_steps=100`), or a whole section
    as a dictionary (`model={"d_model": 64}`). Raises `UsageError` naming what is unknown and the nearest that is known.
    """
    return with_changes(recipes.load(target), changes)


def with_changes(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """`recipe` with other values, as `load_recipe` takes them. Raises `UsageError`."""
    places = base.places(type(recipe))
    dotted: dict[str, Any] = {}
    for name, value in changes.items():
        if isinstance(value, dict) and name in type(recipe).model_fields:
            dotted |= {f"{name}.{field}": within for field, within in base.flattened(value).items()}
        elif name in places:
            dotted[places[name]] = str(value) if isinstance(value, Path) else value
        else:
            raise UsageError(f"The recipe {recipe.name} has no field '{name}'.{nearest(name, list(places))}")
    return base.changed(recipe, dotted, "clew.load_recipe")


def train(
    recipe: str | Recipe,
    runs_dir: Path | str = Path("runs"),
    *,
    backend: str = "torch",
    shows: bool = True,
    **changes: Any,
) -> Run:
    """Train a recipe, or what `load_recipe(recipe, **changes)` gives, in a new folder of `runs_dir`; return the run.

    `shows`: progress as it is made, a bar in a terminal or a notebook. Raises `ClewError`; `InterruptedRunError` after
    Ctrl-C, with a checkpoint of that instant that `resume` goes on from.
    """
    from clew.training import launch

    settled = recipes.load(recipe) if isinstance(recipe, str) else recipe
    say = launch.say_on_stderr if shows else _silent
    run, _ = launch.train(with_changes(settled, changes), Path(runs_dir), backend=backend, say=say, shows=shows)
    return run


def resume(
    run: str | Path | Run | None = None,
    *,
    checkpoint: str | int = "latest",
    runs_dir: Path | str = Path("runs"),
    data_dir: Path | str | None = None,
    db: str | None = None,
    data: Path | str | None = None,
    shows: bool = True,
) -> Run:
    """Go on with a run, by its folder or name, or with the newest (None), to the bits of one that was never stopped.

    `checkpoint`: "latest", "best" or a step. `data_dir`, `db`, `data`: where the same evidence lies now, if it was
    moved.
    Raises `ClewError`.
    """
    from clew.training import launch

    found = run if isinstance(run, Run) else find_run(None if run is None else str(run), Path(runs_dir))
    places = {"data_dir": data_dir, "db": db, "path": data}
    moved = {name: str(place) for name, place in places.items() if place is not None}
    say = launch.say_on_stderr if shows else _silent
    launch.resume(found, checkpoint=str(checkpoint), moved=moved, say=say, shows=shows)
    return found


def evaluate(bundle: Any, *arguments: Any, **settings: Any) -> Any:
    """What a bundle or a model file is worth, by the evaluator of its family; returns the family's report.

    A bundle of proofs: `evaluate(bundle, data_dir, ...)`, see `clew.proofs.evaluation.report.evaluate`. A net of a
    game: `evaluate(model, env_id=..., games=...)`, see `clew.games.evaluation.evaluate`. Raises `ClewError`.
    """
    return _family_of(bundle).part("evaluator")(bundle, *arguments, **settings)


def _family_of(bundle: Any) -> Family:
    """The family of a loaded bundle, of a bundle's folder, or of a model file in one."""
    folder = Path(getattr(bundle, "folder", bundle))
    path = folder / MANIFEST if folder.is_dir() else folder.with_name(MANIFEST)
    if not files.is_file(path):
        # A learner publishes bare files, as hosts in other languages load them.
        if folder.suffix == ".onnx":
            return find_family("alphazero")
        raise BundleError(f"{folder} is no bundle: it holds no {MANIFEST}.")
    manifest = files.read_json(path, what="the manifest of a bundle")
    named = manifest.get("family") if isinstance(manifest, dict) else None
    for family in known().values():
        if named in (family.objective, (family.evaluates or ("",))[0]):
            return family
    raise BundleError(f"{path} is of the family {named!r}, which is not known here.")


def loop(
    target: str,
    folder: Path | str = Path("data"),
    *,
    minutes: float = 0.0,
    iterations: int = 0,
    steps: int = 0,
    actors: int = 0,
    start_anew: bool = False,
    **changes: Any,
) -> Path:
    """The loop of a game on this machine, as `clew loop TARGET` runs it; returns the file of the newest model.

    `target`: a preset, a recipe's file, a game or a file with one of your own; `changes` as `load_recipe` takes them.
    Goes on with what `folder` holds. Raises `UsageError` where `changes` differ from the run that would go on,
    `InterruptedRunError` after Ctrl-C, `ClewError` when a process failed.
    """
    from clew.games.loop import Plan, check_unchanged, iterations_given, latest_model, recipe_for, settled
    from clew.games.loop import loop as run_loop

    loaded = recipe_for(target)
    recipe = with_changes(loaded, changes)
    assert isinstance(recipe, type(loaded))
    recipe = settled(recipe, Path(folder), iterations=iterations, steps=steps)
    plan = Plan(Path(folder), minutes, actors, start_anew)
    if (run := plan.run_to_go_on_with()) is not None:
        places = base.places(type(recipe))
        given = {places[name]: name for name in changes if name in places}
        check_unchanged(recipe, run, given | iterations_given(iterations, steps))
    run_loop(recipe, plan)
    model = latest_model(recipe)
    if not model.is_file():
        raise ClewError(f"The loop made no model in {model.parent}.")
    return model


def _silent(text: str) -> None:
    """Says nothing."""
