"""What the four heads of a guide are worth on states of tasks that it never saw, each against what needs no model.

Every figure has a constant name. The states of one task are not independent of one another, so intervals come from
drawing tasks, not states (cluster bootstrap; Field and Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clew.core.randomness import generator

Floats = NDArray[np.float64]
NO_ACTION = -1
"""Label of a state in which no demonstration acted: the policy is not asked there."""
RESAMPLINGS = 500
TOP = 5


class Said(Protocol):
    """What a guide says of states: `clew.bundle.guide.Scores`."""

    @property
    def policy_logits(self) -> NDArray[np.float32]:
        """[n, actions]"""

    @property
    def value(self) -> NDArray[np.float32]:
        """[n]"""

    @property
    def guard_logits(self) -> NDArray[np.float32]:
        """[n]"""

    @property
    def latency(self) -> NDArray[np.float32]:
        """[n]"""


@dataclass(frozen=True)
class Labels:
    """What is true of states, by row."""

    actions: NDArray[np.int64]
    """[n] what the demonstration did; `NO_ACTION` where there is none."""
    legal: NDArray[np.bool_]
    """[n, actions]"""
    values: NDArray[np.float32]
    """[n] 1: solved from here within the budget, 0: not; NaN: not known."""
    guards: NDArray[np.float32]
    """[n] 1: this completion fails a contract or an error stops it, 0: not; NaN: not known."""
    latencies: NDArray[np.float32]
    """[n] log1p of the finished program's steps, scaled; NaN: not known."""
    contexts: NDArray[np.int64]
    """[n] which place the hole is in."""
    tasks: NDArray[np.int64]
    """[n] which task a state is of: states of one task belong together."""

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Figure:
    """A figure with its 95% interval, and of how many states it is."""

    value: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True)
class Frequencies:
    """How often each action was demonstrated in training: what a guess without a model goes by."""

    counts: Floats
    """[contexts, actions]"""

    @classmethod
    def of(cls, actions: NDArray[np.int64], contexts: NDArray[np.int64], shape: tuple[int, int]) -> Frequencies:
        """Count training rows; those without an action do not count."""
        counts = np.zeros(shape)
        acted = actions != NO_ACTION
        np.add.at(counts, (contexts[acted], actions[acted]), 1.0)
        return cls(counts)


Weigh = Callable[[Floats], float]
"""A figure of rows that are weighed [n]."""


def figures(said: Said, labels: Labels, frequencies: Frequencies) -> dict[str, float]:
    """Every figure by its name, all states alike."""
    ones = np.ones(len(labels))
    return {name: weigh(ones) for name, (weigh, _) in _measures(said, labels, frequencies).items()}


def policy_accuracy(said: Said, labels: Labels) -> float:
    """How often the legal action that is rated highest is the one that was demonstrated."""
    scores = np.where(labels.legal, said.policy_logits, -np.inf)
    acted = labels.actions != NO_ACTION
    return float((scores.argmax(axis=1) == labels.actions)[acted].mean()) if acted.any() else 0.0


def figures_with_intervals(
    said: Said,
    labels: Labels,
    frequencies: Frequencies,
    *,
    seed: int = 0,
    resamplings: int = RESAMPLINGS,
    only: Sequence[str] = (),
) -> dict[str, Figure]:
    """Every figure by its name, or those of `only`, with the percentile interval of resampled tasks."""
    measures = _measures(said, labels, frequencies)
    measures = {name: each for name, each in measures.items() if not only or name in only}
    _, rows = np.unique(labels.tasks, return_inverse=True)
    count = int(rows.max()) + 1 if len(rows) else 0
    random = generator(seed, "resampled tasks", count)
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(resamplings if count else 0):
        weights = random.multinomial(count, np.full(count, 1.0 / count)).astype(np.float64)[rows]
        for name, (weigh, _) in measures.items():
            drawn[name].append(weigh(weights))
    found = {}
    for name, (weigh, cases) in measures.items():
        spread = [each for each in drawn[name] if np.isfinite(each)] or [0.0]
        low, high = np.quantile(spread, [0.025, 0.975])
        found[name] = Figure(weigh(np.ones(len(labels))), float(low), float(high), cases)
    return found


