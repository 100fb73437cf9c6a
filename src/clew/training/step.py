"""One optimiser step: the gradients of all shards, summed over the processes, normalised, clipped and applied."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clew.recipes.base import Training
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard
from clew.training.optimizers import Optimizer
from clew.training.steps import Step


class TorchSteps:
    """Steps of torch, in place."""

    def __init__(
        self, objective: Objective, training: Training, placement: Placement, loss_of: Callable[[Any], Loss]
    ) -> None:
        self._objective, self._training, self._placement, self._loss_of = objective, training, placement, loss_of

    def begin(self, optimizer: Optimizer) -> None:
        """Nothing: they are where they train."""

    def take(self, optimizer: Optimizer, step: int, rate: float, *, logs: bool, stop: threading.Event) -> Step:
        """Take the step in place."""
        optimizer.set_learning_rate(rate)
        return train_step(
            self._objective,
            optimizer,
            self._training,
            self._placement,
            step,
            loss_of=self._loss_of,
            logs=logs,
            stop=stop,
        )

    def give_back(self, optimizer: Optimizer) -> None:
        """Nothing: they never left."""


def train_step(
    objective: Objective,
    optimizer: Optimizer,
    training: Training,
    placement: Placement,
    step: int,
    *,
    loss_of: Callable[[Any], Loss] | None = None,
    logs: bool = True,
    stop: threading.Event | None = None,
) -> Step:
    """One optimiser step: the gradients of all shards, summed over the processes, normalised, clipped and applied.

    Weights and optimiser stay as they were when the loss or the gradient is not finite; the result then says so.
    """
    loss_of, parts = loss_of or objective.loss, placement.world * training.accumulation
    sums: dict[str, Tensor] = {}
    weight = items = None
    exact = False
    for micro in range(training.accumulation):
        batch = objective.batch(step, Shard(micro * placement.world + placement.rank, parts))
        with placement.autocast():
            loss = loss_of(batch)
        exact = parts == 1 and _is_power_of_two(loss.weight)
        # The gradient of the sum over the shard's items; the mean over all shards is taken at the end. Where the
        # weight is a power of two, multiplying by it and dividing again would change no bit, so neither is done.
        loss.total.backward(None if exact else loss.weight.to(loss.total.dtype))
        weight = loss.weight if weight is None else weight + loss.weight
        seen = loss.weight if loss.items is None else loss.items
        items = seen if items is None else items + seen
        if parts == 1 and not logs:
            sums["loss"] = loss.total.detach()
            continue
        for name, value in {"loss": loss.total, **(loss.parts if logs else {})}.items():
            part = value.detach().float() * loss.weight
            sums[name] = part if name not in sums else sums[name] + part
    assert weight is not None
    assert items is not None
    gradients = optimizer.gradients()
    stops = stop is not None and stop.is_set()
    if placement.world > 1:
        weight, items, stops = _reduce(objective.model, placement, gradients, sums, weight, items, stops)
    total = float(weight)
    norm = _normalise_and_clip(gradients, 1.0 if exact else total, training.clip)
    means = {}
    if total:
        means = {name: float(value if parts == 1 and not logs else value / weight) for name, value in sums.items()}
    if not total:
        optimizer.drop_gradients()
    elif math.isfinite(norm) and math.isfinite(means["loss"]):
        optimizer.step()
    return Step(means, norm, int(items), stops)


def _reduce(
    model: nn.Module,
    placement: Placement,
    gradients: list[Tensor],
    sums: dict[str, Tensor],
    weight: Tensor,
    items: Tensor,
    stop: bool,
) -> tuple[Tensor, Tensor, bool]:
    """Sum gradients, losses, weights and stop requests over the processes, in one message, which also gives every
    process the leader's running statistics (batch norm); return weight, items, and whether to stop."""
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    scalars = [weight, items, *sums.values(), torch.tensor(float(stop), device=placement.device)]
    statistics = [buffer.float() * float(placement.leads) for buffer in buffers]
    flat = torch.cat([tensor.float().reshape(-1) for tensor in (*gradients, *statistics, *scalars)])
    placement.sum(flat)
    position = 0
    for tensor in (*gradients, *buffers):
        tensor.copy_(flat[position : position + tensor.numel()].view_as(tensor))
        position += tensor.numel()
    for offset, name in enumerate(sums):
        sums[name] = flat[position + 2 + offset]
    return flat[position], flat[position + 1], bool(flat[-1] > 0)


def _normalise_and_clip(gradients: list[Tensor], weight: float, clip: float) -> float:
    """Turn summed gradients into the gradient of the mean, no longer than `clip`; return its norm before clipping.

    The arithmetic of single numbers is numpy's: in float32 as torch would do it, and a hundred times quicker.
    """
    if not gradients or not weight:
        return 0.0
    one, weighed = np.float32(1.0), np.float32(weight)
    norm = np.float32(_norm(gradients).item()) / weighed
    scale = one / weighed
    if clip > 0:
        scale = scale * min(one / (norm + np.float32(1e-6)) * np.float32(clip), one)
    if scale != one:
        torch._foreach_mul_(gradients, float(scale))
    return float(norm)


def _is_power_of_two(weight: Tensor) -> bool:
    """Whether a weight that is at hand is 1, 2, 4, ...; asking a device for its value would hold the device up."""
    return weight.device.type == "cpu" and math.frexp(float(weight))[0] == 0.5


def _norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all gradients together: `torch.nn.utils.get_total_norm`, without what that asks of each tensor."""
    first = gradients[0].device
    if any(gradient.device != first for gradient in gradients):
        return torch.nn.utils.get_total_norm(gradients)
    total: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return total
