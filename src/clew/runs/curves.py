"""Curves of runs: training loss, and the held-out score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clew.core.plots import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clew.runs.folder import Run


def draw(runs: Sequence[Run]) -> Figure:
    """Training loss and held-out figures of `runs` against the step, side by side. Raises `ClewError`."""
    made: Figure
    made, grid = figure(columns=2, size=(11, 4.2))
    left, right = grid[0]
    names = []
    for run in runs:
        steps, evaluations = run.metrics(), run.evaluations()
        if "loss" in steps:
            left.plot(steps["step"], steps["loss"], linewidth=1, label=run.folder.name)
        name = run.manifest.get("watched") or next((name for name in evaluations if name != "step"), None)
        if name in evaluations:
            names.append(name)
            right.plot(evaluations["step"], evaluations[name], marker="o", markersize=3, label=run.folder.name)
    left.set(xlabel="step", ylabel="training loss", title="training")
    right.set(xlabel="step", ylabel=" / ".join(dict.fromkeys(names)).replace("_", " "), title="held out")
    if left.lines:
        left.legend(fontsize=8, frameon=False)
    return made
