"""What an objective gives the loop, and what happens beside the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from clew.core.errors import UsageError
from clew.recipes.base import Recipe
from clew.runs.progress import Evaluation, Progress
from clew.training.checkpoint import Checkpoint, Frozen, load_weights
from clew.training.steps import Steps


class Loss(NamedTuple):
    """A loss of `weight` items (tokens, positions): `total` is their mean, `parts` the means it is made of.

    A weight of 0 says that there was nothing to learn from: the step is taken without an update. `items`: what the
    step counts as seen, where that is not its weight.
    """

    total: Tensor
    parts: dict[str, Tensor]
    weight: Tensor
    items: Tensor | None = None


@dataclass(frozen=True)
class Shard:
    """Part `index` of the `count` equal parts that one step's batch is split into, over processes and micro-batches."""

    index: int
    count: int

    def rows(self, batch_size: int) -> range:
        """The rows of the step's batch that are in this part."""
        size = batch_size // self.count
        return range(self.index * size, (self.index + 1) * size)


@dataclass(frozen=True)
class State:
    """What must survive besides weights: JSON, and tensors by name (a rollout, the state of an environment)."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Hook:
    """What happens beside the loop: waiting for evidence, telling other programs, evaluating before and after.

    Every method does nothing; a hook overrides what it needs. All of them run in every process, except `on_log`,
    `on_evaluation` and `on_save`, which run in the leading one.
    """

    name = ""
    """Under which its state is kept; one that has none needs none."""

    def on_begin(self, progress: Progress) -> None:
        """Training is about to go on from `progress`."""

    def ready(self, step: int) -> bool:
        """Whether the batch of `step` can be made now; the loop asks again, after a pause that this takes.

        The same in every process. Raises `ClewError` when waiting is given up.
        """
        return True

    def evaluate(self, progress: Progress) -> Mapping[str, float]:
        """Figures to be recorded beside those of the objective's evaluation; the same in every process."""
        return {}

    def on_log(self, row: Mapping[str, Any], progress: Progress) -> None:
        """A step was logged."""

    def on_evaluation(self, evaluation: Evaluation, progress: Progress) -> None:
        """An evaluation was recorded."""

    def on_save(self, progress: Progress, *, regular: bool) -> None:
        """A checkpoint is on the disk; `regular`: a planned one, or the last."""

    def on_end(self, progress: Progress) -> None:
        """Training is over."""

    def on_error(self, error: BaseException, progress: Progress) -> None:
        """Training was broken off, by an error or by a stop that was asked for."""

    def state(self) -> dict[str, Any]:
        """What must survive, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""


class Objective:
    """What "better" means: a model, its batches, their loss, an evaluation. An objective fills in `model`, `batch`,
    `loss` and `evaluate`; the rest has a meaning that fits most."""

    model: nn.Module
    recipe: Recipe
    items = "samples"
    """What the weight of a loss counts: "tokens", "samples"."""
    hooks: Sequence[Hook] = ()
    frozen: Frozen | None = None
    """Weights of `model` that do not train and are not copied into checkpoints, with where they come from."""

    def planned_steps(self) -> int:
        """Optimiser steps of the whole run; the schedule is over these."""
        if not self.recipe.training.max_steps:
            raise UsageError(f"How long to train is not said: give --max-steps with {self.recipe.objective}.")
        return self.recipe.training.max_steps

    def batch(self, step: int, shard: Shard) -> Any:
        """The shard's part of the batch of `step`: a function of recipe, evidence, step and the saved state alone."""
        raise UsageError(f"The objective {type(self).__name__} makes no batches.")

    def loss(self, batch: Any) -> Loss:
        """The loss of one shard; pure tensor code, so that it can be compiled."""
        raise UsageError(f"The objective {type(self).__name__} has no loss.")

    def evaluate(self, step: int) -> Evaluation:
        """Figures on held-out evidence after `step` steps, the same in every process."""
        raise UsageError(f"The objective {type(self).__name__} has no evaluation.")

    def figures(self) -> Mapping[str, float]:
        """Figures for the line of a logged step that come from elsewhere than its loss (a mean return)."""
        return {}

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name."""
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def own_steps(self) -> Steps | None:
        """What takes the optimiser's steps, where an objective has its own way (compiled as one); None: torch."""
        return None

    def state(self) -> State:
        """What must survive besides weights."""
        return State()

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""

    def start_from(self, checkpoint: Checkpoint, path: Path) -> None:
        """Begin with the weights of another run's `checkpoint`. Raises `CheckpointError` where they do not fit."""
        load_weights(self.model, checkpoint.model, path, frozen=self.frozen)

    def describe_model(self) -> dict[str, Any]:
        """The model's family and sizes as JSON; who reads a checkpoint builds the model from it."""
        return {"family": self.recipe.objective}

    def planned_flops(self) -> float:
        """Rough floating-point operations of the whole run, to decide whether compiling pays."""
        return 0.0
