"""`clew programs`: tasks as files, and running a program on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED, ClewError, UsageError

if TYPE_CHECKING:
    from clew.programs.task import Task

COMMANDS: Commands = {
    "list": ("clew.cli.programs.programs:list_tasks", "the tasks that ship, or those of a folder, the easiest first"),
    "show": ("clew.cli.programs.programs:show", "one task: signature, contracts, examples, reference"),
    "check": (
        "clew.cli.programs.programs:check",
        "read .dsl files and say what is wrong: syntax, types, contradictions",
    ),
    "run": (
        "clew.cli.programs.programs:run",
        "run a task's reference, or a program of yours, on its examples or an input",
    ),
    "demonstrate": (
        "clew.cli.programs.demonstrate:main",
        "make demonstrations of the search for a model to learn from",
    ),
}


def main(arguments: list[str]) -> int:
    """Run `clew programs`."""
    return dispatch(COMMANDS, arguments, program="clew programs", about="Programs, and tasks that ask for one.")


class ListOptions(Options):
    """List the tasks that ship, or those of a folder, by the size of their reference."""

    folder: Positional[Path | None] = None
    """A folder of .dsl files; default: the tasks that ship."""
    as_json: Json = False
    """Print the list as one JSON document, the last line of stdout."""


def list_tasks(arguments: list[str]) -> int:
    """Run `clew programs list`."""
    options = parse(ListOptions, arguments, program="clew programs list")

    from clew.programs.task import load_folder, shipped_tasks

    tasks = shipped_tasks() if options.folder is None else load_folder(options.folder)
    if options.as_json:
        print_json([_summary(task) for task in tasks])
        return EXIT_DONE
    width = max(len(task.name) for task in tasks)
    for task in tasks:
        print(f"{task.level or '':>3}  {task.name:<{width}}  {task.about}")
    print(f"{len(tasks)} tasks; the number before each is the size of its reference.")
    return EXIT_DONE


class ShowOptions(Options):
    """Show a task as its file would have it."""

    task: Positional[str]
    """A .dsl file, or the name of a task that ships."""
    as_json: Json = False
    """Print the task as one JSON document, the last line of stdout."""


def show(arguments: list[str]) -> int:
    """Run `clew programs show`."""
    options = parse(ShowOptions, arguments, program="clew programs show")

    from clew.programs.task import find_task, format_task

    task = find_task(options.task)
    if options.as_json:
        print_json(_summary(task))
    else:
        print(format_task(task), end="")
    return EXIT_DONE


class CheckOptions(Options):
    """Read .dsl files: syntax, names, types; whether examples, contracts and reference contradict one another.

    The reference is run on inputs made at random that meet `requires` as well.
    """

    files: Positional[tuple[Path, ...]]
    """Files, or folders of .dsl files."""
    as_json: Json = False
    """Print the findings as one JSON document, the last line of stdout."""


def check(arguments: list[str]) -> int:
    """Run `clew programs check`: exit code 1 where something is wrong."""
    options = parse(CheckOptions, arguments, program="clew programs check")
    if not options.files:
        raise UsageError("Name the .dsl files to check, or a folder of them. See `clew programs check --help`.")

    from clew.programs.task import files_of

    paths = [path for given in options.files for path in files_of(given)]
    findings: list[str] = []
    for path in paths:
        found = _faults(path)
        findings += found
        for sentence in found:
            print(sentence)
    print(f"{len(paths)} files, {len(findings) or 'no'} faults.", flush=True)
    if options.as_json:
        print_json({"files": len(paths), "faults": findings})
    return EXIT_FAILED if findings else EXIT_DONE


def _faults(path: Path) -> list[str]:
    """What is wrong with a file: its text, a contradiction, or a reference that fails on inputs that it allows."""
    from clew.programs.contracts import contradictions
    from clew.programs.search.checks import check_program
    from clew.programs.task import load_task

    try:
        task = load_task(path)
    except ClewError as error:
        return [str(error)]
    found = contradictions(task)
    if task.reference is not None and not found:
        checked = check_program(task, task.reference)
        found = [task.source.fault(task.reference.place, f"the reference: {each}") for each in checked.failures[:1]]
    return [str(fault) for fault in found]


class RunOptions(Options):
    """Run a program on a task's examples, or on an input, and count its steps; exit 1 where a result is wrong."""

    task: Positional[str]
    """A .dsl file, or the name of a task that ships."""
    program: str | None = None
    """The program, such as "sum (take k xs)"; default: the task's reference."""
    input: str | None = None
    """Arguments as an example has them, such as "2, [3, 1, 2]"; default: those of the examples."""
    steps: int = pydantic.Field(default=1_000_000, ge=1, le=10**9)
    """The program is stopped after so many steps."""
    as_json: Json = False
    """Print values, errors and steps as one JSON document, the last line of stdout."""


