"""Rollouts: acting in environments for a number of steps, and what each step turned out to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.core.randomness import generator
from clew.environments.running import Running
from clew.environments.spaces import Actions
from clew.environments.trajectories import Steps
from clew.environments.vector import Environments
from clew.objectives.ppo.kernels import discounted_returns, generalised_advantages
from clew.recipes.ppo import PPORecipe

_LARGEST_REWARD = 10.0
"""Where a normalised reward is cut off."""


class Actor(Protocol):
    """A policy with a value: acts, and judges what was done."""

    def act(
        self, observations: NDArray[np.float32], masks: NDArray[np.bool_] | None, noise: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Actions [rows, columns] drawn with `noise` [rows, outputs]."""

    def judge(
        self, observations: NDArray[np.float32], taken: NDArray[Any], masks: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log-probability and value [rows] of each of many observations [rows, size] and the action taken there."""


@dataclass
class Rollout:
    """Steps that an update learns from, all arrays with one row a step, environment by environment within a step."""

    observations: NDArray[np.float32]
    """[rows, size], as the environment gave them."""
    actions: NDArray[Any]
    """int64 or float32 [rows, columns]"""
    log_probs: NDArray[np.float32]
    """Of the policy that acted."""
    values: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]
    """What the values are to become: advantage plus value."""
    masks: NDArray[np.bool_] | None = None
    guards: NDArray[np.float32] | None = None
    """NaN where the environment told none."""
    latencies: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.returns)

    @property
    def explained_variance(self) -> float:
        """Share of the variance of the returns that the values foretold; 0 where there is none."""
        spread = float(np.var(self.returns))
        return 1.0 - float(np.var(self.returns - self.values)) / spread if spread else 0.0

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            f"rollout.{name}": torch.from_numpy(np.ascontiguousarray(array))
            for name, array in held.items()
            if array is not None
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Rollout:
        """What `tensors` gave; copies, for a file's tensors may vanish with it. Raises `KeyError`."""
        held = {
            field.name: tensors[f"rollout.{field.name}"].numpy().copy()
            for field in fields(cls)
            if f"rollout.{field.name}" in tensors or field.default is not None
        }
        return cls(**held)


class Collector:
    """Acts with an actor in `envs`, rollout by rollout. What must survive between two is in `state`."""

    def __init__(self, recipe: PPORecipe, envs: Environments) -> None:
        self._recipe, self.envs = recipe, envs
        self._steps = recipe.rollout.rollout_steps
        count, size, actions = envs.count, envs.layout.size, envs.actions
        steps = self._steps
        self._observations = np.zeros((steps, count, size), np.float32)
        self._actions = np.zeros((steps, count, actions.columns), np.float32 if actions.kind == "box" else np.int64)
        self._rewards = np.zeros((steps, count), np.float32)
        self._terminated, self._ends = np.zeros((2, steps, count), np.bool_)
        self._masks: NDArray[np.bool_] | None = None
        self._wants = {
            name: np.full((steps, count), np.nan, np.float32)
            for name, coefficient in (("guard", recipe.ppo.guard_coef), ("latency", recipe.ppo.latency_coef))
            if coefficient
        }
        self._spread, self._discounted = Running(1), np.zeros(count)

    def collect(self, actor: Actor, iteration: int) -> Rollout:
        """Act for a rollout; `iteration` is its number, which the actions' noise is drawn by."""
        envs, steps, count = self.envs, self._steps, self.envs.count
        observations, actions, rewards, ends = self._observations, self._actions, self._rewards, self._ends
        if envs.masks is not None and self._masks is None:
            self._masks = np.ones((steps, count, envs.actions.outputs), np.bool_)
        noise = action_noise(envs.actions, self._recipe.seed, iteration, (steps, count))
        finals: list[tuple[int, int, NDArray[np.float32]]] = []
        for step in range(steps):
            observations[step] = envs.observations
            if self._masks is not None:
                self._masks[step] = envs.masks
            taken = actor.act(observations[step], envs.masks, noise[step])
            actions[step] = taken
            envs.step(taken)
            rewards[step] = envs.rewards
            self._terminated[step] = envs.terminated
            np.logical_or(envs.terminated, envs.truncated, out=ends[step])
            if envs.finals:
                finals += [(step, each.env, each.observation) for each in envs.finals if each.truncated]
            for name, array in self._wants.items():
                array[step] = [told.get(name, np.nan) for told in envs.told_at_step]
        return self._judged(actor, finals)

    def _judged(self, actor: Actor, finals: list[tuple[int, int, NDArray[np.float32]]]) -> Rollout:
        """The rollout with probabilities, values and advantages."""
        envs, steps, count = self.envs, self._steps, self.envs.count
        rollout = self._recipe.rollout
        rows = steps * count
        seen = self._observations.reshape(rows, -1).copy()
        taken = self._actions.reshape(rows, -1).copy()
        masks = None if self._masks is None else self._masks.reshape(rows, -1).copy()
        log_probs, values = actor.judge(seen, taken, masks)
        # The values of what followed: of the next step, of an episode's last observation where it was broken off, and
        # of nothing where it terminated.
        later = np.concatenate([envs.observations, *(last[None] for _, _, last in finals)])
        padding = np.zeros((len(later), taken.shape[1]), taken.dtype)
        _, after = actor.judge(later, padding, None)
        by_step = values.reshape(steps, count)
        next_values = np.concatenate([by_step[1:], after[None, :count]])
        next_values[self._terminated] = 0.0
        for (step, place, _), value in zip(finals, after[count:], strict=True):
            next_values[step, place] = value
        advantages = np.empty_like(by_step)
        generalised_advantages(
            self._learnt_rewards(), by_step, next_values, self._ends, rollout.gamma, rollout.gae_lambda, advantages
        )
        flat = advantages.reshape(rows)
        wants = {name: self._told(array).reshape(rows) for name, array in self._wants.items()}
        return Rollout(
            seen, taken, log_probs, values, flat, flat + values, masks, wants.get("guard"), wants.get("latency")
        )

    def _told(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """What an episode came to, as its last step told it, for the steps of it that told nothing themselves."""
        found = array.copy()
        for step in range(len(found) - 2, -1, -1):
            silent = np.isnan(found[step]) & ~self._ends[step]
            found[step, silent] = found[step + 1, silent]
        return found

    def _learnt_rewards(self) -> NDArray[np.float32]:
        settings = self._recipe.environment
        rewards = self._rewards
        if settings.normalise_rewards:
            found = np.empty(rewards.shape)
            discounted_returns(rewards, self._ends, self._recipe.rollout.gamma, self._discounted, found)
            self._spread.update(found.reshape(-1, 1))
            scale = 1.0 / np.sqrt(self._spread.std[0] ** 2 + 1e-8)
            rewards = np.clip(rewards * np.float32(scale), -_LARGEST_REWARD, _LARGEST_REWARD)
        return rewards * np.float32(settings.reward_scale) if settings.reward_scale != 1 else rewards

    def state(self) -> dict[str, Any]:
        """Environments, and the spread of returns, as JSON."""
        return {
            "environments": self.envs.state(),
            "returns": {"spread": self._spread.state(), "discounted": self._discounted.tolist()},
        }

    def restore(self, state: Mapping[str, Any]) -> list[int]:
        """Take back what `state` gave; the places of environments that could not be rebuilt."""
        self._spread.restore(state["returns"]["spread"])
        self._discounted = np.array(state["returns"]["discounted"], np.float64)
        return self.envs.restore(state["environments"])


def action_noise(actions: Actions, seed: int, iteration: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What the actions of a rollout are drawn with, float32 [*shape, outputs]: normal for vectors, else Gumbel."""
    random = generator(seed, "actions", iteration)
    whole = (*shape, actions.outputs)
    if actions.kind == "box":
        return random.standard_normal(whole, np.float32)
    # The negative logarithm of an exponential draw.
    found: NDArray[np.float32] = -np.log(random.standard_exponential(whole, np.float32) + np.float32(1e-30))
    return found


def stored_rollout(recipe: PPORecipe, steps: Steps, actor: Actor) -> Rollout:
    """Trajectories of a file as a rollout: probabilities are the file's, values and advantages of the policy now."""
    taken = steps.actions
    _, values = actor.judge(steps.observations, taken, steps.masks)
    _, after = actor.judge(steps.next_observations, np.zeros_like(taken), None)
    after[steps.terminated] = 0.0
    advantages = np.empty((len(steps), 1), np.float32)
    rewards = steps.rewards * np.float32(recipe.environment.reward_scale)
    generalised_advantages(
        rewards[:, None], values[:, None], after[:, None], steps.ends[:, None], recipe.rollout.gamma,
        recipe.rollout.gae_lambda, advantages,
    )  # fmt: skip
    flat = advantages[:, 0].copy()
    return Rollout(
        steps.observations,
        taken,
        steps.log_probs,
        values,
        flat,
        flat + values,
        steps.masks,
        steps.guards,
        steps.latencies,
    )
