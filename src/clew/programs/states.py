"""Partial programs: the states that a top-down search walks, a policy acts in and demonstrations are made of.

A state is the list of actions taken so far in a leftmost derivation, and the holes that are still open. The actions of
a finished program are its nodes in the order in which they are read, so that programs of the grammar and lists of
actions are two spellings of one thing: `derivation` writes the one, `expression` the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from clew.core.errors import UsageError
from clew.programs.grammar import NONTERMINALS, OF_BODIES, Grammar, Nonterminal, Production
from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.syntax import PARAMETERS, Call, Expr, Lambda, Literal, Variable

NONE = -1
"""Stands for "no such action": the parent of the whole program, the left neighbour of a first argument."""

OPEN = "?"
"""How an open place is shown."""


class Signature(Protocol):
    """What a state must know of a task."""

    @property
    def inputs(self) -> tuple[tuple[str, Type], ...]:
        """Name and type of each input."""

    @property
    def output(self) -> Type:
        """Type of the result."""


class Hole(NamedTuple):
    """An open place of a partial program."""

    nonterminal: int
    """Place in `NONTERMINALS`."""
    parent: int
    """The action whose argument it is; -1 for the whole program."""
    argument: int
    """Which argument of the parent, from 0."""
    grandparent: int
    """The action whose argument the parent is; -1 where there is none."""
    left: int
    """The action at the root of the argument before this one; -1 where there is none, or it is open still."""
    context: int
    """Place in the grammar's `contexts`."""


@dataclass(frozen=True)
class _Tables:
    """What the states of a grammar look up at every step."""

    grammar: Grammar
    contexts: dict[tuple[int, int, int], int]
    """Number of a context by parent, argument and nonterminal."""
    holes: dict[tuple[int, int], tuple[int, ...]]
    """What an action in a scope leaves to fill."""
    legal: dict[tuple[int, tuple[Type, ...]], tuple[int, ...]] = field(default_factory=dict)


_TABLES: dict[int, _Tables] = {}
"""By the grammar's identity: to hash its productions at every step would take longer than the step."""


def _tables(grammar: Grammar) -> _Tables:
    found = _TABLES.get(id(grammar))
    if found is None:
        contexts = {(each.parent, each.argument, each.nonterminal): n for n, each in enumerate(grammar.contexts)}
        holes = {}
        for action, production in enumerate(grammar.productions):
            for scope in (0, 1, 2) if production.primitive in OF_BODIES or not production.primitive else (0,):
                holes[action, scope] = grammar.holes(action, scope)
        found = _TABLES[id(grammar)] = _Tables(grammar, contexts, holes)
    return found


def legal_actions(grammar: Grammar, nonterminal: int, inputs: tuple[Type, ...]) -> tuple[int, ...]:
    """`grammar.legal`, remembered: the actions that may fill a hole in a task with these input types."""
    remembered = _tables(grammar).legal
    found = remembered.get((nonterminal, inputs))
    if found is None:
        found = remembered[nonterminal, inputs] = grammar.legal(nonterminal, inputs)
    return found


@dataclass(frozen=True, slots=True)
class State:
    """A partial program. Nothing in it changes: `apply` makes another."""

    grammar: Grammar
    inputs: tuple[Type, ...]
    output: Type
    actions: tuple[int, ...]
    """The leftmost derivation so far: the nodes of the program in reading order."""
    holes: tuple[Hole, ...]
    """Open places, the leftmost last."""
    problem: Signature | None = field(default=None, compare=False, repr=False)
    """The task that the derivation was started for."""

    @property
    def complete(self) -> bool:
        """Whether no hole is open."""
        return not self.holes

    @property
    def hole(self) -> Hole:
        """The leftmost open place. Raises `UsageError` for a complete program."""
        if not self.holes:
            raise UsageError("The program is complete: no place in it is open.")
        return self.holes[-1]

    @property
    def size(self) -> int:
        """Nodes so far; with `len(holes)` more it may be complete."""
        return len(self.actions)

    def legal(self) -> tuple[int, ...]:
        """The actions that may fill the leftmost hole, in ascending order; none for a complete program."""
        return legal_actions(self.grammar, self.holes[-1].nonterminal, self.inputs) if self.holes else ()

    def apply(self, action: int) -> State:
        """The state after `action` fills the leftmost hole. Raises `UsageError` where it may not."""
        if action not in self.legal():
            raise UsageError(
                f"The action {action} may not fill the leftmost hole; those that may: {list(self.legal())}."
            )
        hole = self.holes[-1]
        tables = _tables(self.grammar)
        below = list(self.holes[:-1])
        if below and below[-1].parent == hole.parent and below[-1].argument == hole.argument + 1:
            below[-1] = below[-1]._replace(left=action)
        kinds = tables.holes[action, NONTERMINALS[hole.nonterminal].scope]
        for argument in range(len(kinds) - 1, -1, -1):
            context = tables.contexts[action, argument, kinds[argument]]
            below.append(Hole(kinds[argument], action, argument, hole.parent, NONE, context))
        return State(self.grammar, self.inputs, self.output, (*self.actions, action), tuple(below), self.problem)

    def follow(self, actions: Sequence[int]) -> State:
        """The state after these actions."""
        state = self
        for action in actions:
            state = state.apply(action)
        return state

    def expression(self, names: Sequence[str] | None = None) -> Expr:
        """The program so far, its inputs called `names` (default: input0, ...).

        Open places are variables called `?`.
        """
        walk = iter(self.actions)
        called = tuple(names or (f"input{place}" for place in range(len(self.inputs))))
        return _tree(walk, self.grammar, called, 0)


