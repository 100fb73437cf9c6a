"""The one loop. An objective says what "better" means; precision, accumulation, clipping, schedule, reduction over
processes, early stopping, checkpoints and metrics stand here, once."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from clew.core.errors import EXIT_INTERRUPTED, CheckpointError, ClewError, UsageError
from clew.core.stopping import stop_requested
from clew.recipes.base import Training
from clew.runs.folder import Run
from clew.runs.metrics import Recorder
from clew.training import schedules
from clew.training.checkpoint import check_same_model, drop_later, find_checkpoint, read_checkpoint, save_checkpoint
from clew.training.devices import Placement
from clew.training.optimizers import Optimizer, WeightAverage

# A step may be long where it is compiled, so the request is answered before it is granted.
_STOPPING = "stopping when this step is saved; once more stops at once"


class Loss(NamedTuple):
    """A loss of `weight` items (tokens, positions): `total` is their mean, `parts` the means it is made of."""

    total: Tensor
    parts: dict[str, Tensor]
    weight: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures; `score` is the one that early stopping watches, lower is better."""

    score: float
    figures: dict[str, float]
    samples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shard:
    """Part `index` of the `count` equal parts that one step's batch is split into, over processes and micro-batches."""

    index: int
    count: int

    def rows(self, batch_size: int) -> range:
        """The rows of the step's batch that are in this part."""
        size = batch_size // self.count
        return range(self.index * size, (self.index + 1) * size)


class Companion(Protocol):
    """What an objective does beside the loop: waits for evidence that is still being made, tells other programs."""

    def ready(self, step: int) -> bool:
        """Whether the batch of `step` can be made now; the loop asks again, after a pause that this takes.

        The same in every process. Raises `ClewError` when waiting is given up.
        """

    def began(self, progress: Progress) -> None:
        """Training is about to go on from `progress`."""

    def logged(self, row: dict[str, Any], progress: Progress) -> None:
        """A step was logged (in the leading process)."""

    def evaluated(self, evaluation: Evaluation, progress: Progress) -> None:
        """An evaluation was recorded (in the leading process)."""

    def saved(self, progress: Progress, *, regular: bool) -> None:
        """A checkpoint is on the disk (in the leading process); `regular`: a planned one, or the last."""


class Objective(Protocol):
    """What an objective gives the loop."""

    model: nn.Module
    companion: Companion | None
    """None for an objective whose evidence is all there and whose files are the run's alone."""
    items: str
    """What the weight of a loss counts: "tokens", "samples"."""

    def planned_steps(self) -> int:
        """Optimiser steps of the whole run; the schedule is over these."""

    def batch(self, step: int, shard: Shard) -> Any:
        """The shard's part of the batch of `step`: a function of the recipe, the evidence and its arguments alone."""

    def loss(self, batch: Any) -> Loss:
        """The loss of one shard; pure tensor code, so that it can be compiled."""

    def evaluate(self) -> Evaluation:
        """Figures on held-out evidence, the same in every process."""

    def state(self) -> dict[str, Any]:
        """What must survive besides weights, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""

    def describe_model(self) -> dict[str, Any]:
        """The model's family and sizes as JSON; who reads a checkpoint builds the model from it."""

    def planned_flops(self) -> float:
        """Rough floating-point operations of the whole run, to decide whether compiling pays."""


class InterruptedRunError(ClewError):
    """The user stopped the run; it was saved."""

    exit_code = EXIT_INTERRUPTED


@dataclass
class Progress:
    """Where a run stands. All of it is in every checkpoint."""

    step: int = 0
    items_seen: int = 0
    best_score: float | None = None
    best_step: int | None = None
    evaluations_without_improvement: int = 0
    ended: str | None = None
    """Why training is over: "finished" or "stopped early"; None while it goes on."""


