"""From logits to tokens: temperature, top-k, top-p, and draws that depend on nothing but their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.core.randomness import generator

Floats = NDArray[np.floating[Any]]

BLOCK = 64
"""Tokens that are drawn among at once; about the square root of a vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; the defaults are those of the provers that use these bundles."""

    temperature: float = 0.8
    """Logits are divided by this; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the likeliest tokens whose probabilities together reach this, after `top_k`; 1: all."""
    top_k: int = 0
    """Only this many likeliest tokens; 0: all."""
    max_tokens: int = 100
    """Tokens after which a line that has not ended is given up."""
    seed: int = 0

    def __post_init__(self) -> None:
        for fine, sentence in (
            (0 <= self.temperature < float("inf"), f"The temperature must be 0 or more, not {self.temperature}."),
            (0 < self.top_p <= 1, f"top-p must be above 0 and at most 1, not {self.top_p}."),
            (self.top_k >= 0, f"top-k must be 0 (all tokens) or more, not {self.top_k}."),
            (self.max_tokens >= 1, f"A line needs at least one token: max-tokens is {self.max_tokens}."),
        ):
            if not fine:
                raise UsageError(sentence)


def log_normaliser(logits: Floats) -> NDArray[np.float64]:
    """Natural logarithm of the sum of e^logits over the last axis: a logit less this is a log-probability."""
    greatest = logits.max(axis=-1, keepdims=True)
    total = np.exp(logits - greatest).sum(axis=-1, dtype=np.float64)
    return np.asarray(np.log(total) + greatest[..., 0], np.float64)


def weights(logits: Floats, sampling: Sampling) -> NDArray[np.float64]:
    """Unnormalised probabilities [rows, vocab_size] of logits [rows, vocab_size]: temperature, then top-k, then top-p.

    Among equal logits the smaller id is the likelier one. Top-p keeps the token that reaches the sum (Holtzman et al.
    2020).
    """
    if sampling.temperature == 0:
        mass = np.zeros(logits.shape, np.float64)
        np.put_along_axis(mass, logits.argmax(axis=-1, keepdims=True), 1.0, axis=-1)
        return mass
    mass = logits.astype(np.float64)
    mass -= mass.max(axis=-1, keepdims=True)
    mass /= sampling.temperature
    np.exp(mass, out=mass)
    narrow = 0 < sampling.top_k < logits.shape[-1]
    if not narrow and sampling.top_p >= 1:
        return mass
    order = np.argsort(-logits, axis=-1, kind="stable")
    if narrow:
        np.put_along_axis(mass, order[..., sampling.top_k :], 0.0, axis=-1)
    if sampling.top_p < 1:
        ordered = np.take_along_axis(mass, order, axis=-1)
        before = np.cumsum(ordered, axis=-1) - ordered
        ordered[before >= sampling.top_p * ordered.sum(axis=-1, keepdims=True)] = 0.0
        np.put_along_axis(mass, order, ordered, axis=-1)
    return mass


def block_ends(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative weights [rows, blocks] at the end of each block of `BLOCK` tokens, for `draw`."""
    starts = np.arange(0, mass.shape[-1], BLOCK)
    return np.cumsum(np.add.reduceat(mass, starts, axis=-1), axis=-1)


def draw(mass: NDArray[np.float64], ends: NDArray[np.float64], uniform: float) -> int:
    """The token that `uniform` in [0, 1) falls on; never one of weight 0.

    `mass` [vocab_size] and `ends` [blocks] are one row of `weights` and of its `block_ends`. Only the block that is
    hit is summed token by token: summing a whole vocabulary in order takes longer than a layer of a small model.
    """
    target = uniform * ends[-1]
    block = _first_beyond(ends, target)
    before = ends[block - 1] if block else 0.0
    return block * BLOCK + _first_beyond(np.cumsum(mass[block * BLOCK : (block + 1) * BLOCK]), target - before)


def sample(logits: Floats, sampling: Sampling, uniform: float) -> int:
    """The token that `uniform` in [0, 1) falls on among `logits` [vocab_size], the likeliest first.

    For one row that has time; `draw` serves a batch. In the order of likelihood a slightly other model draws the same
    token more often than not.
    """
    mass = weights(logits[None], sampling)[0]
    order = np.argsort(-mass, kind="stable")
    cumulative = np.cumsum(mass[order])
    return int(order[_first_beyond(cumulative, uniform * cumulative[-1])])


def _first_beyond(cumulative: NDArray[np.float64], target: float) -> int:
    """First index where `cumulative` exceeds `target`; rounding may carry that to its end: then the last with mass."""
    last = np.searchsorted(cumulative, cumulative[-1], side="left")
    return int(min(np.searchsorted(cumulative, target, side="right"), last))


def uniforms(sampling: Sampling, attempt: int, rows: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) [rows, max_tokens]: each a function of the seed, the attempt, its row and its position."""
    return np.stack(
        [generator(sampling.seed, "sample", attempt, row).random(sampling.max_tokens) for row in range(rows)]
    )
