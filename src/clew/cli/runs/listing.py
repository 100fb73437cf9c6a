"""`clew runs list|show|compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clew.cli import flags
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, ClewError, UsageError
from clew.core.files import PNG, check_output
from clew.core.plots import save_png
from clew.runs.compare import describe, headline, recipe_differences
from clew.runs.folder import RECIPE, find_run, survey

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
    runs, broken = survey(options.runs_dir)
    rows = []
    for run in runs:
        try:
            rows.append(headline(run))
        except ClewError as error:
            broken.append(str(error))
    for sentence in broken:
        print(f"left out: {sentence}", file=sys.stderr)
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
    shown = describe(run)
    if options.as_json:
        print_json(shown)
        return EXIT_DONE
    print(f"run {run.folder} ({shown['status']})")
    for name in ("created_at", "objective", "seed", "git_sha", "dirty", "parent", "recipe_sha256"):
        print(f"  {name:<14} {run.manifest.get(name)}")
    evidence = run.manifest["evidence"]
    print(f"  {'evidence':<14} {evidence['kind']} in {evidence['path']} ({evidence['sha256'][:12]})")
    print(f"  {'device':<14} {run.manifest.get('device')}")
    print(f"  {'checkpoints':<14} {', '.join(shown['checkpoints']) or 'none'}")
    if shown["newest_step"]:
        print("newest step    " + "  ".join(f"{name} {_short(value)}" for name, value in shown["newest_step"].items()))
    evaluations = shown["evaluations"]
    # Figures may come and go (a net plays the champion only where there is one), so they go by their names.
    names = list(dict.fromkeys(name for row in evaluations for name in row["evaluation"]))
    if evaluations:
        rows = [
            [row["step"], *map(row["evaluation"].get, names), "best" if row.get("improved") else ""]
            for row in evaluations
        ]
        _print_table(["step", *names, ""], rows)
    print((run.folder / RECIPE).read_text(encoding="utf-8"), end="")
    return EXIT_DONE


def compare_command(arguments: list[str]) -> int:
    """Print what differs between runs and draw their curves."""
    options = flags.parse(CompareOptions, arguments, program="clew runs compare")
    if len(options.runs) < 2:
        raise UsageError("clew runs compare needs two runs or more; `clew runs list` shows them.")
    check_output(options.plot, PNG)
    runs = [find_run(name, options.runs_dir) for name in options.runs]
    differing = recipe_differences(runs)
    figures = [headline(run) for run in runs]
    save_png(runs[0].curves(*runs[1:]), options.plot)
    if options.as_json:
        print_json({"runs": figures, "recipe_differences": differing, "plot": str(options.plot)})
        return EXIT_DONE
    rows = [[name, *(figure[name] for figure in figures)] for name in ("status", "step", "best", "best_step")]
    rows += [[key, *values] for key, values in differing.items()]
    _print_table(["", *(run.folder.name for run in runs)], rows)
    print(f"curves: {options.plot}")
    return EXIT_DONE


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        table.add_column(Text(name), justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        # As text: what looks like markup ("[red]") is a value like any other.
        table.add_row(*(Text(_short(value)) for value in row))
    Console(width=max(100, 30 * len(header)), highlight=False, soft_wrap=False).print(table)