def fit(
    objective: Objective,
    run: Run,
    training: Training,
    placement: Placement,
    *,
    compiled: bool = False,
    checkpoint: str | None = None,
    shows: bool = True,
) -> Progress:
    """Train until the planned steps or early stopping, from the run's `checkpoint` (None: from the start).

    Returns the final progress. Raises `InterruptedRunError` after Ctrl-C or SIGTERM, with a checkpoint of that instant;
    `ClewError` for a loss that is not finite, a full disk, or a checkpoint that does not fit, with the last good
    checkpoint untouched.
    """
    parts_of_step = placement.world * training.accumulation
    if training.batch_size % parts_of_step:
        raise UsageError(
            f"The batch size {training.batch_size} cannot be split over {placement.world} processes and "
            f"{training.accumulation} micro-batches: make it a multiple of {parts_of_step}."
        )
    planned = objective.planned_steps()
    optimizer, average = Optimizer(objective.model, training), WeightAverage(objective.model, training.average_decay)
    leads, companion = placement.leads, objective.companion
    recorder = Recorder(run, planned_steps=planned, items=objective.items, shows=shows) if leads else None
    loss_of: Callable[[Any], Loss] = torch.compile(objective.loss, dynamic=False) if compiled else objective.loss

    def save(*, best: bool = False) -> None:
        if not (recorder and leads):
            return
        with average.in_place():
            save_checkpoint(
                run.checkpoints,
                step=progress.step,
                model=objective.model.state_dict(),
                optimizer=optimizer.tensors() | average.trained(),
                state={
                    "run_id": run.run_id,
                    "recipe_sha256": run.manifest["recipe_sha256"],
                    "evidence_sha256": run.manifest["evidence"]["sha256"],
                    "model": objective.describe_model(),
                    "progress": asdict(progress),
                    "objective": objective.state(),
                    "metrics_bytes": recorder.offset(),
                },
                best=best,
                keep=training.keep_checkpoints,
            )
            if companion:
                regular = progress.step % training.checkpoint_every == 0 or progress.ended is not None
                companion.saved(progress, regular=regular)

    try:
        progress = _restore(objective, optimizer, average, run, recorder, checkpoint)
        with (
            stop_requested(forwarded=placement.world > 1, says=_STOPPING if leads else "") as stop,
            _explained(stop, progress, run),
        ):
            if companion:
                with average.in_place():
                    companion.began(progress)
            while progress.ended is None and progress.step < planned:
                step = progress.step
                if companion and _stopped_while_waiting(companion, step, placement, stop):
                    save()
                    raise InterruptedRunError(_stopped(progress.step, planned, run))
                learning_rate_factor = schedules.factor(training, step, planned)
                optimizer.set_learning_rate(learning_rate_factor)
                logs = (step + 1) % training.log_every == 0 or step + 1 == planned
                sums: dict[str, Tensor] = {}
                weight = torch.zeros((), device=placement.device)
                for micro in range(training.accumulation):
                    shard = Shard(micro * placement.world + placement.rank, parts_of_step)
                    batch = objective.batch(step, shard)
                    with placement.autocast():
                        loss = loss_of(batch)
                    (loss.total * loss.weight).backward()
                    weight += loss.weight
                    for name, value in {"loss": loss.total, **loss.parts}.items():
                        sums[name] = sums.get(name, 0.0) + value.detach().float() * loss.weight
                stops = _reduce(objective.model, placement, sums, weight, stop.is_set())
                gradient_norm = _normalise_and_clip(objective.model, weight, training.clip)
                if not math.isfinite(gradient_norm) or not math.isfinite(float(sums["loss"])):
                    raise ClewError(_not_finite(step, float(sums["loss"] / weight), gradient_norm, run))
                optimizer.step()
                progress.step += 1
                average.update(progress.step)
                progress.items_seen += int(weight)
                if logs and recorder:
                    row: dict[str, Any] = {"step": progress.step}
                    row |= {name: float(value / weight) for name, value in sums.items()}
                    row["learning_rate"] = training.learning_rate * learning_rate_factor
                    row["grad_norm"] = gradient_norm
                    recorder.step(row, progress.items_seen)
                    if companion:
                        companion.logged(row, progress)
                improved = False
                if progress.step % training.evaluate_every == 0 or progress.step == planned:
                    with average.in_place():
                        improved = _evaluate(objective, training, progress, recorder)
                if progress.ended is None and progress.step == planned:
                    progress.ended = "finished"
                if improved or stops or progress.ended or progress.step % training.checkpoint_every == 0:
                    save(best=improved)
                if stops and progress.ended is None:
                    raise InterruptedRunError(_stopped(progress.step, planned, run))
        return progress
    finally:
        if recorder:
            recorder.close()


def _stopped_while_waiting(companion: Companion, step: int, placement: Placement, stop: threading.Event) -> bool:
    """Wait until the batch of `step` can be made; return True when the user stopped the run instead."""
    while not companion.ready(step):
        if float(placement.sum(torch.tensor(float(stop.is_set()), device=placement.device))) > 0:
            return True
    return False


def _stopped(step: int, planned: int, run: Run) -> str:
    return (
        f"Stopped at step {step} of {planned}; the checkpoint of this step is saved. "
        f"Continue with: clew resume {run.folder}"
    )