def _tree(actions: Iterator[int], grammar: Grammar, names: tuple[str, ...], scope: int) -> Expr:
    action = next(actions, NONE)
    if action == NONE:
        return Variable(OPEN)
    production = grammar.productions[action]
    if production.literal is not None:
        return Literal(production.literal)
    if production.input is not None:
        return Variable(names[production.input])
    if production.parameter is not None:
        return Variable(PARAMETERS[production.parameter])
    arguments: list[Expr] = []
    for parameter in PRIMITIVES[production.primitive].parameters:
        if isinstance(parameter, FunctionType):
            count = parameter.parameters
            arguments.append(Lambda(PARAMETERS[:count], _tree(actions, grammar, names, count)))
        else:
            arguments.append(_tree(actions, grammar, names, scope))
    return Call(production.primitive, tuple(arguments))


def expression(actions: Sequence[int], problem: Signature, grammar: Grammar) -> Expr:
    """The program that a leftmost derivation makes, over the names of the task's inputs.

    Raises `UsageError` where an action may not be taken or open places are left.
    """
    state = start(problem, grammar).follow(actions)
    if not state.complete:
        raise UsageError(f"{len(state.holes)} open places are left after {len(actions)} actions.")
    return state.expression([name for name, _ in problem.inputs])


def derivation(expr: Expr, problem: Signature, grammar: Grammar) -> list[int]:
    """The actions whose program `expr` is. Raises `UsageError` where the grammar has no such program."""
    inputs = {name: place for place, (name, _) in enumerate(problem.inputs)}
    numbers = {production: action for action, production in enumerate(grammar.productions)}
    actions: list[int] = []
    _derive(expr, inputs, {}, numbers, actions)
    state = start(problem, grammar)
    for action in actions:
        if action not in state.legal():
            raise UsageError(_outside(grammar.productions[action]))
        state = state.apply(action)
    return actions


def _derive(
    expr: Expr, inputs: dict[str, int], bound: dict[str, int], numbers: dict[Production, int], actions: list[int]
) -> None:
    if isinstance(expr, Lambda):
        bound = {name: place for place, name in enumerate(expr.parameters)}
        return _derive(expr.body, inputs, bound, numbers, actions)
    if isinstance(expr, Call):
        production = Production(primitive=expr.primitive)
    elif isinstance(expr, Variable) and expr.name in bound:
        production = Production(parameter=bound[expr.name])
    elif isinstance(expr, Variable) and expr.name in inputs:
        production = Production(input=inputs[expr.name])
    elif isinstance(expr, Literal) and not isinstance(expr.value, bool):
        production = Production(literal=expr.value)
    else:
        raise UsageError(_outside(expr.name if isinstance(expr, Variable) else expr.value))
    if production not in numbers:
        raise UsageError(_outside(production))
    actions.append(numbers[production])
    for child in expr.arguments if isinstance(expr, Call) else ():
        _derive(child, inputs, bound, numbers, actions)
    return None


def _outside(what: object) -> str:
    return (
        f"The search's grammar has no program with {what} at that place; the interpreter runs it, no search finds it."
    )


def start(problem: Signature, grammar: Grammar) -> State:
    """The state of a task before the first action: one hole, of the type of its result."""
    types = tuple(type_ for _, type_ in problem.inputs)
    return replace(begin(types, problem.output, grammar), problem=problem)


def begin(inputs: tuple[Type, ...], output: Type, grammar: Grammar) -> State:
    """As `start`, of types alone: nothing of it can be run."""
    nonterminal = NONTERMINALS.index(Nonterminal(output, 0))
    hole = Hole(nonterminal, NONE, 0, NONE, NONE, _tables(grammar).contexts[NONE, 0, nonterminal])
    return State(grammar, inputs, output, (), (hole,))
