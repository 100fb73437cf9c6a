"""Starts and resumes runs: evidence, run folder, backend, status. What `clew train` and `clew resume` call."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import EXIT_INTERRUPTED, ClewError, UsageError
from clew.core.evidence import Prepared, TellsMore
from clew.recipes import base, recipe_class
from clew.recipes.base import Recipe
from clew.recipes.families import find_family
from clew.runs.checkpoints import MODEL, STATE, find_checkpoint, read_state, steps
from clew.runs.folder import MANIFEST, Run, create_run, open_run
from clew.runs.progress import Progress
from clew.runs.screen import Shows, log_line
from clew.training.backends import Processes, Say, choose, find_backend


def say_on_stderr(text: str) -> None:
    """The voice of a command: what it prints on stdout is its result alone."""
    print(text, file=sys.stderr, flush=True)


def say_as_json(text: str) -> None:
    """The voice of a command whose stderr programs read."""
    log_line("note", {"text": text})


def leads() -> bool:
    """Whether this is the process that speaks to the user: the only one, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


def prepare(recipe: Recipe) -> Prepared:
    """Read and check the evidence that `recipe` names. Raises `ClewError` before anything is written."""
    prepared: Prepared = find_family(recipe.objective).part("prepare")(recipe)
    return prepared


def train(
    recipe: Recipe,
    runs_dir: Path = Path("runs"),
    *,
    backend: str = "torch",
    folder: Path | None = None,
    say: Say = say_on_stderr,
    shows: Shows = True,
) -> tuple[Run, Progress]:
    """Start a run of `recipe` in a new folder of `runs_dir`, or in the new `folder`, and train it to its end.

    Every process of a torchrun calls this; the leader makes the folder and speaks. Raises `ClewError`.
    """
    backend = choose(backend, say if leads() else _silent)
    trains = find_backend(backend)
    with trains.processes(recipe) as processes:
        say = say if processes.leads else _silent
        prepared = prepare(recipe)
        recipe = getattr(prepared, "recipe", recipe)  # what could only be settled over the evidence is settled in it
        made: str | None = None
        if processes.leads:
            for line in prepared.describe():
                say(line)
            parent = _parent(recipe.start_from) if recipe.start_from else None
            about = {"backend": backend} | (prepared.manifest() if isinstance(prepared, TellsMore) else {})
            run = create_run(
                runs_dir, recipe, prepared.evidence, parent=parent, keep=prepared.keep, folder=folder, about=about
            )
            made = str(run.folder)
        run = open_run(Path(processes.share(made)))
        say(f"run {run.folder}")
        with _held(run, processes), _end_recorded(run, processes):
            _around("begin", recipe, run, processes, say)
            progress = trains.run(recipe, prepared, run, processes, say=say, shows=shows)
            _around("finish", recipe, run, processes, say)
            return run, _ended_as(progress, run, processes)


