"""Acting and optimiser steps of small perceptrons on a CPU, compiled as one (`kernels`).

A minibatch of such a net is microseconds of arithmetic, and an optimiser step of torch a hundred calls that take
longer. The weights lie in one vector here; torch's model gets them back whenever someone looks.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clew.environments.spaces import Actions
from clew.models.guide import GuideNet
from clew.objectives.ppo import kernels
from clew.objectives.ppo.rollout import Rollout
from clew.objectives.ppo.updates import Updates
from clew.recipes.ppo import PPORecipe
from clew.training.devices import Placement
from clew.training.optimizers import Optimizer
from clew.training.steps import Step

_KINDS = {"tanh": kernels.TANH, "relu": kernels.RELU}
_BLOCK = 256
"""Rows that are judged at once."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
_LONGEST = 1 << 22
"""Weights beyond which a net is torch's: its products, not its calls, take the time."""


def can_be_fused(recipe: PPORecipe, net: GuideNet, actions: Actions, placement: Placement) -> bool:
    """Whether the compiled way knows the net and the loss."""
    config, training = net.config, recipe.training
    return (
        placement.device.type == "cpu"
        and placement.dtype == torch.float32
        and actions.kind != "multi_discrete"
        and config.separate_value
        and config.activation in _KINDS
        and not (config.residual or config.layer_norm)
        and bool(config.hidden)
        and training.optimizer == "adamw"
        and training.accumulation == 1
        and training.average_decay == 0
        and training.compile != "yes"
        and not (recipe.ppo.guard_coef or recipe.ppo.latency_coef)
        and sum(each.numel() for each in net.parameters()) < _LONGEST
    )


