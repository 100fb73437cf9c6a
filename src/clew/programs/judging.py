"""Whether what a program gives for a task's examples is as the task's contract ensures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clew.programs import machine
from clew.programs.interpret import Arguments, Limits, compile_program, execute
from clew.programs.primitives import Type
from clew.programs.syntax import Expr, Inputs, Value
from clew.programs.task import RESULT

_LIMITS = Limits(steps=20_000)


class Judge:
    """The conditions of one task, compiled once."""

    def __init__(
        self, inputs: Inputs, output: Type, ensures: Sequence[Expr], arguments: Sequence[Sequence[Value]]
    ) -> None:
        self._types = (*(type_ for _, type_ in inputs), output)
        self._conditions = [compile_program(each, (*inputs, (RESULT, output))) for each in ensures]
        self._arguments = arguments

    def fails(self, results: Sequence[Value]) -> bool:
        """Whether a condition does not hold for one of the examples, or an error stops it."""
        if not self._conditions:
            return False
        cases = [[*row, result] for row, result in zip(self._arguments, results, strict=True)]
        packed = Arguments(self._types, cases)
        for condition in self._conditions:
            rows = execute(condition, packed, _LIMITS)
            if (rows[:, machine.ERROR] != machine.FINE).any() or (rows[:, machine.VALUE] != 1).any():
                return True
        return False


def results_of(rows: NDArray[np.int64], lists: NDArray[np.int64], output: Type) -> list[Value]:
    """The values that a program gave, of int64 [cases, 4] and the lists [cases, ...] as `machine` leaves them."""
    values = rows[:, machine.VALUE].tolist()
    if output is Type.LIST:
        return [tuple(lists[case, :length].tolist()) for case, length in enumerate(values)]
    return [bool(each) for each in values] if output is Type.BOOL else values
