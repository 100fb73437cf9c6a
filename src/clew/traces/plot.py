"""Picture of a delta report: averages before and after with their intervals, and the change, of all and by group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clew.core import plots
from clew.traces.paired import Change

MOST_ROWS = 24
"""Groups that a picture has room for; the tables have all."""


def draw_changes(summary: Change, groups: Mapping[str, Mapping[str, Change]], path: Path) -> None:
    """Draw the change of all and of each group into a PNG.

    Raises `ClewError` when matplotlib is not installed or the file cannot be written.
    """
    rows = _rows(summary, groups)
    figure, grid = plots.figure(1, 2, size=(11, 1.6 + 0.42 * len(rows)))
    left, right = grid[0]
    scale = 100 if summary.binary else 1
    for place, (label, change) in enumerate(rows):
        height = -float(place)
        bold = {"fontweight": "bold"} if place == 0 else {}
        left.text(-0.02, height, label, ha="right", va="center", transform=left.get_yaxis_transform(), **bold)
        left.plot([scale * change.before.value, scale * change.after.value], [height] * 2, color="#d6d3d1", lw=2)
        for mean, colour, shift in ((change.before, plots.OTHER, 0.12), (change.after, plots.MODEL, -0.12)):
            left.plot([scale * mean.low, scale * mean.high], [height + shift] * 2, color=colour, lw=1.6)
            left.plot(scale * mean.value, height + shift, "o", color=colour, ms=5)
        right.plot([scale * change.low, scale * change.high], [height] * 2, color=plots.MODEL, lw=1.6)
        right.plot(scale * change.change, height, "o", color=plots.MODEL, ms=5)
    right.axvline(0, color="#57534e", lw=1)
    unit = "% right" if summary.binary else "average score"
    left.set(xlabel=unit, title=f"before (grey) and after, {summary.examples} examples")
    left.set_xlim(-0.02 * scale, 1.02 * scale)
    right.set(xlabel="points" if summary.binary else "score", title="change, 95% by paired bootstrap")
    for axes in (left, right):
        axes.set_yticks([])
        axes.set_ylim(-len(rows) + 0.4, 0.6)
    plots.save_png(figure, path)


def _rows(summary: Change, by: Mapping[str, Mapping[str, Change]]) -> list[tuple[str, Change]]:
    rows = [("all", summary)]
    for kind, groups in by.items():
        if len(groups) > 1 and len(rows) + len(groups) <= MOST_ROWS:
            rows += [(f"{kind} {_shown(label)}", change) for label, change in groups.items()]
    return rows


def _shown(label: str) -> str:
    # A dollar sign would begin a formula, and a font has no control characters.
    plain = "".join(each if each.isprintable() else "?" for each in label[:24])
    return plain.replace("$", r"\$")
