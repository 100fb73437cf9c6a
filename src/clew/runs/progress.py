"""Where a run stands, and what an evaluation found: plain data, whatever library trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clew.core.errors import EXIT_INTERRUPTED, ClewError


class InterruptedRunError(ClewError):
    """The user stopped the run; it was saved."""

    exit_code = EXIT_INTERRUPTED


@dataclass
class Progress:
    """Where a run stands. All of it is in every checkpoint."""

    step: int = 0
    items_seen: int = 0
    best_score: float | None = None
    best_step: int | None = None
    evaluations_without_improvement: int = 0
    ended: str | None = None
    """Why training is over: "finished" or "stopped early"; None while it goes on."""

    def take(self, evaluation: Evaluation, *, patience: int) -> bool:
        """Take in an evaluation at this step; return whether it is the best so far.

        After `patience` evaluations without improvement training has ended; 0: never.
        """
        improved = evaluation.improves_on(self.best_score)
        if improved:
            self.best_score, self.best_step = evaluation.score, self.step
            self.evaluations_without_improvement = 0
        else:
            self.evaluations_without_improvement += 1
            if 0 < patience <= self.evaluations_without_improvement:
                self.ended = "stopped early"
        return improved


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures; early stopping watches the one that `watched` names."""

    figures: Mapping[str, float]
    watched: str
    higher_is_better: bool = False
    samples: tuple[str, ...] = field(default=())
    """Text for the eye."""

    @property
    def score(self) -> float:
        """The figure that is watched."""
        return self.figures[self.watched]

    def improves_on(self, best: float | None) -> bool:
        """Whether the score is better than `best`; any is better than none."""
        return best is None or (self.score > best if self.higher_is_better else self.score < best)
