"""Episodes that a policy plays, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from clew.core.intervals import mean_interval
from clew.environments.vector import Environments

Play = Callable[[NDArray[np.float32], NDArray[np.bool_] | None], NDArray[Any]]
"""Actions [rows, columns] for observations [rows, size] and masks [rows, outputs]."""
AT_ONCE = 32
"""Environments that episodes are played in side by side, at most."""


@dataclass(frozen=True)
class Returns:
    """Returns and lengths of episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    def figures(self) -> dict[str, float]:
        """Mean return with its 95% interval (bootstrap), mean length, number of episodes."""
        low, high = mean_interval(self.returns)
        return {
            "mean_return": float(np.mean(self.returns)),
            "mean_return_low": low,
            "mean_return_high": high,
            "mean_length": float(np.mean(self.lengths)),
            "episodes": float(len(self.returns)),
        }


def play(make: Callable[[], Env[Any, Any]], policy: Play, episodes: int, *, seed: int) -> Returns:
    """Play `episodes` episodes, each begun with a seed of its own. Raises `EnvironmentFaultError`.

    Each of the environments side by side plays a number of episodes that is fixed before: taking those that end first
    would favour short ones.
    """
    count = min(episodes, AT_ONCE)
    envs = Environments(make, count, seed=seed, purpose="evaluation", keeps=False)
    quota = [episodes // count + (place < episodes % count) for place in range(count)]
    found: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    try:
        envs.reset()
        while any(len(done) < due for done, due in zip(found, quota, strict=True)):
            envs.finished.clear()
            envs.step(policy(envs.observations, envs.masks))
            for final, ended in zip(envs.finals, envs.finished, strict=True):
                if len(found[final.env]) < quota[final.env]:
                    found[final.env].append(ended)
    finally:
        envs.close()
    flat = [each for done in found for each in done]
    return Returns(tuple(each for each, _ in flat), tuple(length for _, length in flat))
