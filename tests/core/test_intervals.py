"""Intervals and tests against scipy and cases worked by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clew.core.intervals import bootstrap_means, mcnemar, mean_interval, wilson


def test_mcnemar_of_a_case_worked_by_hand():
    # 1 against 5 of 6: twice (1 + 6) of the 64 ways that six coins fall.
    assert mcnemar(1, 5) == mcnemar(5, 1) == 14 / 64
    # 0 against 10: twice one of 1,024.
    assert mcnemar(0, 10) == 2 / 1024
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(0, 0) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test_of_scipy(gained, lost):
    expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_thousands_neither_overflows_nor_vanishes():
    assert mcnemar(3_000, 3_100) == pytest.approx(stats.binomtest(3_000, 6_100).pvalue, rel=1e-9)
    assert 0 < mcnemar(0, 1_000) < 1e-300


def test_wilson_is_scipys():
    for successes, cases in ((0, 10), (3, 10), (10, 10), (251, 500)):
        expected = stats.binomtest(successes, cases).proportion_ci(method="wilson")
        assert wilson(successes, cases) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_bootstrap_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(3).choice([-1.0, 0.0, 0.25, 1.0], 120, p=[0.1, 0.5, 0.2, 0.2])
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert mean_interval(values.tolist()) == pytest.approx((other.low, other.high), abs=0.012)
    means = bootstrap_means(values.tolist())
    assert means.shape == (10_000,)
    assert means.std() == pytest.approx(values.std() / np.sqrt(120), rel=0.05)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        low, high = mean_interval(random.choice([-1.0, 0.0, 1.0], 80, p=[0.1, 0.6, 0.3]).tolist(), seed=trial)
        held += low <= 0.2 <= high
    assert stats.binomtest(held, 200, 0.95).pvalue > 0.001


def test_the_same_values_in_another_order_give_the_same_interval():
    values = [0.0, 1.0, 1.0, 0.5] * 10
    assert mean_interval(values) == mean_interval(sorted(values))
    assert mean_interval(values, seed=1) != mean_interval(values)


def test_what_cannot_vary_has_no_width_and_nothing_has_the_widest():
    assert mean_interval([0.25] * 7) == (0.25, 0.25)
    assert mean_interval([]) == (0.0, 1.0)


def test_many_different_values_take_little_memory():
    values = np.random.default_rng(0).random(3_000).tolist()
    tracemalloc.start()
    low, high = mean_interval(values)
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()
    assert high - low == pytest.approx(2 * 1.96 * np.std(values) / np.sqrt(3_000), rel=0.1)
