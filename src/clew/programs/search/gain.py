"""What a guide is worth to the search: the same problems with it and without it, paired problem by problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clew.core.errors import UsageError
from clew.core.intervals import Ratio, Share, mcnemar, mean_interval, paired_ratio, share
from clew.programs.guidance import Guide
from clew.programs.search.guided import search
from clew.programs.search.problem import Budget, Found, Problem


@dataclass(frozen=True)
class Gain:
    """Two searches of the same problems under the same budget; the first is the baseline."""

    names: tuple[str, ...]
    baseline: tuple[Found, ...]
    guided: tuple[Found, ...]
    nodes_ratio: Ratio | None
    """Nodes of the baseline over those of the guided search, on problems both solve; None where there is none."""
    seconds_ratio: Ratio | None
    """The same of seconds; the guided search's hold its questions to the model."""
    solved_baseline: Share
    solved_guided: Share
    solved_difference: float
    """Share solved with the guide minus the share solved without, within the same budget."""
    solved_difference_low: float
    solved_difference_high: float
    gained: int
    """Problems that only the guided search solves."""
    lost: int
    """Problems that only the baseline solves."""
    p_value: float
    """Of `gained` against `lost`, McNemar's exact test."""

    @property
    def both(self) -> int:
        """Problems that both solve."""
        return sum(one.solved and two.solved for one, two in zip(self.baseline, self.guided, strict=True))


def run_all(
    problems: Sequence[Problem],
    guide: Guide | None = None,
    *,
    budget: Budget,
    how: str = "auto",
    progress: Callable[[int, Found], None] | None = None,
) -> tuple[Found, ...]:
    """Search for each problem in turn, on one core, each within the whole `budget`; `progress` is told of each."""
    found = []
    for place, problem in enumerate(problems):
        found.append(search(problem, guide, how=how, budget=budget))
        if progress is not None:
            progress(place, found[-1])
    return tuple(found)


def compare(
    problems: Sequence[Problem],
    guide: Guide,
    *,
    budget: Budget,
    how: str = "auto",
    baseline: Sequence[Found] | None = None,
    progress: Callable[[int, Found], None] | None = None,
) -> Gain:
    """Run both searches on `problems`, alternating, so that a busy machine does harm to both.

    `baseline`: what an earlier run of the same problems and budget gave, so that several guides are held against one.
    """
    first: list[Found] = []
    second: list[Found] = []
    for place, problem in enumerate(problems):
        first.append(search(problem, how="enumerate", budget=budget) if baseline is None else baseline[place])
        second.append(search(problem, guide, how=how, budget=budget))
        if progress is not None:
            progress(place, second[-1])
    return paired([problem.name for problem in problems], first, second)


def paired(names: Sequence[str], baseline: Sequence[Found], guided: Sequence[Found]) -> Gain:
    """The figures of two lists of outcomes. Raises `UsageError` unless they are of the same problems."""
    if not len(names) == len(baseline) == len(guided):
        raise UsageError(f"{len(baseline)} outcomes cannot be paired with {len(guided)}.")
    both = [(one, two) for one, two in zip(baseline, guided, strict=True) if one.solved and two.solved]
    nodes = np.array([[one.nodes, two.nodes] for one, two in both], np.float64).reshape(-1, 2)
    seconds = np.array([[one.seconds, two.seconds] for one, two in both], np.float64).reshape(-1, 2)
    differences = [float(two.solved) - float(one.solved) for one, two in zip(baseline, guided, strict=True)]
    low, high = mean_interval(differences)
    gained, lost = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    return Gain(
        names=tuple(names),
        baseline=tuple(baseline),
        guided=tuple(guided),
        nodes_ratio=paired_ratio(nodes[:, 0], nodes[:, 1]),
        seconds_ratio=paired_ratio(seconds[:, 0], seconds[:, 1]),
        solved_baseline=share(sum(each.solved for each in baseline), len(names)),
        solved_guided=share(sum(each.solved for each in guided), len(names)),
        solved_difference=float(np.mean(differences)) if differences else 0.0,
        solved_difference_low=low if differences else 0.0,
        solved_difference_high=high if differences else 0.0,
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
    )
