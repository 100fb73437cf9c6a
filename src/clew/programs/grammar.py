"""The grammar that a search walks: which productions may fill a hole of a partial program.

A hole is a nonterminal: a type, and how many parameters of a lambda are in scope. A program is derived from the hole of
its task's output by filling the leftmost hole again and again; each choice is an *action*, a production's number, the
same for every task and every model. In the body of a lambda stand its parameters, literals, the task's numbers,
arithmetic, comparison and logic: the language knows more (a list within a lambda), the search does not look for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from clew.programs.primitives import PRIMITIVES, FunctionType, Type


class Nonterminal(NamedTuple):
    """A hole: what type it wants, and how many parameters of a lambda (0, 1 or 2) may stand in it."""

    type: Type
    scope: int


NONTERMINALS: tuple[Nonterminal, ...] = (
    Nonterminal(Type.INT, 0),
    Nonterminal(Type.BOOL, 0),
    Nonterminal(Type.LIST, 0),
    Nonterminal(Type.INT, 1),
    Nonterminal(Type.BOOL, 1),
    Nonterminal(Type.INT, 2),
    Nonterminal(Type.BOOL, 2),
)

OF_BODIES = frozenset(
    ("add", "sub", "mul", "div", "mod", "neg", "abs", "min", "max", "if", "eq", "lt", "le", "even", "and", "or", "not")
)
"""Primitives that may stand in the body of a lambda."""

INPUTS = 3
"""A task of the search has at most so many inputs."""


@dataclass(frozen=True)
class Production:
    """One action. Exactly one of the four is set: a primitive's name, a literal, an input's or a parameter's place."""

    primitive: str = ""
    literal: int | None = None
    input: int | None = None
    parameter: int | None = None

    def __str__(self) -> str:
        if self.primitive:
            return self.primitive
        if self.literal is not None:
            return str(self.literal)
        return f"input{self.input}" if self.input is not None else "xy"[self.parameter or 0]


class Context(NamedTuple):
    """Where a hole stands: argument `argument` of the action `parent` in `scope`; parent -1 is the whole program."""

    parent: int
    scope: int
    argument: int
    nonterminal: int


@dataclass(frozen=True)
class Grammar:
    """Productions by action number."""

    name: str
    productions: tuple[Production, ...]

    @property
    def actions(self) -> int:
        """How many actions there are, legal or not."""
        return len(self.productions)

    def holes(self, action: int, scope: int) -> tuple[int, ...]:
        """The nonterminals (their places in `NONTERMINALS`) that `action` in `scope` leaves to fill, in order."""
        production = self.productions[action]
        if not production.primitive:
            return ()
        holes = []
        for parameter in PRIMITIVES[production.primitive].parameters:
            if isinstance(parameter, FunctionType):
                holes.append(NONTERMINALS.index(Nonterminal(parameter.result, parameter.parameters)))
            else:
                holes.append(NONTERMINALS.index(Nonterminal(parameter, scope)))
        return tuple(holes)

    def legal(self, nonterminal: int, inputs: tuple[Type, ...]) -> tuple[int, ...]:
        """The actions that may fill a hole of `nonterminal` in a task with these input types."""
        wanted, scope = NONTERMINALS[nonterminal]
        found = []
        for action, production in enumerate(self.productions):
            if production.primitive:
                fits = PRIMITIVES[production.primitive].result is wanted
                fits = fits and (scope == 0 or production.primitive in OF_BODIES)
            elif production.literal is not None:
                fits = wanted is Type.INT
            elif production.input is not None:
                fits = production.input < len(inputs) and inputs[production.input] is wanted
            else:
                fits = wanted is Type.INT and (production.parameter or 0) < scope
            if fits:
                found.append(action)
        return tuple(found)

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """Every place where a hole can stand: first the whole program of each type, then the arguments of actions."""
        places = [Context(-1, 0, 0, NONTERMINALS.index(Nonterminal(type_, 0))) for type_ in Type]
        for action, production in enumerate(self.productions):
            scopes = (0, 1, 2) if production.primitive in OF_BODIES else (0,)
            for scope in scopes:
                holes = enumerate(self.holes(action, scope))
                places += [Context(action, scope, argument, hole) for argument, hole in holes]
        return tuple(places)


def _grammar(
    name: str, primitives: tuple[str, ...], literals: tuple[int, ...], inputs: int, parameters: int
) -> Grammar:
    words = [Production(primitive=primitive) for primitive in primitives]
    numbers = [Production(literal=literal) for literal in literals]
    places = [Production(input=place) for place in range(inputs)]
    bound = [Production(parameter=place) for place in range(parameters)]
    return Grammar(name, tuple(words + numbers + places + bound))


FULL = _grammar("full", tuple(PRIMITIVES), (-1, 0, 1, 2, 3, 10), INPUTS, 2)
"""Every primitive of the language."""

SMALL = _grammar("small", ("sort", "reverse", "take", "drop", "append", "length"), (2,), 1, 0)
"""Eight actions over one list: what the reference sizes of the contract train on, in seconds."""

GRAMMARS: dict[str, Grammar] = {grammar.name: grammar for grammar in (FULL, SMALL)}