def _evaluate(objective: Objective, training: Training, progress: Progress, recorder: Recorder | None) -> bool:
    """Evaluate, record, decide about early stopping; return whether this is the best score so far."""
    result = objective.evaluate()
    if not math.isfinite(result.score):
        raise ClewError(
            f"The evaluation at step {progress.step} gave {result.score}: the model has diverged. Start again with a "
            "lower --learning-rate."
        )
    improved = progress.best_score is None or result.score < progress.best_score
    if improved:
        progress.best_score, progress.best_step = result.score, progress.step
        progress.evaluations_without_improvement = 0
    else:
        progress.evaluations_without_improvement += 1
        if 0 < training.patience <= progress.evaluations_without_improvement:
            progress.ended = "stopped early"
    if recorder:
        recorder.evaluation(progress.step, result.figures, improved=improved)
        for sample in result.samples:
            recorder.say(sample)
        if objective.companion:
            objective.companion.evaluated(result, progress)
    return improved


def _restore(
    objective: Objective,
    optimizer: Optimizer,
    average: WeightAverage,
    run: Run,
    recorder: Recorder | None,
    which: str | None,
) -> Progress:
    """Take back what a checkpoint holds, and drop what was recorded after it: the loop will record it again."""
    if which is None:
        if recorder:
            drop_later(run.checkpoints, 0, None)
            recorder.rewind(0)
        return Progress()
    path = find_checkpoint(run.checkpoints, which)
    found = read_checkpoint(path)
    if found.state.get("recipe_sha256") != run.manifest["recipe_sha256"] or found.state.get("run_id") != run.run_id:
        raise CheckpointError(
            f"The checkpoint {path} belongs to another run, so it cannot be resumed here. To start a new run from its "
            f"weights: clew train RECIPE --start-from {path}."
        )
    load_weights(objective.model, found.model, path)
    optimizer.load(average.restore(found.optimizer))
    try:
        objective.restore(found.state["objective"])
        progress = Progress(**found.state["progress"])
        metrics_bytes = int(found.state["metrics_bytes"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The state of the checkpoint {path} is not whole: {error!r}.") from error
    if recorder:
        # The pointers go back first: a kill between the two then leaves metrics that are too long, never too short.
        drop_later(run.checkpoints, progress.step, progress.best_step)
        recorder.rewind(metrics_bytes)
    return progress


def load_weights(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Copy `weights` into `model`. Raises `CheckpointError` naming the first that does not fit."""
    check_same_model(weights, model.state_dict(), path)
    model.load_state_dict(weights)


def _reduce(model: nn.Module, placement: Placement, sums: dict[str, Tensor], weight: Tensor, stop: bool) -> bool:
    """Sum gradients, losses, weights and stop requests over the processes, in one message; return whether to stop."""
    if placement.world == 1:
        return stop
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    scalars = [weight, *sums.values(), torch.tensor(float(stop), device=placement.device)]
    flat = torch.cat([tensor.float().reshape(-1) for tensor in (*gradients, *scalars)])
    placement.sum(flat)
    position = 0
    for gradient in gradients:
        gradient.copy_(flat[position : position + gradient.numel()].view_as(gradient))
        position += gradient.numel()
    weight.copy_(flat[position])
    for offset, name in enumerate(sums):
        sums[name] = flat[position + 1 + offset]
    return bool(flat[-1] > 0)


def _normalise_and_clip(model: nn.Module, weight: Tensor, clip: float) -> float:
    """Turn summed gradients into the gradient of the mean, no longer than `clip`; return its norm before clipping."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) / weight
    scale = 1.0 / weight
    if clip > 0:
        scale = scale * torch.clamp(clip / (norm + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, scale)
    return float(norm)


def _not_finite(step: int, loss: float, gradient_norm: float, run: Run) -> str:
    try:
        kept = f"The last good checkpoint is {find_checkpoint(run.checkpoints)}."
    except CheckpointError:
        kept = "There was no checkpoint yet."
    return (
        f"At step {step + 1} the loss is {loss} and the gradient norm {gradient_norm}: training has diverged and "
        f"stopped before the weights were changed. {kept} Start again with a lower --learning-rate, a longer "
        "--warmup-steps, or --precision float32."
    )


@contextlib.contextmanager
def _explained(stop: threading.Event, progress: Progress, run: Run) -> Iterator[None]:
    """Turn what the arithmetic raises into sentences: memory that ran out, and what a requested stop broke off."""
    try:
        yield
    except ClewError:
        raise
    except torch.OutOfMemoryError as error:
        raise ClewError(
            f"Step {progress.step + 1} does not fit into the device's memory. Split it with a higher --accumulation; "
            "the result is the same."
        ) from error
    except Exception as error:
        # Ctrl-C reaches the compiler's processes too, and what they then raise is no fault of the run.
        if not stop.is_set():
            raise
        raise InterruptedRunError(
            f"Stopped within step {progress.step + 1}. Continue from the last checkpoint with: clew resume {run.folder}"
        ) from error
