"""`clew resume [RUN]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from clew.cli import flags
from clew.cli.imports import stoppable_imports
from clew.cli.runs.train import print_outcome, voice
from clew.core.errors import EXIT_DONE
from clew.recipes import recipe_class
from clew.runs.folder import find_run


class ResumeOptions(flags.Options):
    """Continue a run exactly where a checkpoint of it stands."""

    run: flags.Positional[str | None] = None
    """Folder, name or beginning of the name of the run; the newest if not given."""
    checkpoint: str = "latest"
    """latest, best, or a step: what was recorded after it is dropped and computed again."""
    data_dir: str | None = None
    """Where the same proof files lie now, if they were moved."""
    db: str | None = None
    """Where the same replay database is now, if it was moved: path or URL."""
    path: Annotated[str | None, tyro.conf.arg(aliases=["--data"])] = None
    """Where the same traces are now, if they were moved: a file, or the key of a dataset."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Resume a run."""
    options = flags.parse(ResumeOptions, arguments, program="clew resume")
    run = find_run(options.run, options.runs_dir)

    with stoppable_imports():
        from clew.training import launch

    places = {"data_dir": options.data_dir, "db": options.db, "path": options.path}
    moved = {name: place for name, place in places.items() if place is not None}
    recipe = run.read_recipe(recipe_class(str(run.manifest["objective"])))
    say, shows = voice(recipe)
    progress = launch.resume(run, checkpoint=options.checkpoint, moved=moved, say=say, shows=shows)
    if not launch.leads():
        return EXIT_DONE
    say(f"{progress.ended} at step {progress.step}; run {run.folder}")
    print_outcome(recipe, run, progress, as_json=options.as_json)
    return EXIT_DONE
