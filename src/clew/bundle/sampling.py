"""From logits to tokens: temperature, top-k, top-p, and draws that depend on nothing but their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.core.randomness import generator

Floats = NDArray[np.floating[Any]]


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


def log_softmax(logits: Floats) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float64)


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


def draw(cumulative: NDArray[np.float64], uniform: float) -> int:
    """The token that `uniform` in [0, 1) falls on, by the cumulative weights [vocab_size]; never one of weight 0."""
    total = cumulative[-1]
    token = np.searchsorted(cumulative, uniform * total, side="right")
    # Rounding may carry uniform * total to the total itself.
    return int(min(token, np.searchsorted(cumulative, total, side="left")))


def uniforms(sampling: Sampling, attempt: int, rows: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) [rows, max_tokens]: each a function of the seed, the attempt, its row and its position."""
    return np.stack(
        [generator(sampling.seed, "sample", attempt, row).random(sampling.max_tokens) for row in range(rows)]
    )
