"""Pictures of a guidance comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clew.core import plots
from clew.proofs.evaluation.guidance import Guidance, Trial

_COLOURS = {"enumeration": plots.OTHER, "model": plots.MODEL}


def draw_guidance(comparisons: Mapping[str, Guidance], path: Path) -> None:
    """Draw, for each set of theorems, the share proved against seconds and against proposals, into a PNG.

    Raises `ClewError` when matplotlib is not installed or the file cannot be written.
    """
    figure, grid = plots.figure(len(comparisons), 2, size=(11, 3.9 * len(comparisons)))
    for row, (title, guidance) in zip(grid, comparisons.items(), strict=True):
        for name, trials in guidance.trials.items():
            proved = [trial for trial in trials if trial.proved_in_seconds]
            row[0].step(*_climb([t.seconds for t in proved], guidance.budget.seconds, trials), **_style(name))
            proved = [trial for trial in trials if trial.proved_in_proposals]
            limit = float(guidance.budget.proposals)
            row[1].step(*_climb([float(t.proposals) for t in proved], limit, trials), **_style(name))
        row[0].set(xlabel="seconds", title=f"{title}: {guidance.theorems} theorems, equal seconds")
        row[1].set(xlabel="proposals judged", title=f"{title}: equal proposals", xscale="symlog")
        for axes in row:
            axes.set(ylabel="proved", ylim=(0, 1), xlim=(0, None))
            axes.yaxis.set_major_formatter("{x:.0%}")
            axes.legend(frameon=False, loc="upper left")
    plots.save_png(figure, path)


def _climb(costs: Sequence[float], limit: float, trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    """The share of `trials` proved at each cost, from 0 to `limit`."""
    ordered = sorted(costs)
    shares = [(index + 1) / len(trials) for index in range(len(ordered))]
    return [0.0, *ordered, limit], [0.0, *shares, shares[-1] if shares else 0.0]


def _style(name: str) -> dict[str, object]:
    label = {"enumeration": "without the model (enumeration)", "model": "with the model"}[name]
    return {"where": "post", "color": _COLOURS[name], "label": label, "linewidth": 1.8}
