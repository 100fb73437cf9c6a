"""`clew runs list|show|compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from clew.cli import flags
from clew.cli.main import Commands, dispatch
from clew.core.errors import EXIT_DONE, ClewError, UsageError
from clew.recipes import base as recipes
from clew.runs.folder import METRICS, RECIPE, STATS, Run, find_run, list_runs
from clew.runs.metrics import print_json

COMMANDS: Commands = {
    "list": ("clew.cli.runs.listing:list_command", "the runs of a folder, a line each"),
    "show": ("clew.cli.runs.listing:show_command", "one run: manifest, recipe, newest figures"),
    "compare": ("clew.cli.runs.listing:compare_command", "what differs between runs, and a PNG of their curves"),
}


class ListOptions(flags.Options):
    """List the runs, oldest first."""

    runs_dir: Path = Path("runs")
    """Folder of the runs."""
    as_json: flags.Json = False
    """Print the list as one JSON document, the last line of stdout."""


class ShowOptions(flags.Options):
    """Show one run."""

    run: flags.Positional[str | None] = None
    """Folder, name or beginning of the name of the run; the newest if not given."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""
    as_json: flags.Json = False
    """Print it as one JSON document, the last line of stdout."""


class CompareOptions(flags.Options):
    """Compare runs: recipe keys and figures that differ, and their curves in one picture."""

    runs: flags.Positional[tuple[str, ...]]
    """Two runs or more: folders, names or beginnings of names."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""
    plot: Path = Path("runs-compare.png")
    """The picture that is written."""
    as_json: flags.Json = False
    """Print the comparison as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """List, show and compare runs."""
    return dispatch(COMMANDS, arguments, program="clew runs", about="List, show and compare runs.")


def list_command(arguments: list[str]) -> int:
    """Print a table of the runs."""
    options = flags.parse(ListOptions, arguments, program="clew runs list")
    rows = [_headline(run) for run in list_runs(options.runs_dir)]
    if options.as_json:
        print_json(rows)
        return EXIT_DONE
    if not rows:
        print(f"There are no runs in {options.runs_dir}. `clew train tactics --data-dir DIR` starts one.")
        return EXIT_DONE
    _print_table(["run", "status", "step", "best", "at step", "objective"], [list(row.values())[:6] for row in rows])
    return EXIT_DONE


def show_command(arguments: list[str]) -> int:
    """Print one run."""
    options = flags.parse(ShowOptions, arguments, program="clew runs show")
    run = find_run(options.run, options.runs_dir)
    steps, evaluations = read_metrics(run)
    shown = {
        **_headline(run),
        "manifest": run.manifest,
        "recipe": recipes.read_yaml(run.folder / RECIPE),
        "newest_step": steps[-1] if steps else None,
        "evaluations": evaluations,
        "checkpoints": sorted(path.name for path in run.checkpoints.glob("step_*")),
        "reports": sorted(str(path.relative_to(run.folder)) for path in run.reports.rglob("*") if path.is_file()),
    }
    if options.as_json:
        print_json(shown)
        return EXIT_DONE
    print(f"run {run.folder} ({run.manifest['status']})")
    for name in ("created_at", "objective", "seed", "git_sha", "dirty", "parent", "recipe_sha256"):
        print(f"  {name:<14} {run.manifest.get(name)}")
    evidence = run.manifest["evidence"]
    print(f"  {'evidence':<14} {evidence['kind']} in {evidence['path']} ({evidence['sha256'][:12]})")
    print(f"  {'device':<14} {run.manifest.get('device')}")
    print(f"  {'checkpoints':<14} {', '.join(shown['checkpoints']) or 'none'}")
    if steps:
        print("newest step    " + "  ".join(f"{name} {_short(value)}" for name, value in steps[-1].items()))
    rows = [[row["step"], *row["evaluation"].values(), "best" if row["improved"] else ""] for row in evaluations]
    if rows:
        _print_table(["step", *evaluations[-1]["evaluation"], ""], rows)
    print((run.folder / RECIPE).read_text(encoding="utf-8"), end="")
    return EXIT_DONE


