"""Two evaluations of the same questions, paired by id: whether they may be compared, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clew.core.intervals import mcnemar, mean_interval, wilson
from clew.traces.schema import InvalidError

SHOWN = 3
"""Ids that a sentence names of many."""


def is_binary(scores: Sequence[float]) -> bool:
    """Whether each score is 0 or 1, right or wrong."""
    return all(score in (0.0, 1.0) for score in scores)


@dataclass(frozen=True)
class Mean:
    """A mean score with its 95% interval: Wilson's where every score is 0 or 1, else by bootstrap."""

    value: float
    low: float
    high: float


def mean_of(scores: Sequence[float], *, binary: bool | None = None) -> Mean:
    """The mean of scores; none give 0 within 0 to 1. `binary`: whether they are right or wrong (None: see)."""
    exact = is_binary(scores) if binary is None else binary
    low, high = wilson(sum(scores), len(scores)) if exact else mean_interval(scores)
    return Mean(sum(scores) / len(scores) if scores else 0.0, low, high)


@dataclass(frozen=True)
class Change:
    """What changed from one evaluation of some questions to another."""

    examples: int
    before: Mean
    after: Mean
    change: float
    """Mean of the differences, question by question."""
    low: float
    """95% interval of `change`, by bootstrap of the questions."""
    high: float
    better: int
    """Questions with a higher score after; of right and wrong answers, those that went from wrong to right."""
    worse: int
    same: int
    p_value: float
    """Two-sided and exact, of `better` against `worse`: McNemar's test, the sign test where scores are graded."""
    binary: bool
    """Whether each score is 0 or 1."""


def change_between(
    before: Sequence[float], after: Sequence[float], *, seed: int = 0, binary: bool | None = None
) -> Change:
    """Compare scores [questions] with others of the same questions in the same order.

    `binary`: whether the set that these are a part of has right and wrong answers only (None: these are all).
    """
    right_or_wrong = is_binary(before) and is_binary(after) if binary is None else binary
    differences = [new - old for old, new in zip(before, after, strict=True)]
    better, worse = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    low, high = mean_interval(differences, seed=seed) if differences else (-1.0, 1.0)
    first, second = mean_of(before, binary=right_or_wrong), mean_of(after, binary=right_or_wrong)
    return Change(
        examples=len(differences),
        before=first,
        after=second,
        change=sum(differences) / len(differences) if differences else 0.0,
        low=low,
        high=high,
        better=better,
        worse=worse,
        same=len(differences) - better - worse,
        p_value=mcnemar(better, worse),
        binary=right_or_wrong,
    )


def check_same_questions(
    before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]], names: tuple[str, str]
) -> None:
    """Raise `InvalidError` saying what differs, unless both hold the same ids and with each id the same.

    The values are the prompt and the expected answer of a question, or hashes of these; `names` are those of the two.
    """
    different = [
        ("only in the first", [each for each in before if each not in after]),
        ("only in the second", [each for each in after if each not in before]),
        ("with another prompt", [each for each in before if each in after and before[each][0] != after[each][0]]),
        ("with another expected answer", [e for e in before if e in after and before[e][1:] != after[e][1:]]),
    ]
    told = "; ".join(f"{len(ids)} {what} ({_some(ids)})" for what, ids in different if ids)
    if told:
        raise InvalidError(
            f"{names[0]} and {names[1]} are evaluations of different questions, so no change can be told: {told}. "
            "Evaluate both on one eval set, with one --max-examples and one --seed."
        )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(each[:40] for each in ids[:SHOWN])
    return f"{shown}, ..." if len(ids) > SHOWN else shown
