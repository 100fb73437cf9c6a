"""Starts and resumes runs: evidence, run folder, device, loop, status. What `clew train` and `clew resume` call."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clew.core import files
from clew.core.errors import EXIT_INTERRUPTED, CheckpointError, ClewError
from clew.objectives import Prepared, prepare
from clew.recipes import recipe_class
from clew.recipes.base import Recipe, validate
from clew.runs.folder import MANIFEST, Run, create_run, open_run
from clew.training import devices
from clew.training.checkpoint import MODEL, STATE, find_checkpoint, read_checkpoint, read_state
from clew.training.devices import Placement
from clew.training.fit import Objective, Progress, fit, load_weights

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
            parent = str(source) if source else None
            folder = str(create_run(runs_dir, recipe, prepared.evidence, parent=parent, keep=prepared.keep).folder)
        run = open_run(Path(placement.share(folder)))
        say(f"run {run.folder}")
        with _held(run, placement):
            return run, _go(run, recipe, prepared, placement, checkpoint=None, say=say, shows=shows)


def resume(
    run: Run, *, checkpoint: str = "latest", data_dir: str | None = None, say: Say = print, shows: bool = True
) -> Progress:
    """Continue `run` from its `checkpoint` (latest, best or a step), to the bits of a run that was never stopped.

    `data_dir`: where the same evidence lies now, if it was moved. Raises `ClewError` when recipe, evidence or
    tokenizer are not those that the run began with.
    """
    recipe = run.read_recipe(recipe_class(str(run.manifest["objective"])))
    with devices.placement(recipe.training) as placement, _held(run, placement):
        say = say if placement.leads else _silent
        # The leader decides, since what it then drops the others might no longer find.
        where: str | None = placement.share(_where(run, checkpoint) if placement.leads else None)
        if where is not None and (over := _ended(run.checkpoints / where)) is not None:
            say(f"run {run.folder} is {over.ended} already, at step {over.step}: there is nothing to resume")
            if placement.leads:
                run.update(status=over.ended)
            return over
        moved = recipe
        if data_dir is not None:
            values = recipe.model_dump()
            values["data"]["data_dir"] = data_dir
            moved = validate(type(recipe), values, f"--data-dir {data_dir}")
        prepared = prepare(moved)
        run.check_evidence(prepared.evidence)
        say(f"run {run.folder}: " + (f"resumes at {where}" if where else "has no checkpoint yet and starts anew"))
        for line in _differences(run, placement):
            say(line)
        return _go(run, moved, prepared, placement, checkpoint=where, say=say, shows=shows)


@contextlib.contextmanager
def _held(run: Run, placement: Placement) -> Iterator[None]:
    """Hold the run for its leading process, and remove what a killed one left half-written."""
    if not placement.leads:
        yield
        return
    with run.locked():
        files.remove_leftovers(run.folder)
        files.remove_leftovers(run.checkpoints)
        yield


def _where(run: Run, checkpoint: str) -> str | None:
    """Name of the checkpoint folder to start at; None where the run was stopped before its first."""
    if checkpoint == "latest" and not (run.checkpoints / "latest.json").is_file():
        return None
    return find_checkpoint(run.checkpoints, checkpoint).name


def _ended(path: Path) -> Progress | None:
    """The progress of a checkpoint with which training was over; None where there is more to do."""
    saved = read_state(path).get("progress")
    return Progress(**saved) if isinstance(saved, dict) and saved.get("ended") else None


def _go(
    run: Run,
    recipe: Recipe,
    prepared: Prepared,
    placement: Placement,
    *,
    checkpoint: str | None,
    say: Say,
    shows: bool,
) -> Progress:
    with _end_recorded(run, placement):
        objective = prepared.objective(run.folder, placement)
        if checkpoint is None and recipe.start_from:
            _start_from(_source_checkpoint(recipe.start_from), objective)
        compiled = devices.pays_to_compile(recipe.training, placement.device, objective.planned_flops())
        if placement.leads:
            run.update(status="running", device={**placement.describe(), "compiled": compiled})
        say(
            f"{_parameters(objective.model):,} parameters, {objective.planned_steps():,} steps planned, "
            f"{placement.device}, {str(placement.dtype).removeprefix('torch.')}, "
            f"{torch.get_num_threads()} threads{', compiled' if compiled else ''}"
        )
        progress = fit(
            objective, run, recipe.training, placement, compiled=compiled, checkpoint=checkpoint, shows=shows
        )
    if placement.leads:
        run.update(status=progress.ended or "finished")
    return progress


def _start_from(source: Path, objective: Objective) -> None:
    """Give `objective` the weights of `source`. Raises `CheckpointError` for another model or another tokenizer."""
    found = read_checkpoint(source, with_optimizer=False)
    theirs, ours = (state.get("tokenizer_sha256") for state in (found.state.get("objective", {}), objective.state()))
    # Vocabularies of one size may still number other tokens: the weights would fit and mean nothing.
    if None not in (theirs, ours) and theirs != ours:
        raise CheckpointError(
            f"The checkpoint {source} was trained with another tokenizer. Give its run's: --tokenizer "
            f"{source.parent.parent / 'tokenizer.json'}."
        )
    load_weights(objective.model, found.model, source)


def _source_checkpoint(name: str) -> Path:
    """The checkpoint folder that `start_from` means: a checkpoint, or a run, whose best is taken."""
    path = Path(name)
    if (path / STATE).is_file() or (path / MODEL).is_file():
        return path
    if (path / MANIFEST).is_file():
        run = open_run(path)
        return find_checkpoint(run.checkpoints, "best" if (run.checkpoints / "best.json").is_file() else "latest")
    raise ClewError(f"--start-from {name}: this is neither a checkpoint folder nor a run folder.")


@contextlib.contextmanager
def _end_recorded(run: Run, placement: Placement) -> Iterator[None]:
    """Note in the run how an error ended it."""
    try:
        yield
    except BaseException as error:
        if placement.leads:
            interrupted = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 1) == EXIT_INTERRUPTED
            # A disk that is full must not hide the error that is on its way to the user.
            with contextlib.suppress(ClewError):
                run.update(status="interrupted" if interrupted else "failed")
                files.remove_leftovers(run.checkpoints)
        raise


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
