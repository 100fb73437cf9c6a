"""`clew programs demonstrate`: demonstrations of the program search, or tasks that are held out of them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import tyro

from clew.cli.flags import Json, Options, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE


class DemonstrateOptions(Options):
    """Make demonstrations from random programs with informative examples: states of the search with the right action,
    value, guard and latency. Or, with --kind, tasks alone: held out, or longer than any demonstration."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write (JSON lines), whole or not at all."""
    count: int = pydantic.Field(default=2000, ge=1, le=10_000_000)
    """How many programs; no two compute the same."""
    seed: int = 42
    """The file is a function of this number, the kind, the count and what is excluded."""
    kind: Literal["demonstrations", "held_out", "longer"] = "demonstrations"
    """demonstrations; held_out: tasks without states, from other draws; longer: such tasks with longer programs."""
    grammar: Literal["full", "small"] = "full"
    """full: every primitive; small: eight actions over one list."""
    exclude: tuple[Path, ...] = ()
    """Files of tasks: what they compute is left out. The tasks that ship with Clew always are."""
    budget: int = pydantic.Field(default=100, ge=1, le=1_000_000)
    """Completions of a state that are tried for its value."""
    as_json: Json = False
    """Print the figures as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew programs demonstrate`."""
    options = parse(DemonstrateOptions, arguments, program="clew programs demonstrate")

    from clew.core import files
    from clew.core.progress import stage
    from clew.programs.demonstrating import demonstrate
    from clew.programs.demonstrations import OUTPUT, figures, write
    from clew.programs.grammar import GRAMMARS
    from clew.programs.held_out import excluded, held_out

    files.check_output(options.output, OUTPUT)
    grammar, exclude = GRAMMARS[options.grammar], excluded(options.exclude)
    begun = time.monotonic()
    with contextlib.ExitStack() as bars:
        tick = stage(bars, "programs", options.count)
        if options.kind == "demonstrations":
            made = demonstrate(options.count, options.seed, grammar, exclude=exclude, budget=options.budget, tell=tick)
        else:
            longer = options.kind == "longer"
            made = held_out(options.count, options.seed, grammar, longer=longer, exclude=exclude, tell=tick)
    write(options.output, made)
    found = figures(made)
    print(f"{options.output}: {found['tasks']:,} tasks, {found['states']:,} states, {time.monotonic() - begun:.1f} s")
    print("  sizes: " + ", ".join(f"{size}: {count:,}" for size, count in found["sizes"].items()))
    if made.states:
        print(
            f"  solvable within the budget: {found['solvable']:.1%} of the states on the way, "
            f"{found['solvable_off_path']:.1%} off it; completions that fail: {found['failing']:.1%}"
        )
    if options.as_json:
        print_json({"path": str(options.output), "sha256": files.sha256_of_file(options.output), **found})
    return EXIT_DONE
