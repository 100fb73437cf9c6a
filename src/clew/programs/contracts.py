"""Contracts: what a task requires of its inputs and ensures of the result; and what in a task contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from clew.programs import task as tasks
from clew.programs.interpret import LIMITS, Limits, Program, compile_program
from clew.programs.pretty import pretty, pretty_value
from clew.programs.syntax import Expr, Inputs, ProgramError, Value, freeze
from clew.programs.task import Task


@lru_cache(maxsize=4096)
def _compiled(expr: Expr, inputs: Inputs) -> Program:
    return compile_program(expr, inputs)


def required(task: Task, arguments: Sequence[Any], limits: Limits = LIMITS) -> list[str]:
    """What of `requires` the arguments do not meet, a sentence each; none where the task is asked of them."""
    return _failures("requires", task.requires, task.inputs, arguments, limits)


def ensured(task: Task, arguments: Sequence[Any], result: Value, limits: Limits = LIMITS) -> list[str]:
    """What of `ensures` a result for these arguments does not meet, a sentence each."""
    return _failures("ensures", task.ensures, task.judged, (*arguments, result), limits)


def check(task: Task, program: Program | Expr, arguments: Sequence[Any], limits: Limits = LIMITS) -> list[str]:
    """What is wrong with a program's result for these arguments, a sentence each.

    The program fails with an error, or what it gives is not as `ensures` says. Of arguments that do not meet `requires`
    nothing is asked, and nothing is wrong. `limits` are the program's. Raises `ProgramError` for arguments or a program
    that are not the task's.
    """
    if required(task, arguments):
        return []
    if not isinstance(program, Program):
        program = _compiled(program, task.inputs)
    outcome = program.run(arguments, limits)
    if outcome.value is None:
        return [f"for {_shown(task.inputs, arguments)} the program fails: {outcome.error}."]
    return ensured(task, arguments, outcome.value)


def _failures(
    keyword: str, contracts: Sequence[Expr], inputs: Inputs, arguments: Sequence[Any], limits: Limits
) -> list[str]:
    found = []
    for contract in contracts:
        outcome = _compiled(contract, inputs).run(arguments, limits)
        if outcome.value is None:
            found.append(f"'{keyword} {pretty(contract)}' fails for {_shown(inputs, arguments)}: {outcome.error}.")
        elif outcome.value is False:
            found.append(f"'{keyword} {pretty(contract)}' does not hold for {_shown(inputs, arguments)}.")
    return found


def _shown(inputs: Inputs, arguments: Sequence[Any]) -> str:
    named = zip(inputs, arguments, strict=True)
    return ", ".join(f"{name} = {pretty_value(freeze(argument))}" for (name, _), argument in named)


def contradictions(task: Task, limits: Limits = LIMITS) -> list[ProgramError]:
    """Where a task contradicts itself, each as `where:line:column: ...`.

    An example's arguments do not meet `requires`, its result is not as `ensures` says, or the reference gives another
    result or an error. (That no two examples contradict each other is checked when a task is read.)
    """
    found = []
    for example in task.examples:
        said = required(task, example.arguments, limits)
        said = said or ensured(task, example.arguments, example.result, limits)
        if task.reference is not None and not said:
            outcome = _compiled(task.reference, task.inputs).run(example.arguments, limits)
            if outcome.value is None:
                said = [f"the reference fails: {outcome.error}."]
            elif freeze(outcome.value) != example.result:
                said = [f"the reference gives {pretty_value(outcome.value)}."]
        found += [task.source.fault(example.place, f"the example {example}: {each}") for each in said]
    return found


def sound(task: Task) -> Task:
    """The task itself. Raises the first of its `contradictions`, which says how many more there are."""
    faults = contradictions(task)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ProgramError(f"{faults[0]}{more}")
    return task


def load_task(path: Path) -> Task:
    """Read a `.dsl` file and check that it does not contradict itself. Raises `ProgramError`."""
    return sound(tasks.load_task(path))


def find_task(name: str) -> Task:
    """The task of a `.dsl` file, or the one of that name that ships, sound. Raises `ProgramError`."""
    return sound(tasks.find_task(name))
