"""Curves of runs: training loss, and the held-out score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clew.core.plots import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Curves:
    """What there is to draw of one run: its steps and evaluations as arrays, each with a column "step"."""

    label: str
    steps: Columns
    evaluations: Columns
    watched: str | None
    """The figure that early stopping watched; None where the run does not say."""


def draw(runs: Sequence[Curves]) -> Figure:
    """Training loss and held-out score of `runs` against the step, side by side. Raises `ClewError`."""
    made: Figure
    made, grid = figure(columns=2, size=(11, 4.2))
    left, right = grid[0]
    names: list[str] = []
    for run in runs:
        if "loss" in run.steps:
            left.plot(run.steps["step"], run.steps["loss"], linewidth=1, label=run.label)
        name = run.watched or next((name for name in run.evaluations if name != "step"), "")
        if name in run.evaluations:
            names.append(name)
            right.plot(run.evaluations["step"], run.evaluations[name], marker="o", markersize=3, label=run.label)
    left.set(xlabel="step", ylabel="training loss", title="training")
    right.set(xlabel="step", ylabel=" / ".join(dict.fromkeys(names)).replace("_", " "), title="held out")
    if left.lines:
        left.legend(fontsize=8, frameon=False)
    return made