def _measures(said: Said, labels: Labels, frequencies: Frequencies) -> Mapping[str, tuple[Weigh, int]]:
    acted = np.flatnonzero(labels.actions != NO_ACTION)
    valued, guarded, timed = (
        np.flatnonzero(np.isfinite(each)) for each in (labels.values, labels.guards, labels.latencies)
    )
    right = labels.actions[acted]
    legal = labels.legal[acted]
    scores = np.where(legal, said.policy_logits[acted], -np.inf)
    overall = np.where(legal, frequencies.counts.sum(axis=0), -1.0)
    in_context = np.where(legal, frequencies.counts[labels.contexts[acted]] + overall * 1e-9, -1.0)
    of_right = np.take_along_axis(scores, right[:, None], axis=1)
    return {
        "policy_accuracy": (_mean(acted, scores.argmax(axis=1) == right), len(acted)),
        "policy_top5": (_mean(acted, (scores > of_right).sum(axis=1) < TOP), len(acted)),
        "majority_accuracy": (_mean(acted, overall.argmax(axis=1) == right), len(acted)),
        "context_majority_accuracy": (_mean(acted, in_context.argmax(axis=1) == right), len(acted)),
        "chance_accuracy": (_mean(acted, 1.0 / legal.sum(axis=1)), len(acted)),
        "guard_auc": (_auc(guarded, said.guard_logits[guarded], labels.guards[guarded]), len(guarded)),
        "guard_share": (_mean(guarded, labels.guards[guarded]), len(guarded)),
        "value_auc": (_auc(valued, said.value[valued], labels.values[valued]), len(valued)),
        "value_share": (_mean(valued, labels.values[valued]), len(valued)),
        "value_explained_variance": (_explained(valued, said.value[valued], labels.values[valued]), len(valued)),
        "latency_explained_variance": (_explained(timed, said.latency[timed], labels.latencies[timed]), len(timed)),
    }


def _mean(rows: NDArray[np.int64], values: NDArray[np.generic]) -> Weigh:
    numbers = values.astype(np.float64)

    def weigh(weights: Floats) -> float:
        total = weights[rows].sum()
        return float(weights[rows] @ numbers / total) if total else 0.0

    return weigh


def _auc(rows: NDArray[np.int64], scores: NDArray[np.float32], labels: NDArray[np.float32]) -> Weigh:
    """The chance that a positive is scored above a negative, ties as half (the area under the ROC curve)."""
    order = np.argsort(scores, kind="stable")
    positive = labels[order] > 0.5
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.float32(np.nan)) != 0)
    sorted_rows = rows[order]

    def weigh(weights: Floats) -> float:
        if not len(starts):
            return 0.5
        ours = weights[sorted_rows]
        ups = np.add.reduceat(ours * positive, starts)
        downs = np.add.reduceat(ours * ~positive, starts)
        pairs = ups.sum() * downs.sum()
        below = np.cumsum(downs) - downs
        return float((ups * (below + downs / 2)).sum() / pairs) if pairs else 0.5

    return weigh


def _explained(rows: NDArray[np.int64], found: NDArray[np.float32], true: NDArray[np.float32]) -> Weigh:
    """1 less the mean squared error over the variance: 0 for who always says the mean, 1 for who is always right."""
    right = true.astype(np.float64)
    errors = (found.astype(np.float64) - right) ** 2

    def weigh(weights: Floats) -> float:
        ours = weights[rows]
        total = ours.sum()
        if not total:
            return 0.0
        variance = ours @ (right - ours @ right / total) ** 2
        return float(1.0 - ours @ errors / variance) if variance else 0.0

    return weigh
