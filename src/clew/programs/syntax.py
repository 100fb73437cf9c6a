"""The shape of a program: four kinds of node. A tree knows nothing of text, but for the place it was read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from clew.core.errors import EvidenceError
from clew.programs.primitives import PRIMITIVES, Type

Value: TypeAlias = int | bool | tuple[int, ...]
"""What a program takes and gives: a whole number, a truth value, a list (as a tuple, so that it can be a key)."""

Inputs: TypeAlias = tuple[tuple[str, Type], ...]
"""Name and type of each input, in order."""

PARAMETERS = ("x", "y")
"""What the search and the demonstrations call the parameters of a lambda; no input of a task has such a name."""

DEEPEST = 100
"""No tree that is read is deeper: every walk over a tree is a plain recursion."""

LEVELS = {"or": 1, "and": 2, "eq": 3, "lt": 3, "le": 3, "add": 4, "sub": 4, "mul": 5, "div": 5, "mod": 5}
"""How tightly an operator binds. Those of one level are read from the left; comparisons do not chain."""

NOWHERE = -1
"""The place of a node that was not read from a text."""


class ProgramError(EvidenceError):
    """A program or a task that is wrong in itself: its syntax, its types, its contract, its examples."""


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A number or a truth value. `Literal(1)` and `Literal(True)` differ, though 1 == True in Python."""

    value: int | bool
    place: int = field(default=NOWHERE, repr=False)
    """Where it stands in its text: characters before it."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal):
            return NotImplemented
        return type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((isinstance(self.value, bool), self.value))


@dataclass(frozen=True, slots=True)
class Variable:
    """An input of the task, or a parameter of a lambda around it; the innermost of that name."""

    name: str
    place: int = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A primitive applied to as many arguments as it takes."""

    primitive: str
    arguments: tuple[Expr, ...]
    place: int = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Lambda:
    """`\\x y -> body`: an argument of a primitive that takes a function, and nothing else. One or two parameters."""

    parameters: tuple[str, ...]
    body: Expr
    place: int = field(default=NOWHERE, repr=False, compare=False)


Expr: TypeAlias = Literal | Variable | Call | Lambda


def children(expr: Expr) -> tuple[Expr, ...]:
    """The nodes right below a node, in order."""
    if isinstance(expr, Call):
        return expr.arguments
    return (expr.body,) if isinstance(expr, Lambda) else ()


def nodes(expr: Expr) -> Iterator[Expr]:
    """Every node, the root first, then from left to right."""
    waiting = [expr]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def size(expr: Expr) -> int:
    """Nodes without lambdas: how many productions of the grammar derive the program."""
    return sum(not isinstance(node, Lambda) for node in nodes(expr))


def depth(expr: Expr) -> int:
    """Nodes on the longest way from the root to a leaf."""
    deepest, waiting = 0, [(expr, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        waiting.extend((child, level + 1) for child in children(node))
    return deepest


def substitute(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """The tree with free variables replaced. What is put in must have no free variable that a lambda here binds."""
    if isinstance(expr, Variable):
        return values.get(expr.name, expr)
    if isinstance(expr, Call):
        return Call(expr.primitive, tuple(substitute(argument, values) for argument in expr.arguments))
    if isinstance(expr, Lambda):
        outer = {name: value for name, value in values.items() if name not in expr.parameters}
        return Lambda(expr.parameters, substitute(expr.body, outer))
    return expr


def type_of_value(value: object) -> Type | None:
    """The type of a Python value, None where the language has no such value. Lists may be lists or tuples."""
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, int):
        return Type.INT
    if isinstance(value, list | tuple) and all(isinstance(each, int) and not isinstance(each, bool) for each in value):
        return Type.LIST
    return None


def freeze(value: object) -> Value:
    """The value with lists as tuples. Raises `ProgramError` for what is no value of the language."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple) and type_of_value(value) is Type.LIST:
        return tuple(value)
    raise ProgramError(f"{value!r} is no value of the language: whole numbers, true, false and lists of numbers are.")


def call(primitive: str, *arguments: Expr) -> Call:
    """A call, written shortly. Raises `KeyError` for an unknown primitive, `ValueError` for a wrong count."""
    if len(arguments) != len(PRIMITIVES[primitive].parameters):
        raise ValueError(
            f"{primitive} takes {spoken_count(len(PRIMITIVES[primitive].parameters))}, not {len(arguments)}"
        )
    return Call(primitive, arguments)


def spoken_count(arguments: int) -> str:
    """How many arguments, as a sentence says it."""
    return "1 argument" if arguments == 1 else f"{arguments} arguments"
