"""Starts and resumes runs: evidence, run folder, device, loop, status. What `clew train` and `clew resume` call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clew.core import devices, files
from clew.core.checkpoint import MODEL, STATE, find_checkpoint, read_checkpoint
from clew.core.devices import Placement
from clew.core.errors import EXIT_INTERRUPTED, ClewError
from clew.core.fit import Progress, fit, load_weights
from clew.core.recipe import Recipe
from clew.core.run import MANIFEST, Run, create_run, open_run
from clew.objectives import Prepared, prepare
from clew.recipes import recipe_class

Say = Callable[[str], None]


def train(recipe: Recipe, runs_dir: Path, *, say: Say = print, shows: bool = True) -> tuple[Run, Progress]:
    """Start a run of `recipe` in a new folder of `runs_dir` and train it to its end.

    Every process of a torchrun calls this; the leader makes the folder and speaks. Raises `ClewError`.
    """
    with devices.placement(recipe.training) as placement:
        say = say if placement.leads else _silent
        prepared = prepare(recipe)
        source = _source_checkpoint(recipe.start_from) if recipe.start_from else None
        folder: str | None = None
        if placement.leads:
            for line in prepared.describe():
                say(line)
            run = create_run(runs_dir, recipe, prepared.evidence, parent=str(source) if source else None)
            prepared.keep(run.folder)
            folder = str(run.folder)
        run = open_run(Path(placement.share(folder)))
        say(f"run {run.folder}")
        return run, _go(run, recipe, prepared, placement, checkpoint=None, source=source, say=say, shows=shows)


def resume(
    run: Run, *, checkpoint: str = "latest", data_dir: str | None = None, say: Say = print, shows: bool = True
) -> Progress:
    """Continue `run` from its `checkpoint` (latest, best or a step), to the bits of a run that was never stopped.

    `data_dir`: where the same evidence lies now, if it was moved. Raises `ClewError` when recipe, evidence or
    tokenizer are not those that the run began with.
    """
    recipe = run.read_recipe(recipe_class(str(run.manifest["objective"])))
    with devices.placement(recipe.training) as placement:
        say = say if placement.leads else _silent
        moved = recipe
        if data_dir is not None:
            section = recipe.data.model_copy(update={"data_dir": data_dir})  # type: ignore[attr-defined]
            moved = recipe.model_copy(update={"data": section})
        prepared = prepare(moved)
        run.check_evidence(prepared.evidence)
        start = find_checkpoint(run.checkpoints, checkpoint) if (run.checkpoints / "latest.json").is_file() else None
        say(f"run {run.folder}: " + (f"resumes at {start.name}" if start else "has no checkpoint yet and starts anew"))
        for line in _differences(run, placement):
            say(line)
        where = start.name if start else None
        return _go(run, moved, prepared, placement, checkpoint=where, source=None, say=say, shows=shows)


def _go(
    run: Run,
    recipe: Recipe,
    prepared: Prepared,
    placement: Placement,
    *,
    checkpoint: str | None,
    source: Path | None,
    say: Say,
    shows: bool,
) -> Progress:
    if not placement.leads:
        return _fit(run, recipe, prepared, placement, checkpoint, source, _silent, shows=False)
    with run.locked():
        try:
            progress = _fit(run, recipe, prepared, placement, checkpoint, source, say, shows=shows)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 1) == EXIT_INTERRUPTED
            _record_end(run, "interrupted" if interrupted else "failed")
            raise
        run.update(status=progress.ended or "finished")
        return progress


def _fit(
    run: Run,
    recipe: Recipe,
    prepared: Prepared,
    placement: Placement,
    checkpoint: str | None,
    source: Path | None,
    say: Say,
    *,
    shows: bool,
) -> Progress:
    objective = prepared.objective(run.folder, placement)
    if source is not None:
        load_weights(objective.model, read_checkpoint(source, with_optimizer=False).model, source)
    elif checkpoint is None and recipe.start_from:
        again = _source_checkpoint(recipe.start_from)
        load_weights(objective.model, read_checkpoint(again, with_optimizer=False).model, again)
    compiled = devices.pays_to_compile(recipe.training, placement.device, objective.planned_flops())
    if placement.leads:
        run.update(status="running", device={**placement.describe(), "compiled": compiled})
    say(
        f"{_parameters(objective.model):,} parameters, {objective.planned_steps():,} steps planned, "
        f"{placement.device}, {str(placement.dtype).removeprefix('torch.')}, "
        f"{torch.get_num_threads()} threads{', compiled' if compiled else ''}"
    )
    return fit(objective, run, recipe.training, placement, compiled=compiled, checkpoint=checkpoint, shows=shows)


def _source_checkpoint(name: str) -> Path:
    """The checkpoint folder that `start_from` means: a checkpoint, or a run, whose best is taken."""
    path = Path(name)
    if (path / STATE).is_file() or (path / MODEL).is_file():
        return path
    if (path / MANIFEST).is_file():
        run = open_run(path)
        return find_checkpoint(run.checkpoints, "best" if (run.checkpoints / "best.json").is_file() else "latest")
    raise ClewError(f"--start-from {name}: this is neither a checkpoint folder nor a run folder.")


def _record_end(run: Run, status: str) -> None:
    """Note how the run ended; a disk that is full must not hide the error that is on its way to the user."""
    try:
        run.update(status=status)
        files.remove_leftovers(run.checkpoints)
    except ClewError:
        return


def _differences(run: Run, placement: Placement) -> list[str]:
    """What is not as it was when the run last trained: then it continues, but not to the same bits."""
    before, now = run.manifest.get("device") or {}, placement.describe()
    changed = [f"{name} {before[name]} -> {now[name]}" for name in now if name in before and before[name] != now[name]]
    versions = run.manifest.get("versions", {})
    if "torch" in versions and versions["torch"] != torch.__version__:
        changed.append(f"torch {versions['torch']} -> {torch.__version__}")
    return [f"note: not bit for bit as before, since it changed: {', '.join(changed)}"] if changed else []


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _silent(text: str) -> None:
    """The voice of a process that does not lead."""


def summary(run: Run, progress: Progress) -> dict[str, Any]:
    """The outcome of a run as JSON."""
    return {
        "run": str(run.folder),
        "run_id": run.run_id,
        "status": run.manifest["status"],
        **{name: value for name, value in dataclasses.asdict(progress).items() if name != "ended"},
    }