def resume(
    run: Run,
    *,
    checkpoint: str = "latest",
    moved: Mapping[str, str] | None = None,
    backend: str | None = None,
    say: Say = say_on_stderr,
    shows: Shows = True,
) -> Progress:
    """Continue `run` from its `checkpoint` (latest, best or a step), to the bits of a run that was never stopped.

    `moved`: where the same evidence lies now, by the recipe's name for the place ({"data_dir": ...}, {"db": ...}).
    `backend`: the library that trains, where it shall be another than the one that the run began with; a checkpoint
    is the same for all of them, but they round differently.
    Raises `ClewError` when recipe, evidence or tokenizer are not those that the run began with.
    """
    family = find_family(str(run.manifest["objective"]))
    recipe = run.read_recipe(recipe_class(family.objective))
    before = str(run.manifest.get("backend", "torch"))
    backend = choose(backend or before, say if leads() else _silent)
    trains = find_backend(backend)
    for name, place in (moved or {}).items():
        known = family.place.rpartition(".")[2]
        if name != known:
            raise UsageError(
                f"The run {run.folder.name} is of {family.objective}, whose recipe has no {name}: where its evidence "
                f"lies now is said with --{known.replace('_', '-')}."
            )
        recipe = base.changed(recipe, {family.place: place}, f"--{name.replace('_', '-')} {place}")
    with trains.processes(recipe) as processes, _held(run, processes):
        say = say if processes.leads else _silent
        # The leader decides, since what it then drops the others might no longer find.
        where: str | None = processes.share(_where(run, checkpoint) if processes.leads else None)
        if where is not None and (over := _over(run.checkpoints / where)) is not None:
            with _end_recorded(run, processes):
                _around("finish", recipe, run, processes, say)
            say(f"run {run.folder} is {over.ended} already, at step {over.step}: there is nothing to resume")
            if processes.leads:
                run.update(status=over.ended)
            return over
        prepared = prepare(recipe)
        run.check_evidence(prepared.evidence)
        say(f"run {run.folder}: " + (f"resumes at {where}" if where else "has no checkpoint yet and starts anew"))
        with _end_recorded(run, processes):
            if backend != before:
                say(f"note: not bit for bit as before, since it changed: backend {before} -> {backend}")
            if processes.leads:
                run.update(backend=backend)
            _around("begin", recipe, run, processes, say)
            progress = trains.run(recipe, prepared, run, processes, checkpoint=where, say=say, shows=shows)
            _around("finish", recipe, run, processes, say)
            return _ended_as(progress, run, processes)


def _around(part: str, recipe: Recipe, run: Run, processes: Processes, say: Say) -> None:
    """What the family does before the first step or after the last, in the leading process."""
    family = find_family(recipe.objective)
    if getattr(family, part) and processes.leads:
        family.part(part)(run, recipe, say)


@contextlib.contextmanager
def _held(run: Run, processes: Processes) -> Iterator[None]:
    """Hold the run for its leading process, and remove what a killed one left half-written."""
    if not processes.leads:
        yield
        return
    with run.locked():
        files.remove_leftovers(run.folder)
        files.remove_leftovers(run.checkpoints)
        yield


def _where(run: Run, checkpoint: str) -> str | None:
    """Name of the checkpoint folder to start at; None where the run was stopped before its first."""
    if checkpoint == "latest" and not (run.checkpoints / "latest.json").is_file() and not steps(run.checkpoints):
        return None
    return find_checkpoint(run.checkpoints, checkpoint).name


def _over(path: Path) -> Progress | None:
    """The progress of a checkpoint with which training was over; None where there is more to do."""
    saved = read_state(path).get("progress")
    if not isinstance(saved, dict) or not saved.get("ended"):
        return None
    try:
        return Progress(**saved)
    except TypeError:
        return None  # told when the checkpoint is restored


def _parent(name: str) -> dict[str, Any]:
    """What the manifest says of the checkpoint that `start_from` means: a checkpoint, or a run, whose best is taken.

    It is found once: a parent that goes on training has another best one soon.
    """
    path = Path(name)
    if files.is_file(path / MANIFEST):
        run = open_run(path)
        path = find_checkpoint(run.checkpoints, "best" if (run.checkpoints / "best.json").is_file() else "latest")
    elif not files.is_file(path / STATE):
        raise ClewError(f"--start-from {name}: this is neither a checkpoint folder nor a run folder.")
    return {"parent": str(path), "parent_sha256": read_state(path)["sha256"].get(MODEL)}


@contextlib.contextmanager
def _end_recorded(run: Run, processes: Processes) -> Iterator[None]:
    """Note in the run how an error ended it."""
    try:
        yield
    except BaseException as error:
        if processes.leads:
            interrupted = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 1) == EXIT_INTERRUPTED
            # A disk that is full must not hide the error that is on its way to the user.
            with contextlib.suppress(ClewError, OSError):
                run.update(status="interrupted" if interrupted else "failed")
                files.remove_leftovers(run.checkpoints)
        raise


def _ended_as(progress: Progress, run: Run, processes: Processes) -> Progress:
    if processes.leads:
        run.update(status=progress.ended or "finished")
    return progress


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