def run(arguments: list[str]) -> int:
    """Run `clew programs run`."""
    options = parse(RunOptions, arguments, program="clew programs run")

    from clew.programs.check import check_type
    from clew.programs.parse import Source, names_of, parse_expression
    from clew.programs.task import find_task, parse_arguments

    task = find_task(options.task)
    if options.program is not None:
        expr = parse_expression(options.program, names_of(task.inputs))
        source = Source("the program", options.program)
        check_type(expr, task.inputs, task.output, "the program of this task", fault=source.fault)
    elif task.reference is not None:
        expr = task.reference
    else:
        raise UsageError(f'{task.source.where} has no reference. Give a program: --program "...".')
    cases: list[tuple[tuple[Any, ...], Any]] = [(each.arguments, each.result) for each in task.examples]
    if options.input is not None:
        cases = [(parse_arguments(options.input, task.inputs), None)]
    elif not cases:
        raise UsageError(f'{task.source.where} has no examples. Give arguments: --input "...".')

    from clew.programs.contracts import ensured, required
    from clew.programs.interpret import Limits, compile_program
    from clew.programs.pretty import pretty, pretty_value

    program, limits = compile_program(expr, task.inputs), Limits(options.steps)
    runs = []
    for given, wanted in cases:
        outcome = program.run(given, limits)
        unmet = required(task, given)
        faults = [f"{outcome.error}."] if outcome.value is None else []
        if outcome.value is not None and not unmet:
            faults += ensured(task, given, outcome.value)
        if wanted is not None and outcome.value is not None and outcome.value != wanted:
            faults.append(f"{pretty_value(wanted)} was wanted.")
        shown = "error" if outcome.value is None else pretty_value(outcome.value)
        print(f"{', '.join(map(pretty_value, given))} -> {shown}   ({outcome.steps:,} steps)")
        for sentence in unmet:
            print(f"  not asked by the task: {sentence}")
        for sentence in faults:
            print(f"  {sentence}")
        runs.append({"arguments": given, "value": outcome.value, "steps": outcome.steps, "faults": faults})
    failed = sum(bool(each["faults"]) for each in runs)
    if failed:
        print(f"{failed} of {len(runs)} runs are wrong.", file=sys.stderr)
    if options.as_json:
        print_json({"task": task.name, "program": pretty(expr), "runs": runs, "failed": failed})
    return EXIT_FAILED if failed else EXIT_DONE


def _summary(task: Task) -> dict[str, Any]:
    from clew.programs.pretty import pretty

    return {
        "name": task.name,
        "about": task.about,
        "inputs": {name: type_.value for name, type_ in task.inputs},
        "output": task.output.value,
        "level": task.level,
        "requires": [pretty(each) for each in task.requires],
        "ensures": [pretty(each) for each in task.ensures],
        "examples": [{"arguments": each.arguments, "result": each.result} for each in task.examples],
        "reference": None if task.reference is None else pretty(task.reference),
    }
