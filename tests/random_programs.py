"""Random well-typed trees of the whole language, lists within lambdas included, and random arguments for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.syntax import Call, Expr, Inputs, Lambda, Literal, Variable

INPUTS: Inputs = (("n", Type.INT), ("flag", Type.BOOL), ("xs", Type.LIST), ("ys", Type.LIST))
BY_RESULT = {type_: [each for each in PRIMITIVES.values() if each.result is type_] for type_ in Type}


def random_expr(rng: np.random.Generator, wanted: Type, depth: int, scope: Inputs = INPUTS, inner: int = 0) -> Expr:
    """A tree of a type, at most `depth` calls deep; `inner` lambdas stand around it."""
    if depth == 0 or rng.random() < 0.15:
        names = [name for name, type_ in scope if type_ is wanted]
        if wanted is Type.LIST or (names and rng.random() < 0.7):
            return Variable(names[rng.integers(len(names))])
        if wanted is Type.BOOL:
            return Literal(bool(rng.integers(2)))
        return Literal(int(rng.choice([-1, 0, 1, 2, 3, 10, -7, 300, 70_000, 2**31 - 1], p=[0.13] * 7 + [0.03] * 3)))
    primitive = BY_RESULT[wanted][rng.integers(len(BY_RESULT[wanted]))]
    arguments: list[Expr] = []
    for parameter in primitive.parameters:
        if isinstance(parameter, FunctionType):
            # names of an outer lambda come back now and then: the innermost counts
            new = tuple(f"{letter}{inner % 2 or ''}" for letter in "xy"[: parameter.parameters])
            kept = tuple(each for each in scope if each[0] not in new)
            within = kept + tuple((name, Type.INT) for name in new)
            body = random_expr(rng, parameter.result, min(depth - 1, 2), within, inner + 1)
            arguments.append(Lambda(new, body))
        else:
            arguments.append(random_expr(rng, parameter, depth - 1, scope, inner))
    return Call(primitive.name, tuple(arguments))


def random_arguments(rng: np.random.Generator) -> tuple[Any, ...]:
    """One argument for each of `INPUTS`; now and then long lists and large numbers."""
    longest = 200 if rng.random() < 0.1 else 7
    largest = 2**31 - 1 if rng.random() < 0.1 else 12

    def numbers() -> tuple[int, ...]:
        return tuple(rng.integers(-largest, largest + 1, rng.integers(longest + 1)).tolist())

    return int(rng.integers(-3, 9)), bool(rng.integers(2)), numbers(), numbers()
