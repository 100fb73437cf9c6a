"""A picture of Elo ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clew.core import plots


def draw_elo(
    names: Sequence[str],
    elo: Sequence[float],
    errors: Sequence[float],
    steps: Sequence[int | None],
    path: Path,
    *,
    title: str,
    anchor: str,
) -> None:
    """Draw ratings with their 95% bars into a PNG: against the training steps where three or more models tell theirs,
    in `steps`, with all others as lines across; else a row for each player, the best at the top.

    Raises `ClewError` when matplotlib is not installed or the file cannot be written.
    """
    trained = sorted((step, index) for index, step in enumerate(steps) if step is not None)
    over_steps = len({step for step, _ in trained}) >= 3 and len({step for step, _ in trained}) == len(trained)
    figure, ((axes,),) = plots.figure(size=(8, 4.5 if over_steps else 1.4 + 0.36 * len(names)))
    bars: dict[str, Any] = {"fmt": "o", "capsize": 3, "markersize": 5, "elinewidth": 1.4}
    label, title = "Elo, with 95% intervals", f"{title} (0: {anchor})"
    if over_steps:
        models = [index for _, index in trained]
        axes.errorbar(
            [step for step, _ in trained],
            [elo[index] for index in models],
            [errors[index] for index in models],
            color=plots.MODEL,
            linestyle="-",
            linewidth=1.6,
            **bars,
        )
        for index in sorted(set(range(len(names))) - set(models)):
            axes.axhline(elo[index], color=plots.OTHER, linestyle="--", linewidth=1.2)
            axes.annotate(
                names[index], (1.0, elo[index]), xycoords=("axes fraction", "data"), xytext=(6, 0),
                textcoords="offset points", ha="left", va="center", color=plots.OTHER,
            )  # fmt: skip
        axes.set(xlabel="training step", ylabel=label, title=title)
    else:
        for row, index in enumerate(sorted(range(len(names)), key=lambda each: elo[each])):
            colour = plots.OTHER if steps[index] is None and not names[index].endswith(".onnx") else plots.MODEL
            axes.errorbar(elo[index], row, xerr=errors[index], color=colour, **bars)
        axes.set_yticks(range(len(names)), [names[each] for each in sorted(range(len(names)), key=lambda e: elo[e])])
        axes.set(xlabel=label, title=title)
        axes.grid(visible=False, axis="y")
    plots.save_png(figure, path)
