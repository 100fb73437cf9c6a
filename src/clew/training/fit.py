"""The one loop. An objective says what "better" means; precision, accumulation, clipping, schedule, reduction over
processes, early stopping, checkpoints and metrics stand here, once."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch

from clew.core.errors import CheckpointError, ClewError, UsageError
from clew.core.stopping import stop_requested
from clew.recipes.base import Training
from clew.runs.checkpoints import drop_later, find_checkpoint
from clew.runs.folder import Run
from clew.runs.progress import Evaluation, InterruptedRunError, Progress
from clew.runs.recorder import Recorder
from clew.runs.screen import Shows
from clew.training import schedules
from clew.training.checkpoint import check_finite, load_weights, read_checkpoint, save_checkpoint, weights_of
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, State
from clew.training.optimizers import Optimizer, WeightAverage
from clew.training.step import TorchSteps
from clew.training.steps import Step, Steps

# A step may be long where it is compiled, so the request is answered before it is granted.
_STOPPING = "stopping when this step is saved; once more stops at once"


def fit(
    objective: Objective,
    run: Run,
    training: Training,
    placement: Placement,
    *,
    compiled: bool = False,
    checkpoint: str | None = None,
    shows: Shows = True,
    steps: Steps | None = None,
) -> Progress:
    """Train until the planned steps or early stopping, from the run's `checkpoint` (None: from the start).

    `steps`: what takes the optimiser's steps, where that is neither torch nor the objective's own way. Returns the
    final progress. Raises `InterruptedRunError` after Ctrl-C or SIGTERM, with a checkpoint of that instant;
    `ClewError` for a loss that is not finite, a full disk, or a checkpoint that does not fit, with the last good
    checkpoint untouched.
    """
    _check_split(training, placement)
    planned = objective.planned_steps()
    loss_of: Callable[[Any], Loss] = torch.compile(objective.loss, dynamic=False) if compiled else objective.loss
    steps = steps or objective.own_steps() or TorchSteps(objective, training, placement, loss_of)
    keeper = _Keeper(objective, run, training, placement, planned, steps, shows=shows)
    average, recorder, hooks = keeper.average, keeper.recorder, objective.hooks
    progress = Progress()
    try:
        progress = keeper.restore(checkpoint)
        steps.begin(keeper.optimizer)
        says = _STOPPING if placement.leads else ""
        with stop_requested(forwarded=placement.world > 1, says=says) as stop, _explained(stop, progress, run):
            keeper.tell("on_begin", progress)
            while progress.ended is None and progress.step < planned:
                step = progress.step
                if hooks and _stopped_while_waiting(objective, step, placement, stop):
                    keeper.save(progress)
                    raise InterruptedRunError(_stopped(progress.step, planned, run))
                rate = schedules.factor(training, step, planned)
                logs = (step + 1) % training.log_every == 0 or step + 1 == planned
                done = steps.take(keeper.optimizer, step, rate, logs=logs, stop=stop)
                if not (math.isfinite(done.gradient_norm) and math.isfinite(done.means.get("loss", 0.0))):
                    raise ClewError(_not_finite(step, done, run))
                progress.step += 1
                average.update(progress.step)
                progress.items_seen += done.items
                if logs and recorder:
                    row: dict[str, Any] = {"step": progress.step, **done.means, **objective.figures()}
                    row |= {"learning_rate": training.learning_rate * rate, "grad_norm": done.gradient_norm}
                    recorder.step(row, progress.items_seen)
                    for hook in hooks:
                        hook.on_log(row, progress)
                improved = False
                if progress.step % training.evaluate_every == 0 or progress.step == planned:
                    improved = keeper.evaluate(progress)
                if progress.ended is None and progress.step == planned:
                    progress.ended = "finished"
                if improved or done.stops or progress.ended or progress.step % training.checkpoint_every == 0:
                    keeper.save(progress, best=improved)
                if done.stops and progress.ended is None:
                    raise InterruptedRunError(_stopped(progress.step, planned, run))
            keeper.tell("on_end", progress)
        return progress
    except BaseException as error:
        for hook in hooks:
            hook.on_error(error, progress)
        raise
    finally:
        if recorder:
            recorder.close()


class _Keeper:
    """What of a run must survive, in one place: it is evaluated, saved and restored with the weights' average."""

    def __init__(
        self,
        objective: Objective,
        run: Run,
        training: Training,
        placement: Placement,
        planned: int,
        steps: Steps,
        *,
        shows: Shows,
    ) -> None:
        self._objective, self._run, self._training, self._steps = objective, run, training, steps
        self._weights = weights_of(objective.model, objective.frozen)
        self.optimizer = Optimizer(objective.model, training, objective.trainable())
        self.average = WeightAverage(self._weights, training.average_decay)
        leads = placement.leads
        self.recorder = Recorder(run, planned_steps=planned, items=objective.items, shows=shows) if leads else None

    def tell(self, event: str, progress: Progress) -> None:
        """Tell the hooks of the beginning or the end, with the average in the model."""
        if self._objective.hooks:
            self._steps.give_back(self.optimizer)
            with self.average.in_place():
                for hook in self._objective.hooks:
                    getattr(hook, event)(progress)

    def evaluate(self, progress: Progress) -> bool:
        """Evaluate, record, decide about early stopping; return whether this is the best score so far."""
        objective = self._objective
        self._steps.give_back(self.optimizer)
        with self.average.in_place():
            found = objective.evaluate(progress.step)
            beside = {name: value for hook in objective.hooks for name, value in hook.evaluate(progress).items()}
            found = Evaluation({**found.figures, **beside}, found.watched, found.higher_is_better, found.samples)
            if not math.isfinite(found.score):
                raise ClewError(
                    f"The evaluation at step {progress.step} gave {found.score}: the model has diverged. Start again "
                    "with a lower --learning-rate."
                )
            improved = progress.take(found, patience=self._training.patience)
            if self.recorder:
                self.recorder.evaluation(progress.step, found.figures, improved=improved)
                for sample in found.samples:
                    self.recorder.say(sample)
                if self._run.manifest.get("watched") != found.watched:
                    self._run.update(watched=found.watched, higher_is_better=found.higher_is_better)
                for hook in objective.hooks:
                    hook.on_evaluation(found, progress)
        return improved

    def save(self, progress: Progress, *, best: bool = False) -> None:
        """Write a checkpoint, in the leading process."""
        if self.recorder is None:
            return
        objective, manifest = self._objective, self._run.manifest
        self._steps.give_back(self.optimizer)
        kept = objective.state()
        hooks = {hook.name: state for hook in objective.hooks if (state := hook.state())}
        frozen = objective.frozen
        with self.average.in_place():
            save_checkpoint(
                self._run.checkpoints,
                step=progress.step,
                model=self._weights,
                optimizer=self.optimizer.tensors() | self.average.trained(),
                state={
                    "run_id": self._run.run_id,
                    "recipe_sha256": manifest["recipe_sha256"],
                    "evidence_sha256": manifest["evidence"]["sha256"],
                    "model": objective.describe_model(),
                    "progress": asdict(progress),
                    "objective": dict(kept.values),
                    **({"hooks": hooks} if hooks else {}),
                    **({"frozen": {"source": frozen.source, "sha256": frozen.sha256}} if frozen else {}),
                    "metrics_bytes": self.recorder.offset(),
                },
                tensors=kept.tensors,
                best=best,
                keep=self._training.keep_checkpoints,
            )
            regular = progress.step % self._training.checkpoint_every == 0 or progress.ended is not None
            for hook in objective.hooks:
                hook.on_save(progress, regular=regular)

    def restore(self, which: str | None) -> Progress:
        """Take back what a checkpoint holds, and drop what was recorded after it: the loop will record it again.

        Nothing is dropped before all that stays was read and found whole.
        """
        objective, run = self._objective, self._run
        if which is None:
            if self.recorder:
                self.recorder.rewind(0)
            return Progress()
        path = find_checkpoint(run.checkpoints, which)
        found = read_checkpoint(path)
        if found.state.get("recipe_sha256") != run.manifest["recipe_sha256"] or found.state.get("run_id") != run.run_id:
            raise CheckpointError(
                f"The checkpoint {path} belongs to another run, so it cannot be resumed here. To start a new run from "
                f"its weights: clew train RECIPE --start-from {path}."
            )
        if objective.frozen and found.state.get("frozen", {}).get("sha256") != objective.frozen.sha256:
            raise CheckpointError(
                f"The frozen weights that the checkpoint {path} was trained over are not those of "
                f"{objective.frozen.source} (their hashes differ). Restore them; nothing was changed."
            )
        load_weights(objective.model, found.model, path, frozen=objective.frozen)
        check_finite({**objective.trainable(), **found.optimizer}, path)
        self.optimizer.load(self.average.restore(found.optimizer))
        try:
            progress = Progress(**found.state["progress"])
            metrics_bytes = int(found.state["metrics_bytes"])
            objective.restore(State(found.state["objective"], found.tensors))
            # Before hooks had a state of their own, theirs stood in the objective's.
            of_hooks = found.state.get("hooks", found.state["objective"])
            for hook in objective.hooks:
                if hook.name in of_hooks:
                    hook.restore(of_hooks[hook.name])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The state of the checkpoint {path} is not whole: {error!r}.") from error
        if self.recorder:
            self.recorder.check(metrics_bytes)
            # The pointers go back first: a kill between the two then leaves metrics that are too long, never too short.
            drop_later(run.checkpoints, progress.step, progress.best_step)
            self.recorder.rewind(metrics_bytes, progress.step)
        return progress


