"""What a run came to, in a few figures, for a program that started it."""

from __future__ import annotations

from typing import Any

from clew.core import files
from clew.recipes.base import Recipe
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import STATS, Run
from clew.runs.history import read_metrics
from clew.runs.progress import Progress

_WITHOUT_EPOCHS = 10
"""Where steps were planned, not epochs, figures are of the last tenth of them."""
ACCURACY = "accuracy"
"""Part of a loss that is summed up beside it, as mean_accuracy."""


def of_last_epoch(run: Run, progress: Progress, recipe: Recipe) -> dict[str, Any]:
    """Epochs, steps, mean loss (and accuracy, where one is logged) of the last epoch's logged steps, the newest
    checkpoint and the last held-out figures.

    Means are not of the whole run: it began with a model that knew nothing. `epochs` is None where steps were planned.
    """
    found = read_metrics(run.folder)
    planned = files.read_json(run.folder / STATS, what="the state of a run").get("total_steps") or progress.step
    epochs = None if recipe.training.max_steps else recipe.training.max_epochs
    length = planned / epochs if epochs and epochs > 1 else planned / (1 if epochs else _WITHOUT_EPOCHS)
    last = [row for row in found.steps if row["step"] > progress.step - length] or found.steps[-1:]
    means = {f"mean_{name}": _mean(last, name) for name in ("loss", ACCURACY) if any(name in row for row in last)}
    passed = None if epochs is None else epochs * progress.step / planned
    return {
        "epochs": int(passed) if passed is not None and passed.is_integer() else passed,
        "steps": progress.step,
        **means,
        "checkpoint": str(find_checkpoint(run.checkpoints)),
        "run": str(run.folder),
        "held_out": dict(found.evaluations[-1]["evaluation"]) if found.evaluations else {},
    }


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    values = [float(row[name]) for row in rows if name in row]
    return sum(values) / len(values)
