"""What the policy of an export is worth, and trajectories of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from clew.bundle.guide import GuideModel
from clew.core.errors import BundleError
from clew.core.files import check_output
from clew.core.randomness import generator
from clew.environments import making
from clew.environments.episodes import Play, play
from clew.environments.spaces import Actions
from clew.environments.trajectories import LINES, write_trajectories
from clew.environments.vector import Environments
from clew.recipes.base import validate
from clew.recipes.ppo import EnvironmentSettings


class BundlePolicy:
    """A policy from an export: the most probable actions, or draws."""

    def __init__(self, bundle: Path | str, *, threads: int = 1) -> None:
        self.model = GuideModel(bundle, threads=threads)
        about = self.model.about
        told = about.get("environment")
        if not isinstance(told, dict) or not isinstance(told.get("id"), str):
            raise BundleError(
                f"{bundle} does not say which environment its policy acts in: `clew train ppo` made it not."
            )
        self.settings = validate(EnvironmentSettings, told, str(bundle))
        self._log_std = np.array(about.get("log_std", []), np.float32)
        making.registered(self.settings.id)

    def make(self) -> Env[Any, Any]:
        """An environment as the policy was trained in."""
        return making.make(self.settings)

    def check_fits(self, envs: Environments) -> None:
        """Raise `BundleError` unless the policy has the sizes of the environment as it is here."""
        sizes = (self.model.input_dim, self.model.action_dim)
        if sizes != (envs.layout.size, envs.actions.outputs):
            raise BundleError(
                f"{self.model.path} takes {sizes[0]} numbers and rates {sizes[1]} actions, but {envs.name} here has "
                f"{envs.layout.size} and {envs.actions.outputs}: it was trained in another version of the environment."
            )

    def draw(self, envs: Environments, random: np.random.Generator) -> tuple[NDArray[Any], float]:
        """An action [1, columns] for the first environment, and the logarithm of its probability (density)."""
        outputs = self.model.evaluate(envs.observations[:1]).policy_logits[0].astype(np.float64)
        if envs.actions.kind == "box":
            noise = random.standard_normal(len(outputs))
            taken = (outputs + np.exp(self._log_std) * noise).astype(np.float32)
            off = (taken - outputs) / np.exp(self._log_std)
            log_prob = -(0.5 * off**2 + self._log_std + 0.5 * math.log(2 * math.pi)).sum()
            return taken[None], float(log_prob)
        if envs.masks is not None:
            outputs = np.where(envs.masks[0], outputs, -np.inf)
        at, row, log_prob = 0, [], 0.0
        for size in envs.actions.sizes:
            logits = outputs[at : at + size] - outputs[at : at + size].max()
            probabilities = np.exp(logits) / np.exp(logits).sum()
            row.append(int(random.choice(size, p=probabilities)))
            log_prob += float(np.log(probabilities[row[-1]]))
            at += size
        return np.array([row], np.int64), log_prob

    def best(self, actions: Actions) -> Play:
        """The most probable actions."""

        def policy(observations: NDArray[np.float32], masks: NDArray[np.bool_] | None) -> NDArray[Any]:
            return choose(actions, self.model.evaluate(observations).policy_logits, masks)

        return policy


def record(bundle: Path | str, path: Path, *, episodes: int, seed: int = 0, threads: int = 1) -> int:
    """Write episodes of the policy of an export, its actions drawn, to the `.jsonl` file `path`; return their steps.

    Each step has the log-probability that the action was drawn with. Raises `ClewError`.
    """
    check_output(path, LINES)
    policy = BundlePolicy(bundle, threads=threads)
    envs = Environments(policy.make, 1, seed=seed, purpose="record")
    found: list[dict[str, Any]] = []
    steps = 0
    try:
        policy.check_fits(envs)
        envs.reset()
        for episode in range(episodes):
            random = generator(seed, "record", episode)
            told: dict[str, Any] = {"observations": [], "actions": [], "rewards": [], "log_probs": []}
            if envs.masks is not None:
                told["action_masks"] = []
            while True:
                row, log_prob = policy.draw(envs, random)
                told["observations"].append(envs.observations[0].tolist())
                if envs.masks is not None:
                    told["action_masks"].append(envs.masks[0].astype(int).tolist())
                envs.step(row)
                told["actions"].append(row[0].tolist())
                told["rewards"].append(float(envs.rewards[0]))
                told["log_probs"].append(log_prob)
                if envs.finals:
                    break
            told["observations"].append(envs.finals[0].observation.tolist())
            told["terminated"] = not envs.finals[0].truncated
            steps += len(told["rewards"])
            found.append(told)
    finally:
        envs.close()
    write_trajectories(path, found)
    return steps


def choose(actions: Actions, outputs: NDArray[np.float32], masks: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The most probable action of each row of `outputs` [rows, actions.outputs]."""
    if actions.kind == "box":
        return outputs
    if masks is not None:
        outputs = np.where(masks, outputs, np.float32(-np.inf))
    at, columns = 0, []
    for size in actions.sizes:
        columns.append(outputs[:, at : at + size].argmax(axis=1))
        at += size
    return np.stack(columns, axis=1)


def evaluate(bundle: Path | str, *, episodes: int = 100, seed: int = 0, threads: int = 1) -> dict[str, Any]:
    """What the policy of an export is worth: `episodes` episodes in its environment. Raises `ClewError`."""
    policy = BundlePolicy(bundle, threads=threads)
    envs = Environments(policy.make, 1, seed=seed)
    try:
        policy.check_fits(envs)
        actions, name = envs.actions, envs.name
    finally:
        envs.close()
    returns = play(policy.make, policy.best(actions), episodes, seed=seed)
    return {"bundle": str(bundle), "environment": name, **returns.figures(), "seed": seed}
