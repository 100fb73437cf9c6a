"""Draws follow the distribution that temperature, top-k and top-p define."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from clew.bundle.sampling import Sampling, block_ends, draw, log_normaliser, sample, uniforms, weights
from clew.core.errors import UsageError


def slow_distribution(logits, sampling):
    """The definition, token by token, in plain Python."""
    ranked = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    if sampling.temperature == 0:
        kept = {ranked[0]: 1.0}
    else:
        top = logits[ranked[0]]
        kept = {token: math.exp((logits[token] - top) / sampling.temperature) for token in ranked}
        if sampling.top_k:
            kept = dict(list(kept.items())[: sampling.top_k])
        total, reached, nucleus = sum(kept.values()), 0.0, {}
        for token, mass in kept.items():
            if reached >= sampling.top_p * total and sampling.top_p < 1:
                break
            nucleus[token] = mass
            reached += mass
        kept = nucleus
    total = sum(kept.values())
    return [kept.get(token, 0.0) / total for token in range(len(logits))]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0),
        Sampling(temperature=1.7),
        Sampling(top_k=1),
        Sampling(top_k=5, temperature=1.0),
        Sampling(top_k=1000),
        Sampling(top_p=0.9),
        Sampling(top_p=0.5, temperature=1.3),
        Sampling(top_p=1e-9),
        Sampling(top_k=7, top_p=0.6),
    ],
    ids=str,
)
def test_weights_are_those_of_the_definition(sampling):
    logits = np.random.default_rng(0).normal(0, 2, (20, 31)).astype(np.float32)
    logits[3, [4, 9, 20]] = logits[3].max() + 1  # equal logits: the smaller id comes first
    mass = weights(logits, sampling)
    expected = [slow_distribution(row.astype(float).tolist(), sampling) for row in logits]
    np.testing.assert_allclose(mass / mass.sum(-1, keepdims=True), expected, atol=1e-9)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=5), Sampling(top_p=0.8)], ids=str)
def test_draws_follow_the_weights(sampling):
    logits = np.random.default_rng(1).normal(0, 1.5, (1, 12)).astype(np.float32)
    mass = weights(logits, sampling)[0]
    random = np.random.default_rng(2).random(20_000)
    counts = np.bincount([draw(mass, block_ends(mass), each) for each in random], minlength=12)
    allowed = mass > 0
    assert counts[~allowed].sum() == 0
    assert stats.chisquare(counts[allowed], 20_000 * mass[allowed] / mass.sum()).pvalue > 0.01


def test_the_ends_of_the_interval_fall_on_tokens_that_may_be_drawn():
    mass = np.array([0.0, 0.2, 0.0, 0.3, 0.0, 0.0])
    assert draw(mass, block_ends(mass), 0.0) == 1
    assert draw(mass, block_ends(mass), np.nextafter(1.0, 0.0)) == 3
    assert draw(mass, block_ends(mass), 1.0) == 3


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 500])
def test_blocks_of_the_vocabulary_change_no_draw(vocabulary):
    random = np.random.default_rng(4)
    mass = random.exponential(size=vocabulary) * (random.random(vocabulary) < 0.3)
    mass[-1] += 0.1
    for uniform in random.random(500):
        expected = np.searchsorted(np.cumsum(mass), uniform * mass.sum(), side="right")
        assert draw(mass, block_ends(mass), uniform) == expected


def test_random_numbers_depend_on_the_row_and_position_alone():
    few, many = uniforms(Sampling(seed=3, max_tokens=9), 4, 2), uniforms(Sampling(seed=3, max_tokens=9), 4, 50)
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(uniforms(Sampling(seed=3, max_tokens=5), 4, 2), few[:, :5])
    assert not np.isin(uniforms(Sampling(seed=3, max_tokens=9), 5, 2), few).any()
    assert not np.isin(uniforms(Sampling(seed=4, max_tokens=9), 4, 2), few).any()
    assert len(np.unique(many)) == many.size


def test_the_normaliser_is_scipys():
    from scipy.special import logsumexp

    logits = np.random.default_rng(1).normal(0, 30, (3, 50)).astype(np.float32)
    np.testing.assert_allclose(log_normaliser(logits), logsumexp(logits.astype(float), axis=-1), atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_tokens": 0},
    ],
)
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", "-")):
        Sampling(**wrong)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (5, 1.0), (0, 0.6), (7, 0.8)])
def test_one_token_is_drawn_from_the_same_distribution_the_likeliest_first(top_k, top_p):
    sampling = Sampling(temperature=0.7, top_k=top_k, top_p=top_p)
    logits = np.random.default_rng(3).normal(size=12).astype(np.float32)
    grid = (np.arange(20_000) + 0.5) / 20_000
    drawn = np.array([sample(logits, sampling, uniform) for uniform in grid])
    mass = weights(logits[None], sampling)[0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=12) / len(grid), mass / mass.sum(), atol=1e-3)
    assert drawn[0] == logits.argmax()
    assert (np.diff(logits[drawn]) <= 0).all()


def test_one_token_is_drawn_as_torch_would():

    logits = np.random.default_rng(4).normal(size=300).astype(np.float32) * 3
    for uniform in np.random.default_rng(5).random(200):
        probabilities = torch.softmax(torch.from_numpy(logits).double() / 0.8, dim=-1)
        ordered, order = probabilities.sort(descending=True, stable=True)
        cumulative = (ordered * (ordered.cumsum(0) - ordered < 0.9)).cumsum(0)
        index = int(torch.searchsorted(cumulative, float(uniform) * float(cumulative[-1]), right=True))
        assert sample(logits, Sampling(temperature=0.8, top_p=0.9), uniform) == int(order[min(index, 299)])
