"""Gymnasium's spaces as flat numbers: observations as vectors of float32, actions as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import Env, spaces
from gymnasium.spaces import utils
from numpy.typing import NDArray

from clew.core.errors import UsageError

Kind = Literal["discrete", "multi_discrete", "box"]


@dataclass(frozen=True)
class Actions:
    """An action space as rows of numbers."""

    kind: Kind
    sizes: tuple[int, ...]
    """discrete: (choices,); multi_discrete: choices of each part; box: (numbers,)."""
    space: Any
    """Gymnasium's own."""

    @property
    def columns(self) -> int:
        """Numbers in a row: 1, the parts, or the numbers of the box."""
        return self.sizes[0] if self.kind == "box" else len(self.sizes)

    @property
    def outputs(self) -> int:
        """What a policy gives: a logit for every choice of every part, or the means of the box."""
        return sum(self.sizes)

    def as_json(self) -> dict[str, Any]:
        """Kind and sizes, and for a box its bounds, as a host needs them."""
        told: dict[str, Any] = {"kind": self.kind, "sizes": list(self.sizes)}
        if self.kind == "box":
            low, high = (np.asarray(each, np.float64).reshape(-1) for each in (self.space.low, self.space.high))
            told["low"] = [float(each) if math.isfinite(each) else None for each in low]
            told["high"] = [float(each) if math.isfinite(each) else None for each in high]
        return told

    def decoder(self) -> Callable[[NDArray[Any]], list[Any]]:
        """Makes, of rows [count, columns], a list of `count` actions as the environment takes them.

        Numbers outside a box are set to its bounds.
        """
        space = self.space
        if self.kind == "box":
            low, high, shape, dtype = space.low.reshape(-1), space.high.reshape(-1), space.shape, space.dtype
            bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())

            def boxes(rows: NDArray[Any]) -> list[Any]:
                inside = np.clip(rows, low, high) if bounded else rows
                return list(inside.astype(dtype).reshape(-1, *shape))

            return boxes
        if self.kind == "discrete":
            start = int(space.start)
            if start:
                return lambda rows: [start + each for each in rows[:, 0].tolist()]
            return lambda rows: rows[:, 0].tolist()  # type of each: int
        if isinstance(space, spaces.MultiBinary):
            return lambda rows: list(rows.astype(space.dtype).reshape(-1, *space.shape))
        first = np.asarray(getattr(space, "start", 0)).reshape(-1)
        return lambda rows: list((rows + first).astype(space.dtype).reshape(-1, *space.nvec.shape))


def actions_of(space: Any, name: str) -> Actions:
    """The action space of the environment `name`. Raises `UsageError` for one that no policy here has a head for."""
    if isinstance(space, spaces.Discrete):
        return Actions("discrete", (int(space.n),), space)
    if isinstance(space, spaces.MultiDiscrete):
        return Actions("multi_discrete", tuple(int(each) for each in space.nvec.reshape(-1)), space)
    if isinstance(space, spaces.MultiBinary):
        return Actions("multi_discrete", (2,) * math.prod(space.shape), space)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and math.prod(space.shape) > 0:
        return Actions("box", (math.prod(space.shape),), space)
    raise UsageError(
        f"The environment {name} has the action space {_shown(space)}, for which there is no policy. PPO acts in "
        "spaces Discrete, MultiDiscrete, MultiBinary and Box of floats; flatten or rewrite others with a "
        "gymnasium.ActionWrapper."
    )


@dataclass(frozen=True)
class Observations:
    """An observation space as vectors of `size` numbers, float32."""

    size: int
    space: Any
    plain: bool
    """Whether an observation is an array that only needs to be laid flat."""

    def writer(self) -> Callable[[Any, NDArray[np.float32]], None]:
        """Writes an observation into a row [size]."""
        space = self.space
        if self.plain and len(space.shape) == 1:

            def write(observation: Any, row: NDArray[np.float32]) -> None:
                row[:] = observation

        elif self.plain:

            def write(observation: Any, row: NDArray[np.float32]) -> None:
                row[:] = np.asarray(observation).reshape(-1)

        else:

            def write(observation: Any, row: NDArray[np.float32]) -> None:
                flat: Any = utils.flatten(space, observation)
                row[:] = flat

        return write


def observations_of(space: Any, name: str) -> Observations:
    """The observation space of the environment `name`. Raises `UsageError` for one that is no vector of numbers."""
    if isinstance(space, spaces.Box):
        size = math.prod(space.shape)
        plain = True
    else:
        plain = False
        try:
            size = int(utils.flatdim(space)) if space.is_np_flattenable else 0
        except (NotImplementedError, ValueError, AttributeError):
            size = 0
    if size < 1:
        raise UsageError(
            f"The environment {name} has the observation space {_shown(space)}, which is no fixed number of numbers. "
            "Rewrite it with a gymnasium.ObservationWrapper as a Box, Discrete, MultiDiscrete, Dict or Tuple of these."
        )
    return Observations(size, space, plain)


def mask_source(env: Env[Any, Any], info: dict[str, Any]) -> Literal["info", "method", None]:
    """Where an environment tells which actions are legal: info["action_mask"], its method `action_masks()`, or not."""
    if "action_mask" in info:
        return "info"
    return "method" if callable(getattr(env.unwrapped, "action_masks", None)) else None


def _shown(space: Any) -> str:
    text = str(space)
    return text if len(text) <= 120 else f"{text[:117]}..."
