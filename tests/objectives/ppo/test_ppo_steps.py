"""Optimiser steps of PPO: compiled and torch's are the same, and both do what the papers say."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution

from acting import objective, take
from clew.environments.spaces import actions_of
from clew.objectives.ppo.distributions import log_probability_and_entropy, sample
from clew.objectives.ppo.rollout import action_noise
from small_policies import CORRIDOR

KINDS = {
    "choices": {},
    "relu": {"activation": "relu", "entropy_coef": 0.01, "value_clip": 0.2},
    "vectors": {"id": "Pendulum-v1", "entropy_coef": 0.01},
    "masked": {"id": CORRIDOR, "kwargs": '{"masks": "info"}', "entropy_coef": 0.02},
    "normalised": {"normalise_observations": True, "weight_decay": 0.01},
    "over more rows": {"advantage_rows": 32},
}


@pytest.mark.parametrize("changed", KINDS.values(), ids=KINDS.keys())
def test_the_compiled_steps_are_torch_s(changed):
    """Two iterations, so that acting with changed weights is in it."""
    fused, plain = (objective(fused=way, learning_rate=0.003, **changed) for way in ("yes", "no"))
    (one, ours), (other, theirs) = (take(made, 12) for made in (fused, plain))
    assert fused.fused is not None
    assert plain.fused is None
    np.testing.assert_allclose(fused.updates.rollout.actions, plain.updates.rollout.actions, atol=1e-3)
    for left, right in zip(ours, theirs, strict=True):
        assert left.gradient_norm == pytest.approx(right.gradient_norm, rel=2e-3, abs=1e-5)
        assert left.items == right.items
        for name, value in right.means.items():
            assert left.means[name] == pytest.approx(value, rel=2e-3, abs=2e-5), name
    for name, weight in plain.net.state_dict().items():
        np.testing.assert_allclose(fused.net.state_dict()[name], weight, atol=2e-4, err_msg=name)
    moments, expected = one.tensors(), other.tensors()
    assert moments.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(moments[name], value, atol=2e-3 * max(1, float(value.abs().max())), err_msg=name)


@pytest.mark.parametrize("fused", ["yes", "no"])
@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_the_first_minibatch_is_on_policy(fused, id):
    """Ratios begin at 1, nothing is clipped, and every row has a gradient: acting and learning are one policy."""
    made = objective(fused=fused, id=id, rollout_steps=64)
    batch = made.updates.minibatch(0)
    log_probs, _ = made._torch.judge(batch.rollout.observations, batch.rollout.actions, batch.rollout.masks)
    np.testing.assert_allclose(np.exp(log_probs - batch.rollout.log_probs), 1.0, atol=2e-6)
    _, (first, *_) = take(made, 1)
    assert first.means["clip_fraction"] == 0.0
    assert abs(first.means["approx_kl"]) < 1e-6
    # The surrogate of normalised advantages at a ratio of 1 is their mean, which is 0.
    assert abs(first.means["policy_loss"]) < 1e-6
    assert np.count_nonzero(batch.rollout.advantages) == len(batch.rollout)


def test_gamma_lambda_and_the_size_of_minibatches_are_used():
    plain = objective().updates.minibatch(0)
    for changed in ({"gamma": 0.5}, {"gae_lambda": 0.2}):
        other = objective(**changed).updates.minibatch(0)
        assert np.array_equal(other.rollout.observations, plain.rollout.observations)
        assert not np.allclose(other.rollout.advantages, plain.rollout.advantages)
    assert len(objective(batch_size=8).updates.minibatch(0).rows) == 8


def test_an_epoch_is_every_row_once():
    updates = objective(batch_size=24).updates
    rows = [updates.minibatch(step).rows for step in range(updates.per_epoch)]
    assert [len(each) for each in rows] == [24, 24, 16]
    assert sorted(np.concatenate(rows)) == list(range(64))


@pytest.mark.parametrize("fused", ["yes", "no"])
def test_an_update_ends_when_the_policy_has_moved_far_enough(fused):
    made = objective(fused=fused, learning_rate=0.1, target_kl=0.003)
    _, done = take(made, 10)
    moved = [step for step, each in enumerate(done[:8]) if not each.means or each.means["approx_kl"] > 1.5 * 0.003]
    assert moved
    assert moved[0] > 0
    if fused == "no":
        assert done[moved[0]].means == {}
    assert all(each.means == {} for each in done[moved[0] + 1 : 8]), "what is left of the update is taken without one"
    assert done[8].items == 64, "the next rollout comes at its time"
    assert done[8].means


@pytest.mark.parametrize("space", [gymnasium.spaces.Discrete(4), gymnasium.spaces.Box(-1, 1, (3,))])
def test_probabilities_are_those_of_stable_baselines3(space):
    actions, random = actions_of(space, "x"), torch.Generator().manual_seed(0)
    outputs, log_std = torch.randn(7, actions.outputs, generator=random), torch.randn(actions.outputs, generator=random)
    if actions.kind == "box":
        taken = torch.randn(7, 3, generator=random)
        theirs = DiagGaussianDistribution(3).proba_distribution(outputs, log_std)
    else:
        taken = torch.tensor([[0], [1], [2], [3], [0], [1], [2]])
        theirs = CategoricalDistribution(4).proba_distribution(outputs)
    log_prob, entropy = log_probability_and_entropy(actions, outputs, log_std, taken, None)
    torch.testing.assert_close(log_prob, theirs.log_prob(taken.squeeze(1)))
    torch.testing.assert_close(entropy, theirs.entropy())


def test_several_choices_are_independent_and_masks_forbid():
    actions = actions_of(gymnasium.spaces.MultiDiscrete([2, 3]), "x")
    outputs = torch.tensor([[0.3, -0.2, 1.0, 0.0, 2.0]])
    masks = torch.tensor([[True, True, True, False, True]])
    taken = torch.tensor([[1, 2]])
    first = torch.log_softmax(outputs[0, :2], 0)
    second = torch.log_softmax(torch.tensor([1.0, 2.0]), 0)
    log_prob, entropy = log_probability_and_entropy(actions, outputs, None, taken, masks)
    assert float(log_prob) == pytest.approx(float(first[1] + second[1]))
    assert float(entropy) == pytest.approx(float(-(first.exp() * first).sum() - (second.exp() * second).sum()))
    noise = torch.tensor([[0.0, 0.0, 0.0, 50.0, 0.0]])
    assert sample(actions, outputs, None, noise, masks).tolist() == [[0, 2]], "the forbidden one is never drawn"


def test_draws_have_the_policy_s_probabilities():
    actions = actions_of(gymnasium.spaces.Discrete(3), "x")
    noise = torch.from_numpy(action_noise(actions, 0, 0, (20000, 1))[:, 0])
    logits = torch.tensor([0.2, 1.0, -1.0])
    drawn = sample(actions, logits.expand(20000, 3), None, noise, None)[:, 0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 20000, torch.softmax(logits, 0), atol=0.01)


def test_auxiliary_heads_learn_what_the_environment_tells():
    changed = {"id": CORRIDOR, "kwargs": '{"tells": true}', "guard_coef": 1.0, "latency_coef": 1.0}
    made = objective(learning_rate=0.02, separate_value=False, **changed)
    _, done = take(made, 200)
    assert done[-1].means["guard_loss"] < done[0].means["guard_loss"] / 4
    assert done[-1].means["latency_loss"] < done[0].means["latency_loss"] / 4
    assert "guard.weight" in made.trainable()
    assert "guard.weight" not in objective(separate_value=False).trainable()


def test_the_figures_of_normalisation_stand_still_within_an_update():
    made = objective(normalise_observations=True)
    take(made, 1)
    before = made.net.mean.clone()
    assert not before.any(), "the first rollout is seen as it is"
    take(made, 7, first=1)
    assert torch.equal(made.net.mean, before)
    first = made.updates.rollout.observations.copy()
    take(made, 1, first=8)
    np.testing.assert_allclose(made.net.mean, first.mean(axis=0), atol=1e-6)
