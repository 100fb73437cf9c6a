"""Confidence intervals, 95% each."""

from __future__ import annotations

import math
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
