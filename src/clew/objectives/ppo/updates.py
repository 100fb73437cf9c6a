"""Which rows each optimiser step learns from: a rollout, then passes over it in minibatches, and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.core.randomness import generator
from clew.objectives.ppo.rollout import Rollout
from clew.recipes.ppo import PPORecipe


class Minibatch(NamedTuple):
    """What one optimiser step learns from."""

    rollout: Rollout
    rows: NDArray[np.int64]
    fresh: bool
    """Whether the rollout was made for this step."""
    centre: float
    scale: float
    """What is taken off the advantages of the rows, and what they are then multiplied by."""


class Updates:
    """The plan: an update of `per_update` steps follows each rollout. A step is a place in it, whatever came before."""

    def __init__(self, recipe: PPORecipe, rows: int, collect: Callable[[int], Rollout]) -> None:
        self.recipe, self._collect = recipe, collect
        self.per_epoch = -(-rows // recipe.training.batch_size)
        self.per_update = self.per_epoch * recipe.training.max_epochs
        self.rows = rows
        self.iteration = -1
        self.rollout: Rollout | None = None
        self.ended = False
        """Whether the update of this iteration was ended before its last step, by its KL divergence."""
        self._order: tuple[int, int, NDArray[np.int64]] | None = None

    def minibatch(self, step: int) -> Minibatch | None:
        """What `step` learns from; None where the update has ended. Makes a rollout where an iteration begins."""
        iteration, place = divmod(step, self.per_update)
        if iteration != self.iteration:
            self.rollout = self._collect(iteration)
            self.iteration, self.ended = iteration, False
        if self.ended:
            return None
        assert self.rollout is not None
        epoch, number = divmod(place, self.per_epoch)
        order, size = self._permutation(iteration, epoch), self.recipe.training.batch_size
        rows = order[number * size : (number + 1) * size]
        return Minibatch(self.rollout, rows, place == 0, *self._advantages(order, number * size, rows))

    def _permutation(self, iteration: int, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[:2] != (iteration, epoch):
            order = generator(self.recipe.seed, "minibatches", iteration, epoch).permutation(self.rows)
            self._order = iteration, epoch, order
        return self._order[2]

    def _advantages(self, order: NDArray[np.int64], start: int, rows: NDArray[np.int64]) -> tuple[float, float]:
        if not self.recipe.ppo.normalise_advantages:
            return 0.0, 1.0
        assert self.rollout is not None
        over = self.recipe.ppo.advantage_rows
        if over:
            first = start - start % over
            rows = order[first : first + over]
        values = self.rollout.advantages[rows].astype(np.float64)
        if len(values) < 2:
            return 0.0, 1.0
        return float(values.mean()), 1.0 / (float(values.std(ddof=1)) + 1e-8)
