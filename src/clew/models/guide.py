"""Guides: a perceptron over the state of a search, with four heads (policy, value, guard, latency).

The same net steers the synthesiser (`objectives/imitation.py`) and acts in environments (`objectives/ppo/`): what an
action is, is the caller's. Observations are normalised inside the net, by figures that are saved and exported with the
weights, so that a host feeds what it sees.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from clew.core.errors import CheckpointError
from clew.recipes.base import LARGEST, MOST_LAYERS

FAMILY = "guide"
"""What a checkpoint calls this kind of model."""
LEAST_STD = 1e-4
"""An observation that varies less is taken for constant: it is shifted to 0, not blown up."""
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh}


@dataclass(frozen=True, kw_only=True)
class GuideConfig:
    """Sizes of a guide. JSON of it stands in checkpoints and bundles."""

    input_dim: int
    """Numbers in an observation."""
    action_dim: int
    """Policy logits: one an action; for several discrete choices, those of all choices one behind the other; for
    actions that are vectors, their means."""
    hidden: tuple[int, ...] = (64,)
    """Units of each hidden layer."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """Between the layers."""
    residual: bool = False
    """Whether a layer as wide as the one before it is added to what goes into it (He et al. 2016)."""
    layer_norm: bool = False
    """Whether what goes into each hidden layer but the first is normalised (Ba et al. 2016)."""
    separate_value: bool = False
    """Whether the value has hidden layers of its own, as many and as wide."""
    continuous: bool = False
    """Whether actions are vectors: then the net also holds the logarithms of their standard deviations."""
    clip: float = 10.0
    """Largest absolute value of a normalised observation."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's state and a bundle's manifest."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, described: Mapping[str, Any], where: object) -> GuideConfig:
        """What `as_json` gave, among other keys. Raises `CheckpointError`, naming `where`, for what is no guide."""
        values = {field.name: described[field.name] for field in dataclasses.fields(cls) if field.name in described}
        if isinstance(values.get("hidden"), list):
            values["hidden"] = tuple(values["hidden"])
        for key, value in values.items():
            if not _CHECKS[key](value):
                raise CheckpointError(f"{where} does not describe a guide: its '{key}' is {str(value)[:40]}.")
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"{where} does not describe a guide: {error}.") from error


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "input_dim": _is_size,
    "action_dim": _is_size,
    "hidden": lambda value: isinstance(value, tuple) and len(value) <= MOST_LAYERS and all(map(_is_size, value)),
    "activation": lambda value: value in list(_ACTIVATIONS),
    "residual": _is_flag,
    "layer_norm": _is_flag,
    "separate_value": _is_flag,
    "continuous": _is_flag,
    "clip": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"),
}


class Guidance(NamedTuple):
    """What a guide says of a batch of states."""

    policy_logits: Tensor
    """[batch, action_dim], raw: what is illegal is masked by the host."""
    value: Tensor
    """[batch]: how likely the state leads to a solution, or the return that is expected of it."""
    guard_logits: Tensor
    """[batch], raw: how likely it fails a check."""
    latency: Tensor
    """[batch]: what the outcome will cost, in the scale of its targets."""


class GuideNet(nn.Module):
    """`forward(observation [batch, input_dim])` -> `Guidance`; with `policy_and_value` only the first two."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: GuideConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden[-1] if config.hidden else config.input_dim
        self.body = _Body(config)
        self.value_body: nn.Module | None = _Body(config) if config.separate_value else None
        self.policy = nn.Linear(width, config.action_dim)
        self.value = nn.Linear(width, 1)
        self.guard = nn.Linear(width, 1)
        self.latency = nn.Linear(width, 1)
        self.log_std: nn.Parameter | None = nn.Parameter(torch.zeros(config.action_dim)) if config.continuous else None
        self.register_buffer("mean", torch.zeros(config.input_dim))
        self.register_buffer("std", torch.ones(config.input_dim))

    def forward(self, observation: Tensor) -> Guidance:
        seen = self.normalised(observation)
        hidden = self.body(seen)
        of_value = hidden if self.value_body is None else self.value_body(seen)
        return Guidance(
            self.policy(hidden),
            self.value(of_value).squeeze(-1),
            self.guard(hidden).squeeze(-1),
            self.latency(hidden).squeeze(-1),
        )

    def policy_and_value(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Policy logits [batch, action_dim] and values [batch] alone."""
        seen = self.normalised(observation)
        hidden = self.body(seen)
        of_value = hidden if self.value_body is None else self.value_body(seen)
        return self.policy(hidden), self.value(of_value).squeeze(-1)

    def normalised(self, observation: Tensor) -> Tensor:
        """Observations less their mean, by their standard deviation, clipped."""
        return ((observation - self.mean) / self.std).clamp(-self.config.clip, self.config.clip)

    def set_normalisation(self, mean: NDArray[np.floating[Any]], std: NDArray[np.floating[Any]]) -> None:
        """Normalise by these from now on, each [input_dim]; what does not vary is only shifted."""
        spread = np.where(std < LEAST_STD, 1.0, std)
        self.mean.copy_(torch.from_numpy(np.asarray(mean, np.float32)))
        self.std.copy_(torch.from_numpy(np.asarray(spread, np.float32)))

    def initialise(self, random: torch.Generator) -> None:
        """Draw the weights: orthogonal (Saxe et al. 2014) for what an activation follows, heads near an even policy."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=2.0**0.5, generator=random)
                nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.policy.weight, gain=0.01, generator=random)
        for head in (self.value, self.guard, self.latency):
            nn.init.orthogonal_(head.weight, gain=1.0 if self.config.separate_value else 0.01, generator=random)

    def describe(self) -> dict[str, Any]:
        """Family and sizes, for a checkpoint."""
        return {"family": FAMILY, **self.config.as_json()}


class _Body(nn.Module):
    """The hidden layers."""

    def __init__(self, config: GuideConfig) -> None:
        super().__init__()
        sizes = (config.input_dim, *config.hidden)
        self._activation, self._residual = _ACTIVATIONS[config.activation], config.residual
        self.layers = nn.ModuleList([nn.Linear(before, after) for before, after in itertools.pairwise(sizes)])
        self.norms = nn.ModuleList(
            [nn.LayerNorm(size) if config.layer_norm and place else nn.Identity() for place, size in enumerate(sizes)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.layers):
            inner = self._activation(layer(self.norms[place](x)))
            # The first layer reads the observation, which is no sum of anything.
            x = x + inner if self._residual and place and inner.shape == x.shape else inner
        hidden: Tensor = self.norms[-1](x) if self.layers else x
        return hidden
