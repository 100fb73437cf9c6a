"""What there is to say of a run in a line, and what differs between runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from clew.core.errors import ClewError
from clew.recipes import base as recipes
from clew.runs.checkpoints import find_checkpoint, read_state
from clew.runs.folder import RECIPE, STATS, Run
from clew.runs.history import Metrics, read_metrics


def headline(run: Run) -> dict[str, Any]:
    """Name, status, step, best score and its step, objective, creation time. Raises `ClewError` for broken metrics."""
    return _headline(run, read_metrics(run.folder))


def _headline(run: Run, metrics: Metrics) -> dict[str, Any]:
    best, best_step = _best(run, metrics)
    return {
        "run": run.folder.name,
        "status": run.status,
        "step": metrics.newest_step,
        "best": best,
        "best_step": best_step,
        "objective": run.manifest["objective"],
        "created_at": run.manifest["created_at"],
        "seconds_since_metrics": _age(run),
    }


def _best(run: Run, metrics: Metrics) -> tuple[float | None, int | None]:
    """The best score so far, as early stopping has it, and its step."""
    improved = [row["step"] for row in metrics.evaluations if row.get("improved") is True]
    try:
        progress = read_state(find_checkpoint(run.checkpoints)).get("progress")
    except ClewError:  # an improvement makes a checkpoint, so that one without the other was tampered with
        progress = None
    if not isinstance(progress, dict):
        return None, improved[-1] if improved else None
    return progress.get("best_score"), progress.get("best_step")


def _age(run: Run) -> float | None:
    stats = run.folder / STATS
    return round(datetime.now(UTC).timestamp() - stats.stat().st_mtime, 1) if stats.is_file() else None


def describe(run: Run) -> dict[str, Any]:
    """All that a run's folder says: headline, manifest, recipe, newest figures, evaluations, files."""
    metrics = read_metrics(run.folder)
    return {
        **_headline(run, metrics),
        "manifest": run.manifest,
        "recipe": recipes.read_yaml(run.folder / RECIPE),
        "newest_step": metrics.steps[-1] if metrics.steps else None,
        "evaluations": metrics.evaluations,
        "checkpoints": sorted(path.name for path in run.checkpoints.glob("step_*")),
        "reports": sorted(str(path.relative_to(run.folder)) for path in run.reports.rglob("*") if path.is_file()),
    }


def recipe_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The dotted keys whose values differ between the recipes of `runs`, with a value for each run."""
    settings = [recipes.flattened(recipes.read_yaml(run.folder / RECIPE)) for run in runs]
    keys = dict.fromkeys(key for setting in settings for key in setting)
    return {
        key: [setting.get(key) for setting in settings]
        for key in keys
        if len({json.dumps(setting.get(key), default=str) for setting in settings}) > 1
    }
