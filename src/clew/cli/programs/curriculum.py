"""`clew curriculum`: a folder of tasks as a curriculum with a manifest."""

from __future__ import annotations

import sys
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE

COMMANDS: Commands = {
    "seed": ("clew.cli.programs.curriculum:seed_command", "copy tasks into a folder, in an order drawn by a seed"),
}


def main(arguments: list[str]) -> int:
    """Run `clew curriculum`."""
    about = "Tasks of program search as a curriculum: the same seed and sources give the same bytes."
    return dispatch(COMMANDS, arguments, program="clew curriculum", about=about)


class SeedOptions(Options):
    """Copy tasks (.dsl) into a folder with a manifest, in an order drawn by a seed. Every task is parsed before
    anything is written; a curriculum that is there is replaced by the whole new one, or stays."""

    limit: int | None = pydantic.Field(default=None, ge=1)
    """How many tasks at most, drawn by the seed (default: all)."""
    seed: int = 42
    """The order, and which tasks a limit leaves, are functions of this and of the tasks' names."""
    source: Path | None = None
    """A folder of .dsl files, searched with its subfolders, or one file (default: the tasks that ship with Clew)."""
    output: Path = Path("data/processed/curriculum_v1")
    """Folder to write: programs/, manifest.json, metadata.json."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def seed_command(arguments: list[str]) -> int:
    """Run `clew curriculum seed`."""
    options = parse(SeedOptions, arguments, program="clew curriculum seed")

    from clew.programs.curriculum import seed

    made = seed(options.output, source=options.source, limit=options.limit, seed=options.seed)
    count = len(made.manifest)
    if options.limit is not None and options.limit > made.found:
        print(f"curriculum: the limit is {options.limit:,}, but the source has {made.found:,} tasks", file=sys.stderr)
    drawn = "" if count == made.found else f" of {made.found:,}"
    already = "" if made.changed else " (it was there already, with the same bytes)"
    print(f"{made.folder}: {count:,}{drawn} tasks from {made.metadata['source']}, seed {options.seed}{already}")
    if options.as_json:
        print_json({"output": str(made.folder), "changed": made.changed, **made.metadata})
    return EXIT_DONE