class FusedNet:
    """The weights of a `GuideNet` in one vector, with what acting and a step need beside them."""

    def __init__(self, net: GuideNet, actions: Actions, rows: int) -> None:
        config = net.config
        self._net, self._boxed = net, actions.kind == "box"
        self._kind = _KINDS[config.activation]
        self.policy_sizes = np.array([config.input_dim, *config.hidden, config.action_dim], np.int64)
        self.value_sizes = np.array([config.input_dim, *config.hidden, 1], np.int64)
        assert net.value_body is not None
        self._layers: list[tuple[str, str, int, int]] = []
        for body, head, sizes in (("body", "policy", self.policy_sizes), ("value_body", "value", self.value_sizes)):
            names = [f"{body}.layers.{place}" for place in range(len(config.hidden))] + [head]
            for name, inputs, outputs in zip(names, sizes[:-1], sizes[1:], strict=True):
                self._layers.append((f"{name}.weight", f"{name}.bias", int(inputs), int(outputs)))
        size = sum((inputs + 1) * outputs for *_, inputs, outputs in self._layers)
        self._deviations = size
        size += config.action_dim if self._boxed else 0
        self.weights: NDArray[np.float32] = np.zeros(size, np.float32)
        self.decays: NDArray[np.bool_] = np.zeros(size, np.bool_)
        at = 0
        for *_, inputs, outputs in self._layers:
            self.decays[at : at + inputs * outputs] = True
            at += (inputs + 1) * outputs
        rows = max(rows, _BLOCK)
        widest = max(config.input_dim, *config.hidden, config.action_dim)
        self.layers: NDArray[np.float32] = np.zeros(rows * int(self.policy_sizes.sum() + 1), np.float32)
        self.flow, self.other = np.zeros((2, rows * widest), np.float32)
        self._no_mask = np.ones((1, config.action_dim), np.bool_)
        self.pack(dict(self.parameters()), self.weights)
        self._no_choice, self._no_vector = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Those of the net that lie in the vector, by name."""
        held = dict(self._net.named_parameters())
        names = [name for weight, bias, *_ in self._layers for name in (weight, bias)]
        return {name: held[name] for name in (*names, *(("log_std",) if self._boxed else ()))}

    def pack(self, tensors: dict[str, Tensor], vector: NDArray[np.float32]) -> None:
        """Lay tensors of the parameters' names and shapes out in `vector`."""
        at = 0
        for weight, bias, inputs, outputs in self._layers:
            matrix = vector[at : at + inputs * outputs].reshape(inputs, outputs)
            matrix[:] = tensors[weight].detach().numpy().T
            at += inputs * outputs
            vector[at : at + outputs] = tensors[bias].detach().numpy()
            at += outputs
        if self._boxed:
            vector[at:] = tensors["log_std"].detach().numpy()

    def unpack(self, vector: NDArray[np.float32]) -> dict[str, Tensor]:
        """What `pack` laid out, as tensors of their own."""
        found, at = {}, 0
        for weight, bias, inputs, outputs in self._layers:
            matrix = vector[at : at + inputs * outputs].reshape(inputs, outputs)
            found[weight] = torch.from_numpy(matrix.T.copy())
            at += inputs * outputs
            found[bias] = torch.from_numpy(vector[at : at + outputs].copy())
            at += outputs
        if self._boxed:
            found["log_std"] = torch.from_numpy(vector[at:].copy())
        return found

    def normalised(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the net itself normalises what it sees."""
        mean, std, clip = self._net.mean.numpy(), self._net.std.numpy(), np.float32(self._net.config.clip)
        found: NDArray[np.float32] = np.clip((observations - mean) / std, -clip, clip)
        return found

    def act(
        self, observations: NDArray[np.float32], masks: NDArray[np.bool_] | None, noise: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Actions [rows, columns] drawn with `noise`."""
        rows = len(observations)
        discrete, continuous = self._no_choice, self._no_vector
        if self._boxed:
            continuous = np.empty((rows, len(noise[0])), np.float32)
        else:
            discrete = np.empty((rows, 1), np.int64)
        kernels.act(
            self.weights, self.policy_sizes, self._kind, self._boxed, self._deviations, self.normalised(observations),
            self._no_mask if masks is None else masks, masks is not None, noise, self.layers, discrete, continuous,
        )  # fmt: skip
        return continuous if self._boxed else discrete

    def judge(
        self,
        observations: NDArray[np.float32],
        taken: NDArray[Any],
        masks: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log-probability and value of each row."""
        log_probs, values = np.empty((2, len(observations)), np.float32)
        kernels.judge(
            self.weights, self.policy_sizes, self.value_sizes, self._kind, self._boxed, self.normalised(observations),
            self._no_mask if masks is None else masks, masks is not None, *self.split(taken), self.layers, _BLOCK,
            log_probs, values,
        )  # fmt: skip
        return log_probs, values

    def split(self, taken: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Actions as the kernels take them: choices, and vectors; what they are not is a placeholder."""
        if taken.dtype == np.float32:
            return self._no_choice, taken
        return taken, self._no_vector


class FusedSteps:
    """Steps of PPO in compiled code. Takes weights and moments from torch, and gives them back."""

    def __init__(self, recipe: PPORecipe, net: FusedNet, updates: Updates) -> None:
        self._recipe, self._net, self._plan = recipe, net, updates
        self._gradients, self._first, self._second = np.zeros((3, len(net.weights)), np.float32)
        self._told, self._updates = np.zeros(8), 0
        ppo, training = recipe.ppo, recipe.training
        self._settings = np.array(
            [
                ppo.clip_coef, ppo.value_coef, ppo.entropy_coef, ppo.value_clip, ppo.target_kl,
                0.0, 1.0, training.clip, training.learning_rate,
                *training.betas, training.epsilon, training.weight_decay, 0.0,
            ]
        )  # fmt: skip
        self._rollout: Rollout | None = None

    def begin(self, optimizer: Optimizer) -> None:
        """Take the weights, and the moments where there are some."""
        optimizer.set_epsilon(self._recipe.training.epsilon)
        parameters: dict[str, Tensor] = dict(self._net.parameters())
        self._net.pack(parameters, self._net.weights)
        moments = optimizer.tensors()
        self._updates = int(max((float(value) for name, value in moments.items() if name.endswith("/step")), default=0))
        if moments:
            for moment, vector in zip(_MOMENTS, (self._first, self._second), strict=True):
                self._net.pack({name: moments[f"{name}/{moment}"] for name in parameters}, vector)

    def give_back(self, optimizer: Optimizer) -> None:
        """Put weights and moments into the model and the optimiser."""
        with torch.no_grad():
            for name, value in self._net.unpack(self._net.weights).items():
                self._net.parameters()[name].copy_(value)
        if not self._updates:
            return
        moments: dict[str, Tensor] = {}
        for moment, vector in zip(_MOMENTS, (self._first, self._second), strict=True):
            moments |= {f"{name}/{moment}": value for name, value in self._net.unpack(vector).items()}
        count = {f"{name}/step": torch.tensor(float(self._updates)) for name in self._net.parameters()}
        optimizer.load(moments | count)

    def take(self, optimizer: Optimizer, step: int, rate: float, *, logs: bool, stop: threading.Event) -> Step:
        """One minibatch; a rollout before it, where the step begins an iteration."""
        work, stops = self._plan.minibatch(step), stop.is_set()
        if work is None:
            return Step({}, 0.0, 0, stops)
        rollout = work.rollout
        if rollout is not self._rollout:
            self._rollout = rollout
            self._seen = self._net.normalised(rollout.observations)
            self._taken = self._net.split(rollout.actions)
        net, settings, told = self._net, self._settings, self._told
        settings[8] = self._recipe.training.learning_rate * rate
        settings[13] = self._updates + 1
        settings[5], settings[6] = work.centre, work.scale
        masks = rollout.masks
        kernels.ppo_step(
            net.weights, self._gradients, self._first, self._second, net.decays, net.policy_sizes, net.value_sizes,
            net._kind, net._boxed, self._seen, net._no_mask if masks is None else masks, masks is not None,
            *self._taken, rollout.log_probs, rollout.advantages, rollout.returns, rollout.values, work.rows, net.layers,
            net.flow, net.other, settings, told,
        )  # fmt: skip
        updated = told[kernels.UPDATED] > 0
        self._updates += int(updated)
        means = {"loss": float(told[kernels.TOTAL])}
        if logs:
            means |= {
                "policy_loss": float(told[kernels.POLICY_LOSS]),
                "value_loss": float(told[kernels.VALUE_LOSS]),
                "entropy": float(told[kernels.ENTROPY]),
                "approx_kl": float(told[kernels.KL]),
                "clip_fraction": float(told[kernels.CLIPPED]),
            }
        norm = float(told[kernels.NORM])
        if not updated and np.isfinite(norm):
            self._plan.ended = True
        return Step(means, norm, len(rollout) if work.fresh else 0, stops)
