"""Confidence intervals, 95% each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.core.randomness import generator

Z = 1.959963984540054
"""97.5% quantile of the normal distribution."""


@dataclass(frozen=True)
class Share:
    """A share of cases with its Wilson interval."""

    value: float
    low: float
    high: float
    successes: int
    cases: int


def wilson(successes: float, cases: int) -> tuple[float, float]:
    """The score interval (Wilson 1927) of `successes` (halves allowed) in `cases`; no cases give 0 to 1."""
    if cases == 0:
        return 0.0, 1.0
    rate = successes / cases
    scale = 1 + Z * Z / cases
    middle = (rate + Z * Z / (2 * cases)) / scale
    half = Z / scale * math.sqrt(rate * (1 - rate) / cases + Z * Z / (4 * cases * cases))
    # At the ends the formula gives the rate itself but for rounding.
    return max(0.0, middle - half) if successes else 0.0, min(1.0, middle + half) if successes < cases else 1.0


def share(successes: int, cases: int) -> Share:
    """`successes` of `cases` with their interval; no cases give 0 within [0, 1]."""
    low, high = wilson(successes, cases)
    return Share(successes / cases if cases else 0.0, low, high, successes, cases)


@dataclass(frozen=True)
class Ratio:
    """How many times larger the first of two paired amounts is, with bootstrap intervals (10,000 resamplings)."""

    geometric_mean: float
    geometric_mean_low: float
    geometric_mean_high: float
    ratio_of_means: float
    ratio_of_means_low: float
    ratio_of_means_high: float
    cases: int


def paired_ratio(first: NDArray[np.float64], second: NDArray[np.float64], *, seed: int = 0) -> Ratio | None:
    """Compare positive amounts [cases] pair by pair: geometric mean of the ratios, and ratio of the means.

    The first weighs all cases alike, the second is led by the largest. None where there are no cases.
    """
    cases = len(first)
    if cases == 0:
        return None
    drawn = generator(seed, "bootstrap", cases).integers(0, cases, (10_000, cases))
    logs = np.log(first / second)
    geometric = np.exp(logs[drawn].mean(axis=1))
    of_means = first[drawn].sum(axis=1) / second[drawn].sum(axis=1)
    low, high = np.quantile(geometric, [0.025, 0.975])
    means_low, means_high = np.quantile(of_means, [0.025, 0.975])
    return Ratio(
        float(np.exp(logs.mean())),
        float(low),
        float(high),
        float(first.sum() / second.sum()),
        float(means_low),
        float(means_high),
        cases,
    )


RESAMPLINGS = 10_000
"""Of a bootstrap."""
FEW = 64
"""Different values, up to which drawing their counts is the quicker way."""


def bootstrap_means(values: Sequence[float], *, seed: int = 0) -> NDArray[np.float64]:
    """Means [RESAMPLINGS] of as many values drawn from `values` with replacement.

    Where there are few different values, it is drawn how often each comes (multinomial), not case by case: the same
    distribution, in time and memory that the number of cases does not multiply.
    """
    different, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    cases = int(counts.sum())
    random = generator(seed, "bootstrap of a mean", cases)
    if len(different) <= FEW:
        drawn = random.multinomial(cases, counts / cases, RESAMPLINGS)
        return np.asarray(drawn @ different / cases, np.float64)
    ordered = np.repeat(different, counts)
    block = max(1, 2_000_000 // cases)
    starts = range(0, RESAMPLINGS, block)
    means = [
        ordered[random.integers(0, cases, (min(block, RESAMPLINGS - each), cases))].mean(axis=1) for each in starts
    ]
    return np.concatenate(means)


def mean_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The percentile interval of the mean by bootstrap (Efron 1979); no values give 0 to 1.

    Of paired differences it is the interval of a paired change. Equal values give an interval of no width: it knows
    of no case that was not seen.
    """
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(bootstrap_means(values, seed=seed), [0.025, 0.975])
    return float(low), float(high)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value (McNemar 1947) of `gained` cases that went from wrong to right against `lost` ones.

    Under no change each case that changed went either way with probability 1/2. Twice the smaller tail, at most 1.
    """
    changed = gained + lost
    tail = term = 1
    for count in range(1, min(gained, lost) + 1):
        term = term * (changed - count + 1) // count
        tail += term
    return min(1.0, 2 * tail / (1 << changed))
