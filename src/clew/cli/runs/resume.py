"""`clew resume [RUN]`."""

from __future__ import annotations

import sys
from pathlib import Path

from clew.cli import flags
from clew.cli.imports import stoppable_imports
from clew.core.errors import EXIT_DONE
from clew.runs.folder import find_run
from clew.runs.metrics import print_json


class ResumeOptions(flags.Options):
    """Continue a run exactly where a checkpoint of it stands."""

    run: flags.Positional[str | None] = None
    """Folder, name or beginning of the name of the run; the newest if not given."""
    checkpoint: str = "latest"
    """latest, best, or a step: what was recorded after it is dropped and computed again."""
    data_dir: str | None = None
    """Where the same evidence lies now, if it was moved."""
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
        from clew.training.devices import leads

    progress = launch.resume(
        run,
        checkpoint=options.checkpoint,
        data_dir=options.data_dir,
        say=lambda text: print(text, file=sys.stderr),
    )
    if not leads():
        return EXIT_DONE
    print(f"{progress.ended} at step {progress.step}; run {run.folder}", file=sys.stderr)
    if options.as_json:
        print_json(launch.summary(run, progress))
    return EXIT_DONE
