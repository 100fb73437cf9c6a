"""Training with google-tunix on JAX: the same objective, loop, run folder and checkpoints; tunix takes the steps.

The objective's own model stays in torch, on the CPU. It is what is evaluated and saved: weights and moments come back
into it for that, so that whatever reads a run (evaluation, export, resumption, by either library) reads this one too.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import torch

from clew.core.errors import ClewError, UsageError
from clew.core.evidence import Prepared
from clew.recipes.base import Recipe, Training
from clew.recipes.families import find_family
from clew.runs.folder import Run
from clew.runs.progress import Progress
from clew.runs.screen import Shows
from clew.training import devices
from clew.training.backends import Say, tpu_here
from clew.training.devices import Placement
from clew.training.fit import fit
from clew.training.objective import Objective
from clew.training.torch_backend import enough_memory, start_from
from clew.training.tunix_llama import Layout, rotating
from clew.training.tunix_steps import TunixSteps


@contextmanager
def processes(recipe: Recipe) -> Iterator[Placement]:
    """Set JAX up for `recipe`, and torch beside it. Raises `UsageError` for what tunix does not do."""
    training = recipe.training
    _check(training)
    with devices.placement(training.model_copy(update={"device": "cpu", "precision": "float32"})) as placement:
        _choose_platform(training.device, torch.get_num_threads())
        with jax.default_matmul_precision("float32"):
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
    described = _describe(placement)
    if checkpoint is not None:
        for line in _differences(run, described):
            say(line)
    with enough_memory(), _jax_explained():
        objective: Objective = find_family(recipe.objective).part("make")(prepared, run.folder, placement)
        if checkpoint is None and run.manifest.get("parent"):
            start_from(run, objective)
        layout = Layout(objective.model)
        with rotating(layout.sizes.rope_theta):
            steps = TunixSteps(objective, layout, recipe.training)
            run.update(status="running", device=described)
            parameters = sum(parameter.numel() for parameter in objective.model.parameters())
            say(
                f"{parameters:,} parameters, {objective.planned_steps():,} steps planned, {described['library']}, "
                f"{described['device']}, float32"
            )
            return fit(objective, run, recipe.training, placement, checkpoint=checkpoint, shows=shows, steps=steps)


def _check(training: Training) -> None:
    """Raise `UsageError` for the first setting that would have no effect: none is ignored."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "The backend tunix trains in one process, and torchrun started several. Start it without torchrun, or "
            "train with --backend torch."
        )
    refused = (
        (training.optimizer != "adamw", f"optimizer {training.optimizer}: give --optimizer adamw"),
        (training.average_decay > 0, "average of the weights: give --average-decay 0"),
        (training.precision == "bfloat16", "weights and arithmetic in bfloat16: give --precision float32"),
        (training.compile == "no", "steps that are not compiled: give --compile auto"),
    )
    for wanted, what in refused:
        if wanted:
            raise UsageError(f"The backend tunix has no {what}, or train with --backend torch.")


def _choose_platform(device: str, threads: int) -> None:
    """Have JAX compute on `device` (auto: what JAX_PLATFORMS says, or the accelerator that is here), on so many
    threads where that is the processor. A process chooses once, for JAX makes its devices once.

    Where there is no accelerator JAX is told so: it would otherwise look for one, and may wait for it. Raises
    `UsageError` for a device that JAX does not have here.
    """
    kind = device.partition(":")[0]
    if kind == "auto":
        accelerator = tpu_here() or any(Path("/dev").glob("nvidia[0-9]*"))
        if "JAX_PLATFORMS" not in os.environ and not accelerator:
            jax.config.update("jax_platforms", "cpu")
    elif kind in ("cpu", "cuda", "tpu"):
        jax.config.update("jax_platforms", kind)
    else:
        raise UsageError(f"JAX has no device '{device}' here. With --backend tunix they are auto, cpu, cuda, tpu.")
    before = os.environ.get("NPROC")
    os.environ["NPROC"] = str(threads)
    try:
        found = jax.devices()[0].platform
    except RuntimeError as error:
        raise UsageError(
            f"JAX finds no device '{device}' on this machine ({str(error).splitlines()[0].rstrip('.')}). Use --device "
            "cpu."
        ) from error
    finally:
        os.environ.pop("NPROC")
        if before is not None:
            os.environ["NPROC"] = before
    if kind not in ("auto", {"gpu": "cuda"}.get(found, found)):
        raise UsageError(f"JAX computes on {found} in this process already, and --device says {device}.")


def _describe(placement: Placement) -> dict[str, Any]:
    """What the manifest says of the machine's part in the run."""
    device = jax.devices()[0]
    versions = {name: importlib.metadata.version(name) for name in ("google-tunix", "jax")}
    return {
        **placement.describe(),
        "device": device.platform,
        "name": device.device_kind,
        "compiled": True,
        "library": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _differences(run: Run, now: dict[str, Any]) -> list[str]:
    """What is not as it was when the run last trained: then it continues, but not to the same bits."""
    before = run.manifest.get("device")
    before = before if isinstance(before, dict) and "library" in before else now
    changed = [
        f"{name} {before.get(name)} -> {now[name]}"
        for name in ("library", "device", "threads")
        if before.get(name) != now[name]
    ]
    return [f"note: not bit for bit as before, since it changed: {', '.join(changed)}"] if changed else []


@contextmanager
def _jax_explained() -> Iterator[None]:
    """Turn memory that ran out on JAX's device into a sentence."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ClewError(
            "A step does not fit into the memory of JAX's device. Split it with a higher --accumulation, or choose "
            "smaller sizes."
        ) from error
