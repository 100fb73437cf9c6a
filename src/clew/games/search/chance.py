"""Random draws as functions of a seed, compiled: a stream of SplitMix64 (Steele, Lea and Flood 2014) for each seed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

_STRIDE = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def splitmix64(seed: np.uint64, position: int) -> np.uint64:
    """Word number `position`, from 0, of the stream of `seed`."""
    mixed = seed + _STRIDE * np.uint64(position + 1)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@njit(cache=True)
def hashed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """uint64[count]: the first word of each one's stream, as its hash."""
    found = np.empty_like(words)
    for index in range(len(words)):
        found[index] = splitmix64(words[index], 0)
    return found


@njit(cache=True)
def uniform_draw(seed: np.uint64, position: int) -> float:
    """Draw number `position` of the stream of `seed`: strictly between 0 and 1."""
    return (np.float64(splitmix64(seed, position) >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(cache=True)
def gumbel_draws(seed: np.uint64, count: int) -> npt.NDArray[np.float64]:
    """float64[count]: standard Gumbel draws."""
    draws = np.empty(count, np.float64)
    for index in range(count):
        draws[index] = -math.log(-math.log(uniform_draw(seed, index)))
    return draws


@njit(cache=True)
def dirichlet_draws(seed: np.uint64, alpha: float, count: int) -> npt.NDArray[np.float64]:
    """float64[count]: one draw of the symmetric Dirichlet distribution: Gamma(alpha) draws (Marsaglia and Tsang 2000)
    over their sum.
    """
    draws = np.empty(count, np.float64)
    position = 0
    total = 0.0
    shape = alpha + 1.0 - 1.0 / 3.0
    for index in range(count):
        while True:
            radius = math.sqrt(-2.0 * math.log(uniform_draw(seed, position)))
            normal = radius * math.cos(2.0 * math.pi * uniform_draw(seed, position + 1))
            bound = uniform_draw(seed, position + 2)
            position += 3
            cube = (1.0 + normal / math.sqrt(9.0 * shape)) ** 3
            if cube > 0.0 and math.log(bound) < 0.5 * normal * normal + shape * (1.0 - cube + math.log(cube)):
                break
        # Gamma(alpha) is Gamma(alpha + 1) times a uniform draw to the power 1 / alpha.
        draws[index] = shape * cube * uniform_draw(seed, position) ** (1.0 / alpha)
        position += 1
        total += draws[index]
    for index in range(count):
        # A small alpha may make all of them 0.
        draws[index] = draws[index] / total if total > 0.0 else 1.0 / count
    return draws
