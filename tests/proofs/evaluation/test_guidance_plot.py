"""The picture of a comparison: its curves rise, and none goes back in time."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from clew.core.errors import UsageError
from clew.core.intervals import share
from clew.proofs.evaluation import plot
from clew.proofs.evaluation.guidance import Budget, Guidance, Trial, try_theorem
from clew.proofs.search import search
from clew.proofs.terms import parse_equation
from clew.proofs.theorems import Theorem
from clew.proofs.theories import THEORIES

BUDGET = Budget(proposals=50, seconds=0.5)


def guidance(trials: dict[str, list[Trial]]) -> Guidance:
    shares = {name: share(sum(trial.proved for trial in each), len(each)) for name, each in trials.items()}
    return Guidance(BUDGET, len(trials["model"]), shares, shares, None, dict.fromkeys(trials, 0), trials)


class Late:
    """Proposes the proof, after as many useless lines and as long as it is told."""

    def __init__(self, monkeypatch, useless: int, seconds: float) -> None:
        self.clock, self.seconds, self.useless = 0.0, seconds, useless
        timed = functools.partial(search, clock=lambda: self.clock)
        monkeypatch.setattr("clew.proofs.evaluation.guidance.search", timed)

    def begin(self, derivation) -> None:
        self.rounds = iter([["a = a"] * self.useless, ["a * 1 = a"]])

    def propose(self):
        lines = next(self.rounds, [])
        self.clock += self.seconds
        return lines

    def accepted(self, line, equation) -> None: ...

    def rejected(self, line, reason) -> None: ...


@pytest.mark.parametrize("seconds", [0.1, 0.24, 0.3, 0.6, 6.0])
def test_no_curve_goes_back_in_time(seconds, tmp_path: Path, monkeypatch):
    theorem = Theorem("t", THEORIES["monoid"], ("a",), parse_equation("a * 1 = a"))
    trials = [try_theorem(theorem, Late(monkeypatch, useless, seconds), BUDGET) for useless in (3, 30, 48, 80)]
    assert any(trial.proved_in_seconds for trial in trials) == (seconds < 0.25)  # two rounds: later is too late
    drawn = []
    monkeypatch.setattr(plot.plots, "save_png", lambda figure, path: drawn.append(figure))
    plot.draw_guidance({"new": guidance({"enumeration": trials, "model": trials[:2]})}, tmp_path / "guidance.png")
    for axes, end in zip(drawn[0].axes, (BUDGET.seconds, BUDGET.proposals), strict=True):
        assert len(axes.lines) == 2
        for line in axes.lines:
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            assert (np.diff(x) >= 0).all()
            assert (np.diff(y) >= 0).all()
            assert (x[0], x[-1]) == (0, end)


def test_a_picture_replaces_no_other_file(tmp_path: Path):
    path = tmp_path / "guidance.png"
    trial = Trial("t", True, True, 3, 0.1, False)
    for _ in range(2):
        plot.draw_guidance({"new": guidance({"enumeration": [trial], "model": [trial]})}, path)
    path.write_text("mine")
    with pytest.raises(UsageError, match="is not a picture"):
        plot.draw_guidance({"new": guidance({"enumeration": [trial], "model": [trial]})}, path)