def _check_split(training: Training, placement: Placement) -> None:
    parts_of_step = placement.world * training.accumulation
    if training.batch_size % parts_of_step:
        raise UsageError(
            f"The batch size {training.batch_size} cannot be split over {placement.world} processes and "
            f"{training.accumulation} micro-batches: make it a multiple of {parts_of_step}."
        )


def _stopped_while_waiting(objective: Objective, step: int, placement: Placement, stop: threading.Event) -> bool:
    """Wait until the batch of `step` can be made; return True when the user stopped the run instead."""
    while not all(hook.ready(step) for hook in objective.hooks):
        if float(placement.sum(torch.tensor(float(stop.is_set()), device=placement.device))) > 0:
            return True
    return False


def _stopped(step: int, planned: int, run: Run) -> str:
    return (
        f"Stopped at step {step} of {planned}; the checkpoint of this step is saved. "
        f"Continue with: clew resume {run.folder}"
    )


def _not_finite(step: int, done: Step, run: Run) -> str:
    try:
        kept = f"The last good checkpoint is {find_checkpoint(run.checkpoints)}."
    except CheckpointError:
        kept = "There was no checkpoint yet."
    return (
        f"At step {step + 1} the loss is {done.means.get('loss')} and the gradient norm {done.gradient_norm}: training "
        f"has diverged and stopped before the weights were changed. {kept} Start again with a lower --learning-rate, a "
        "longer --warmup-steps, or --precision float32."
    )


@contextlib.contextmanager
def _explained(stop: threading.Event, progress: Progress, run: Run) -> Iterator[None]:
    """Turn what the arithmetic raises into sentences: memory that ran out, and a compilation that a stop broke off."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ClewError(
            f"Step {progress.step + 1} does not fit into the device's memory. Split it with a higher --accumulation; "
            "but for nets that normalise over their batch, the result is the same."
        ) from error
    except Exception as error:
        # Ctrl-C reaches the compiler's processes too, and what they then raise is no fault of the run.
        if isinstance(error, ClewError) or not (stop.is_set() and _is_of_the_compiler(error)):
            raise
        raise InterruptedRunError(
            f"Stopped within step {progress.step + 1}. Continue from the last checkpoint with: clew resume {run.folder}"
        ) from error


def _is_of_the_compiler(error: BaseException | None) -> bool:
    """Whether torch's compiler, or one of the processes that it starts, raised `error` or what it came from."""
    while error is not None:
        module = type(error).__module__
        if module.startswith(("torch._inductor", "torch._dynamo", "concurrent.futures", "subprocess")):
            return True
        error = error.__cause__ or error.__context__
    return False
