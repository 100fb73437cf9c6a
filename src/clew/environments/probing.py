"""Whether environments are deterministic, found out by trying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from clew.environments.vector import Environments

_PROBED = 40
"""Steps that tell whether an environment is deterministic."""


def deterministic(make: Callable[[], Env[Any, Any]], *, seed: int) -> bool:
    """Whether two environments, given the same seeds and actions, do the same, bit for bit, over some episodes."""
    seen = []
    for _ in range(2):
        envs = Environments(make, 1, seed=seed, purpose="probe")
        envs.reset()
        random = np.random.default_rng(seed % 2**32)
        told = [envs.observations.tobytes()]
        for _ in range(_PROBED):
            envs.step(random_rows(envs, random))
            told += [
                envs.observations.tobytes(),
                envs.rewards.tobytes(),
                *(each.observation.tobytes() for each in envs.finals),
            ]
        envs.close()
        seen.append(told)
    return seen[0] == seen[1]


def random_rows(envs: Environments, random: np.random.Generator) -> NDArray[Any]:
    """Random legal actions, [count, columns]."""
    actions = envs.actions
    if actions.kind == "box":
        return random.uniform(-1, 1, (envs.count, actions.columns)).astype(np.float32)
    rows = np.zeros((envs.count, actions.columns), np.int64)
    at = 0
    for column, size in enumerate(actions.sizes):
        weights = random.random((envs.count, size))
        if envs.masks is not None:
            weights = np.where(envs.masks[:, at : at + size], weights, -1.0)
        rows[:, column] = weights.argmax(axis=1)
        at += size
    return rows
