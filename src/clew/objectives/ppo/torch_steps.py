"""Acting and optimiser steps of any net, by torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.environments.spaces import Actions
from clew.models.guide import GuideNet
from clew.objectives.ppo.distributions import log_probability_and_entropy, sample
from clew.objectives.ppo.updates import Updates
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective
from clew.training.optimizers import Optimizer
from clew.training.step import TorchSteps
from clew.training.steps import Step


class TorchActor:
    """A `GuideNet` that acts by torch."""

    def __init__(self, net: GuideNet, actions: Actions, placement: Placement) -> None:
        self._net, self._actions, self._placement = net, actions, placement

    @torch.no_grad()
    def act(
        self, observations: NDArray[np.float32], masks: NDArray[np.bool_] | None, noise: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Actions [rows, columns] drawn with `noise`."""
        with self._placement.autocast():
            outputs, _ = self._net.policy_and_value(self._put(observations))
        legal = None if masks is None else self._put(masks)
        return sample(self._actions, outputs.float(), self._net.log_std, self._put(noise), legal).cpu().numpy()

    def best(self, observations: NDArray[np.float32], masks: NDArray[np.bool_] | None) -> NDArray[Any]:
        """The most probable action of each row, [rows, columns]."""
        return self.act(observations, masks, np.zeros((len(observations), self._actions.outputs), np.float32))

    @torch.no_grad()
    def judge(
        self, observations: NDArray[np.float32], taken: NDArray[Any], masks: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log-probability and value of each row."""
        log_probs, values = np.empty((2, len(observations)), np.float32)
        for start in range(0, len(observations), 4096):
            part = slice(start, start + 4096)
            with self._placement.autocast():
                outputs, value = self._net.policy_and_value(self._put(observations[part]))
            legal = None if masks is None else self._put(masks[part])
            found, _ = log_probability_and_entropy(
                self._actions, outputs.float(), self._net.log_std, self._put(taken[part]), legal
            )
            log_probs[part], values[part] = found.cpu().numpy(), value.float().cpu().numpy()
        return log_probs, values

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._placement.device)


class PolicySteps(TorchSteps):
    """Steps of torch, until the KL divergence ends an update."""

    def __init__(
        self, objective: Objective, updates: Updates, placement: Placement, loss: Callable[[Any], Loss]
    ) -> None:
        super().__init__(objective, updates.recipe.training, placement, loss)
        self._recipe, self._updates = updates.recipe, updates

    def begin(self, optimizer: Optimizer) -> None:
        """Set the optimiser's epsilon."""
        optimizer.set_epsilon(self._recipe.training.epsilon)

    def take(self, optimizer: Optimizer, step: int, rate: float, *, logs: bool, stop: threading.Event) -> Step:
        """Take the step, or none where the update has ended."""
        if self._updates.minibatch(step) is None:
            return Step({}, 0.0, 0, stop.is_set())
        done = super().take(optimizer, step, rate, logs=logs, stop=stop)
        if not done.means:
            self._updates.ended = True
        return done
