"""Training with torch: placement, objective, the one loop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from clew.core.errors import CheckpointError, ClewError
from clew.core.evidence import Prepared
from clew.recipes.base import Recipe
from clew.recipes.families import find_family
from clew.runs.checkpoints import MODEL
from clew.runs.folder import Run
from clew.runs.progress import Progress
from clew.runs.screen import Shows
from clew.training import devices
from clew.training.backends import Say
from clew.training.checkpoint import read_checkpoint
from clew.training.devices import Placement
from clew.training.fit import fit
from clew.training.objective import Objective


@contextmanager
def processes(recipe: Recipe) -> Iterator[Placement]:
    """Threads, device and, under torchrun, the process group. Raises `UsageError` for a device that is not here."""
    with devices.placement(recipe.training) as placement:
        yield placement


def run(
    recipe: Recipe,
    prepared: Prepared,
    run: Run,
    placement: Placement,
    *,
    checkpoint: str | None = None,
    say: Say = print,
    shows: Shows = True,
) -> Progress:
    """Train `run` from its `checkpoint` (None: from the start) to its end. Raises `ClewError`."""
    for line in _differences(run, placement) if checkpoint else []:
        say(line)
    with enough_memory():
        return _trained(recipe, prepared, run, placement, checkpoint, say, shows)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn the ways in which torch and numpy say that a tensor has no room into a `ClewError` that says what to do."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        # torch raises plain RuntimeErrors for it on the CPU, and others for sizes that overflow its own arithmetic.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_ROOM.search(str(error)):
            raise
        raise ClewError(
            "There is not enough memory for this model and batch. Choose smaller sizes (the batch, the context, the "
            "net), split the batch with --accumulation, or take a machine with more."
        ) from error


_NO_ROOM = re.compile(
    r"can't allocate memory|not enough memory|Storage size calculation overflowed|integer multiplication overflow|"
    r"Maximum allowed dimension exceeded|array is too big"
)


def _trained(
    recipe: Recipe,
    prepared: Prepared,
    run: Run,
    placement: Placement,
    checkpoint: str | None,
    say: Say,
    shows: Shows,
) -> Progress:
    objective: Objective = find_family(recipe.objective).part("make")(prepared, run.folder, placement)
    if checkpoint is None and run.manifest.get("parent"):
        start_from(run, objective)
    compiled = devices.pays_to_compile(recipe.training, placement.device, objective.planned_flops())
    if placement.leads:
        run.update(status="running", device={**placement.describe(), "compiled": compiled})
    parameters = sum(parameter.numel() for parameter in objective.model.parameters())
    training = sum(parameter.numel() for parameter in objective.trainable().values())
    say(
        f"{parameters:,} parameters{'' if training == parameters else f' ({training:,} train)'}, "
        f"{objective.planned_steps():,} steps planned, "
        f"{placement.device}, {str(placement.dtype).removeprefix('torch.')}, "
        f"{torch.get_num_threads()} threads{', compiled' if compiled else ''}"
    )
    return fit(objective, run, recipe.training, placement, compiled=compiled, checkpoint=checkpoint, shows=shows)


def start_from(run: Run, objective: Objective) -> None:
    """Give `objective` the weights that the run's manifest names. Raises `CheckpointError` where they are no more."""
    source = Path(run.manifest["parent"])
    found = read_checkpoint(source, with_optimizer=False)
    named = run.manifest.get("parent_sha256")
    if named is not None and found.state["sha256"][MODEL] != named:
        raise CheckpointError(f"The weights in {source} are no longer those that the run was made to start from.")
    objective.start_from(found, source)


def _differences(run: Run, placement: Placement) -> list[str]:
    """What is not as it was when the run last trained: then it continues, but not to the same bits."""
    before: dict[str, Any] = _object(run.manifest.get("device"))
    now = placement.describe()
    changed = [f"{name} {before[name]} -> {now[name]}" for name in now if name in before and before[name] != now[name]]
    versions = _object(run.manifest.get("versions"))
    if "torch" in versions and versions["torch"] != torch.__version__:
        changed.append(f"torch {versions['torch']} -> {torch.__version__}")
    return [f"note: not bit for bit as before, since it changed: {', '.join(changed)}"] if changed else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
