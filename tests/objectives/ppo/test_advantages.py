"""Advantages, by hand and against stable-baselines3."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from clew.objectives.ppo.kernels import discounted_returns, generalised_advantages


def advantages(rewards, values, next_values, ends, gamma, trace):
    found = np.empty_like(rewards)
    generalised_advantages(rewards, values, next_values, ends, gamma, trace, found)
    return found


def test_a_case_worked_by_hand():
    rewards = np.array([[1.0], [0.0], [2.0]], np.float32)
    values = np.array([[0.5], [1.0], [0.25]], np.float32)
    # The second step terminates; after the third the value is 4.
    next_values = np.array([[1.0], [0.0], [4.0]], np.float32)
    ends = np.array([[False], [True], [False]])
    found = advantages(rewards, values, next_values, ends, 0.5, 0.5)
    # delta: 1 + 0.5*1 - 0.5 = 1;  0 + 0 - 1 = -1;  2 + 0.5*4 - 0.25 = 3.75
    assert found[:, 0].tolist() == [1.0 + 0.25 * -1.0, -1.0, 3.75]


def test_an_episode_that_was_broken_off_is_worth_what_would_have_followed():
    rewards, values = np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)
    # The first terminated: its next value is masked. The second was truncated before something worth 10.
    found = advantages(rewards, values, np.array([[0.0, 10.0]], np.float32), np.array([[True, True]]), 0.9, 0.95)
    np.testing.assert_allclose(found, [[0.0, 9.0]], rtol=1e-6)


def test_they_are_those_of_stable_baselines3():
    random = np.random.default_rng(0)
    steps, count, gamma, trace = 40, 3, 0.97, 0.9
    rewards = random.normal(size=(steps, count)).astype(np.float32)
    values = random.normal(size=(steps, count)).astype(np.float32)
    last = random.normal(size=count).astype(np.float32)
    ends = random.random((steps, count)) < 0.1
    space = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(steps, space, gymnasium.spaces.Discrete(2), gamma=gamma, gae_lambda=trace, n_envs=count)
    starts = np.concatenate([np.ones((1, count), bool), ends[:-1]])
    for step in range(steps):
        buffer.add(
            np.zeros((count, 1)), np.zeros((count, 1)), rewards[step], starts[step],
            torch.from_numpy(values[step]), torch.zeros(count),
        )  # fmt: skip
    buffer.compute_returns_and_advantage(torch.from_numpy(last), ends[-1])
    next_values = np.concatenate([values[1:], last[None]])
    next_values[ends] = 0.0
    found = advantages(rewards, values, next_values, ends, gamma, trace)
    np.testing.assert_allclose(found, buffer.advantages, atol=1e-5)
    np.testing.assert_allclose(found + values, buffer.returns, atol=1e-5)


def test_discounted_returns_begin_anew_with_each_episode():
    running, found = np.array([2.0]), np.empty((3, 1))
    ends = np.array([[False], [True], [False]])
    discounted_returns(np.ones((3, 1), np.float32), ends, 0.5, running, found)
    assert found[:, 0].tolist() == [2.0, 2.0, 1.0]
    assert running.tolist() == [1.0]
