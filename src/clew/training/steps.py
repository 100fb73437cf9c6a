"""What one optimiser step came to, and what takes it."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

from clew.training.optimizers import Optimizer


class Step(NamedTuple):
    """What one optimiser step came to."""

    means: dict[str, float]
    """The loss, and where the step is logged the parts it is made of; empty where the batch weighed nothing."""
    gradient_norm: float
    """Before clipping."""
    items: int
    stops: bool
    """Whether any process was asked to stop."""


class Steps(Protocol):
    """What takes the optimiser's steps. While it trains, weights and moments may lie with it alone; whoever reads them
    out of the objective's model and out of `Optimizer` has them given back before."""

    def begin(self, optimizer: Optimizer) -> None:
        """Take the weights out of the objective's model and the moments out of `optimizer`, new or restored."""

    def take(self, optimizer: Optimizer, step: int, rate: float, *, logs: bool, stop: threading.Event) -> Step:
        """Take the step `step` (0-based) at `rate` times the peak learning rate."""

    def give_back(self, optimizer: Optimizer) -> None:
        """Put weights and moments as they now are into the objective's model and into `optimizer`."""