def compare_command(arguments: list[str]) -> int:
    """Print what differs between runs and draw their curves."""
    options = flags.parse(CompareOptions, arguments, program="clew runs compare")
    if len(options.runs) < 2:
        raise UsageError("clew runs compare needs two runs or more; `clew runs list` shows them.")
    runs = [find_run(name, options.runs_dir) for name in options.runs]
    settings = [_flatten(recipes.read_yaml(run.folder / RECIPE)) for run in runs]
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    differing = {
        key: [setting.get(key) for setting in settings]
        for key in keys
        if len({json.dumps(setting.get(key)) for setting in settings}) > 1
    }
    figures = [_headline(run) for run in runs]
    draw_curves(runs, options.plot)
    if options.as_json:
        print_json({"runs": figures, "recipe_differences": differing, "plot": str(options.plot)})
        return EXIT_DONE
    rows = [[name, *(figure[name] for figure in figures)] for name in ("status", "step", "best", "best_step")]
    rows += [[key, *values] for key, values in differing.items()]
    _print_table(["", *(run.folder.name for run in runs)], rows)
    print(f"curves: {options.plot}")
    return EXIT_DONE


def read_metrics(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The logged steps and the evaluations of a run. Raises `ClewError` naming a line that is no JSON."""
    path = run.folder / METRICS
    steps: list[dict[str, Any]] = []
    evaluations: list[dict[str, Any]] = []
    if not path.is_file():
        return steps, evaluations
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # the line that a kill cut short
                break
            raise ClewError(f"{path}:{number}: not a line of metrics ({error}). Was the file edited?") from error
        (evaluations if "evaluation" in row else steps).append(row)
    return steps, evaluations


def draw_curves(runs: Sequence[Run], plot: Path) -> None:
    """Draw training loss and held-out score of `runs` against the step, into a PNG. Raises `ClewError`."""
    import io

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ClewError("Drawing curves needs matplotlib: pip install 'clew[train]'.") from error
    from clew.core.files import write_bytes

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = set()
    for run in runs:
        steps, evaluations = read_metrics(run)
        left.plot([row["step"] for row in steps], [row["loss"] for row in steps], linewidth=1, label=run.folder.name)
        if evaluations:
            name = next(iter(evaluations[0]["evaluation"]))
            names.add(name)
            scores = [row["evaluation"][name] for row in evaluations]
            right.plot([row["step"] for row in evaluations], scores, marker="o", markersize=3, label=run.folder.name)
    left.set(xlabel="step", ylabel="training loss", title="training")
    right.set(xlabel="step", ylabel=" / ".join(sorted(names)).replace("_", " "), title="held out")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(fontsize=8, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_bytes(plot, content.getvalue())


def _headline(run: Run) -> dict[str, Any]:
    """Name, status, step, best score and its step, objective, creation time."""
    steps, evaluations = read_metrics(run)
    best = [row for row in evaluations if row["improved"]]
    status = str(run.manifest["status"])
    if status == "running" and not _is_alive(run):
        status = "killed"
    return {
        "run": run.folder.name,
        "status": status,
        "step": max([row["step"] for row in (*steps, *evaluations)], default=0),
        "best": next(iter(best[-1]["evaluation"].values())) if best else None,
        "best_step": best[-1]["step"] if best else None,
        "objective": run.manifest["objective"],
        "created_at": run.manifest["created_at"],
        "seconds_since_metrics": _age(run),
    }


def _is_alive(run: Run) -> bool:
    """Whether a process holds the run."""
    try:
        with run.locked():
            return False
    except ClewError:
        return True


def _age(run: Run) -> float | None:
    stats = run.folder / STATS
    return round(datetime.now(UTC).timestamp() - stats.stat().st_mtime, 1) if stats.is_file() else None


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_short(value) for value in row))
    Console(width=max(100, 30 * len(header)), highlight=False, soft_wrap=False).print(table)
