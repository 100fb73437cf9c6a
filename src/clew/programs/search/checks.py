"""What is made sure of a found program: the examples once more, by the interpreter, and the task's contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clew.core.randomness import generator
from clew.programs.contracts import check, required
from clew.programs.interpret import Limits, compile_program
from clew.programs.primitives import Type
from clew.programs.syntax import Expr, Inputs, Value
from clew.programs.task import Task

GENERATED = 200
"""Inputs made for a check, where so many meet what the task requires."""
TRIES = 20
"""Inputs tried for one that meets it."""
LIMITS = Limits(steps=100_000)
_SHOWN = 3


@dataclass(frozen=True)
class Checked:
    """What was checked of a program, and what was wrong."""

    examples: int
    """Examples run, all of them."""
    generated: int
    """Generated inputs run that meet `requires`."""
    conditions: int
    """Conditions of `ensures`; each was looked at for each input."""
    agreed: int | None
    """Generated inputs on which the reference gives the same; None where the task has none."""
    errs: tuple[str, ...]
    """A sentence for each generated input that the program fails on, in a task that says nothing of what it requires:
    it may not have to serve that input."""
    failures: tuple[str, ...]
    """A sentence for each failure."""

    def sentence(self) -> str:
        """What was checked, and how it went."""
        ran = f"the {self.examples} examples and {self.generated} generated inputs that the task allows"
        if self.failures:
            more = f" (and {len(self.failures) - _SHOWN} more)" if len(self.failures) > _SHOWN else ""
            return f"checked on {ran}: " + " ".join(self.failures[:_SHOWN]) + more
        told = ["no error" if not self.errs else f"errors on {len(self.errs)} of them, as {self.errs[0].rstrip('.')}"]
        if self.conditions:
            told.append(f"the {self.conditions} condition{'s' * (self.conditions > 1)} ensured hold")
        if self.agreed is not None:
            told.append(f"the reference gives the same for {self.agreed} of the {self.generated}")
        return f"checked on {ran}: {'; '.join(told)}."


def check_program(task: Task, program: Expr, *, generated: int = GENERATED, seed: int = 0) -> Checked:
    """Run a program on the task's examples and on `generated` inputs that meet `requires`, and look at `ensures`.

    An example whose result is another one is a failure. Fewer inputs are made where few meet `requires`; an error on
    one of them is a failure in a task that says what it requires.
    """
    compiled = compile_program(program, task.inputs)
    failures: list[str] = []
    for example in task.examples:
        outcome = compiled.run(example.arguments, LIMITS)
        if outcome.value != example.result:
            got = outcome.error if outcome.value is None else f"{outcome.value}"
            failures.append(f"the example {example} gives another result: {got}.")
        failures += check(task, compiled, example.arguments, LIMITS)
    cases = inputs_for(task, generated, seed=seed)
    errs: list[str] = []
    agreed = None if task.reference is None else 0
    reference = None if task.reference is None else compile_program(task.reference, task.inputs)
    for arguments in cases:
        said = check(task, compiled, arguments, LIMITS)
        outcome = compiled.run(arguments, LIMITS)
        if outcome.value is None and not task.requires:
            errs += said
        else:
            failures += said
        if reference is not None and agreed is not None:
            agreed += outcome.value == reference.run(arguments, LIMITS).value
    return Checked(len(task.examples), len(cases), len(task.ensures), agreed, tuple(errs), tuple(failures))


def inputs_for(task: Task, count: int, *, seed: int = 0) -> list[tuple[Value, ...]]:
    """Up to `count` different inputs that meet what the task requires, the same for the same seed.

    Lists have lengths and numbers as the examples' have, and now and then larger ones.
    """
    sizes = [len(value) for example in task.examples for value in example.arguments if isinstance(value, tuple)]
    numbers = [abs(each) for example in task.examples for value in example.arguments for each in _numbers(value)]
    longest, largest = max(sizes, default=5) + 2, max(numbers, default=9) + 2
    found: dict[tuple[Value, ...], None] = {}
    for place in range(count * TRIES):
        random = generator(seed, "inputs of a contract", task.name, place)
        arguments = _draw(random, task.inputs, longest, largest)
        if arguments not in found and not required(task, arguments, LIMITS):
            found[arguments] = None
        if len(found) == count:
            break
    return list(found)


def _numbers(value: Value) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (int(value),)


def _draw(random: np.random.Generator, inputs: Inputs, longest: int, largest: int) -> tuple[Value, ...]:
    # Small numbers are drawn half of the time: they are positions and counts.
    bound = largest if random.random() < 0.5 else min(largest, 4)
    least = 0 if random.random() < 0.3 else -bound
    values: list[Value] = []
    for _, type_ in inputs:
        if type_ is Type.LIST:
            values.append(tuple(random.integers(least, bound + 1, int(random.integers(0, longest + 1))).tolist()))
        elif type_ is Type.BOOL:
            values.append(bool(random.integers(2)))
        else:
            values.append(int(random.integers(least, bound + 1)))
    return tuple(values)
