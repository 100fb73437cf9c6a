"""`clew synthesize`: search for a program that fits a task's examples, with a model or without. Imports no torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.core.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from clew.programs.search.checks import Checked
    from clew.programs.search.problem import Found, Line
    from clew.programs.task import Task


class SynthesizeOptions(Options):
    """Search for a program that fits a task's examples, and check its contract."""

    task: Positional[str]
    """A .dsl file, or the name of a task that ships (`clew programs list`)."""
    model: Path | None = None
    """Folder of a bundle, or an ONNX file, of a guide; without one the search goes by size."""
    search: Literal["auto", "enumerate", "grammar", "best-first", "beam"] = "auto"
    """enumerate: bottom-up by size. grammar: bottom-up in the order of the model's probabilities. best-first, beam:
    over partial programs, each judged by the model. auto: grammar with a model, enumerate without."""
    seconds: float = pydantic.Field(default=10.0, gt=0)
    """Give up after so many seconds."""
    nodes: int = pydantic.Field(default=100_000_000, ge=1)
    """Give up after so many candidates or states."""
    memory_mib: int = pydantic.Field(default=1024, ge=16)
    """Give up where the programs that are kept need more than so many MiB."""
    checks: int = pydantic.Field(default=200, ge=0)
    """Inputs to generate for a check of the contract."""
    trace: bool = False
    """Print what the search does, a line a level of cost, on stderr."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew synthesize`."""
    options = parse(SynthesizeOptions, arguments, program="clew synthesize")

    from clew.programs.contracts import find_task
    from clew.programs.search import checks
    from clew.programs.synthesis import synthesize

    task = find_task(options.task)
    found = synthesize(
        task,
        options.model,
        how=options.search,
        nodes=options.nodes,
        seconds=options.seconds,
        memory=options.memory_mib * 2**20,
        trace=_print_line if options.trace else None,
    )
    checked = None
    if found.program is not None:
        checked = checks.check_program(task, found.program, generated=options.checks)
    done = checked is not None and not checked.failures
    if options.as_json:
        from clew.cli.output import print_json

        print_json(_document(task, options.model, found, checked))
    else:
        _print(task, found, checked)
    return EXIT_DONE if done else EXIT_FAILED


def _print_line(line: Line) -> None:
    best = f"  {line.best}" if line.best else ""
    print(
        f"cost {line.cost:>8.3f}  nodes {line.nodes:>11,}  kept {line.kept:>10,}  {line.seconds:>8.3f} s{best}",
        file=sys.stderr,
        flush=True,
    )


def _account(found: Found) -> str:
    rate = f", {found.nodes / found.seconds:,.0f} nodes a second" if found.seconds > 0 else ""
    return f"{found.search}: {found.nodes:,} nodes, {found.programs_run:,} programs run, {found.seconds:.3f} s{rate}"


_WHY = {
    "nodes": "its budget of nodes was used up (--nodes)",
    "seconds": "its time was up (--seconds)",
    "memory": "its memory was full (--memory-mib)",
    "cost": "every program that it can reach had been tried",
}


def _print(task: Task, found: Found, checked: Checked | None) -> None:
    from clew.programs.pretty import pretty

    if found.program is None or checked is None:
        why = _WHY.get(found.stopped, found.stopped)
        print(f"clew: no program was found for {task.name}: {why}. {_account(found)}.", file=sys.stderr)
        return
    print(pretty(found.program))
    print(_account(found), file=sys.stderr)
    if checked.failures:
        print(
            f"clew: this program fits the examples and is not what the task asks for; {checked.sentence()} "
            "Add an example that shows it.",
            file=sys.stderr,
        )
    else:
        print(checked.sentence(), file=sys.stderr)


def _document(task: Task, model: Path | None, found: Found, checked: Checked | None) -> dict[str, Any]:
    from dataclasses import asdict

    from clew.programs.pretty import pretty
    from clew.programs.syntax import size

    return {
        "task": task.name,
        "model": None if model is None else str(model),
        "search": found.search,
        "solved": found.solved,
        "program": None if found.program is None else pretty(found.program),
        "size": None if found.program is None else size(found.program),
        "nodes": found.nodes,
        "programs_run": found.programs_run,
        "seconds": found.seconds,
        "kept": found.kept,
        "cost": found.cost,
        "stopped": found.stopped,
        "checked": None if checked is None else asdict(checked),
        "trace": [asdict(line) for line in found.trace],
    }
