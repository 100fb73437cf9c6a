"""Contracts for random tasks: conditions from a list of usual ones that hold for what the task's program does."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clew.programs import machine
from clew.programs.behaviour import probes
from clew.programs.interpret import Arguments, Limits, Program, compile_program, execute, run_on
from clew.programs.parse import parse_expression
from clew.programs.primitives import Type
from clew.programs.syntax import Expr, Inputs, Value
from clew.programs.task import RESULT

_LIMITS = Limits(steps=20_000)
_REQUIRED = {
    Type.LIST: ("not (is_empty {0})",),
    Type.INT: ("0 < {0}", "0 <= {0}"),
    Type.BOOL: (),
}
_REQUIRED_OF_LIST_AND_NUMBER = ("{1} <= length {0}",)
_ENSURED = {
    Type.LIST: (
        "all (\\x -> 0 <= x) (zip (\\x y -> y - x) result (drop 1 result))",
        "all (\\x -> 0 <= x) result",
        "all (\\x -> even x) result",
        "not (is_empty result)",
        "length (unique result) == length result",
    ),
    Type.INT: ("0 <= result", "0 < result", "even result"),
    Type.BOOL: (),
}
_ENSURED_OF_LIST = {
    Type.LIST: (
        "length result == length {0}",
        "length result <= length {0}",
        "length {0} <= length result",
        "all (\\x -> contains x {0}) result",
        "all (\\x -> contains x result) {0}",
        "sum result == sum {0}",
    ),
    Type.INT: ("contains result {0}", "result <= length {0}", "result <= maximum {0}", "minimum {0} <= result"),
    Type.BOOL: ("result || not (is_empty {0})",),
}
_ENSURED_OF_NUMBER = {
    Type.LIST: ("all (\\x -> {0} <= x) result", "all (\\x -> x <= {0}) result", "length result <= {0}"),
    Type.INT: ("{0} <= result", "result <= {0}"),
    Type.BOOL: (),
}


@lru_cache(maxsize=4096)
def _candidates(
    inputs: Inputs, output: Type
) -> tuple[tuple[tuple[Expr, Program], ...], tuple[tuple[Expr, Program], ...]]:
    """What may be required and what may be ensured, as trees and compiled."""
    names = [name for name, _ in inputs]
    lists = [name for name, type_ in inputs if type_ is Type.LIST]
    numbers = [name for name, type_ in inputs if type_ is Type.INT]
    required = [text.format(name) for name, type_ in inputs for text in _REQUIRED[type_]]
    required += [text.format(lists[0], name) for name in numbers if lists for text in _REQUIRED_OF_LIST_AND_NUMBER]
    ensured = list(_ENSURED[output])
    ensured += [text.format(name) for name in lists for text in _ENSURED_OF_LIST[output]]
    ensured += [text.format(name) for name in numbers for text in _ENSURED_OF_NUMBER[output]]
    judged: Inputs = (*inputs, (RESULT, output))
    before = [parse_expression(text, names) for text in required]
    after = [parse_expression(text, [*names, RESULT]) for text in ensured]
    return (
        tuple((expr, compile_program(expr, inputs)) for expr in before),
        tuple((expr, compile_program(expr, judged)) for expr in after),
    )


def contract_of(
    random: np.random.Generator,
    program: Expr,
    inputs: Inputs,
    arguments: tuple[tuple[Value, ...], ...],
    results: tuple[Value, ...],
) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """What a task requires and ensures: up to two and three conditions, drawn among those that hold.

    A condition that is required holds for all `arguments`; one that is ensured holds for their `results` and, on the
    probes of `behaviour` that meet what is required, wherever the program gives a result.
    """
    output = compile_program(program, inputs).output
    before, after = _candidates(inputs, output)
    types = tuple(type_ for _, type_ in inputs)
    given = Arguments(types, arguments)
    fitting = [each for each in before if _holds(each[1], given).all()]
    required = [fitting[at] for at in random.permutation(len(fitting))[: int(random.integers(0, 3))]]
    compiled = compile_program(program, inputs)
    packed = probes(types)
    usable = np.ones(len(packed), np.bool_)
    for _, condition in required:
        usable &= _holds(condition, packed)
    found, _ = run_on(compiled, packed, _LIMITS)
    cases = [[*_case(types, at), found[at]] for at in np.flatnonzero(usable).tolist() if found[at] is not None]
    cases += [[*row, result] for row, result in zip(arguments, results, strict=True)]
    judged = Arguments((*types, output), cases)
    holding = [each for each in after if _holds(each[1], judged).all()]
    count = int(random.choice(4, p=(0.1, 0.3, 0.35, 0.25)))
    ensured = [holding[at] for at in sorted(random.permutation(len(holding))[:count])]
    return tuple(expr for expr, _ in required), tuple(expr for expr, _ in ensured)


def _holds(condition: Program, packed: Arguments) -> NDArray[np.bool_]:
    rows = execute(condition, packed, _LIMITS)
    held: NDArray[np.bool_] = (rows[:, machine.ERROR] == machine.FINE) & (rows[:, machine.VALUE] == 1)
    return held


@lru_cache(maxsize=64)
def _cases(types: tuple[Type, ...]) -> list[list[Value]]:
    packed = probes(types)
    heap = packed.heap(0)
    found: list[list[Value]] = []
    for row in packed.values.tolist():
        case: list[Value] = []
        for type_, word in zip(types, row, strict=True):
            if type_ is Type.LIST:
                start, length = word >> machine.ROOM, word & ((1 << machine.ROOM) - 1)
                case.append(tuple(heap[start : start + length].tolist()))
            else:
                case.append(bool(word) if type_ is Type.BOOL else word)
        found.append(case)
    return found


def _case(types: tuple[Type, ...], at: int) -> list[Value]:
    return _cases(types)[at]
