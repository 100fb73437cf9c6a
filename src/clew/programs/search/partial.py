"""What a top-down search knows of partial programs: the values of their finished parts, and so which are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clew.programs.grammar import Grammar
from clew.programs.interpret import Arguments, compile_program, run_on
from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.search.problem import Problem
from clew.programs.states import State, begin
from clew.programs.syntax import Value

Key = tuple[object, ...]
"""A partial program with each finished part outside of lambdas replaced by its values on the examples."""


class Seen(NamedTuple):
    """What is known of a partial program. `key` None: a finished part of it errs on an example."""

    key: Key | None
    values: tuple[Value, ...] | None
    """Of a complete program, its value on each example."""


class Partials:
    """Partial programs of one problem: their keys, from values that are computed once for each finished part."""

    def __init__(self, problem: Problem, grammar: Grammar) -> None:
        self.problem, self.grammar = problem, grammar
        self._packed = Arguments(problem.input_types, problem.arguments)
        self._values: dict[tuple[int, ...], tuple[Value, ...] | None] = {}
        self._kinds: list[tuple[tuple[bool, ...], Type | None]] = []
        for production in grammar.productions:
            primitive = PRIMITIVES.get(production.primitive)
            parameters = primitive.parameters if primitive else ()
            lambdas = tuple(isinstance(each, FunctionType) for each in parameters)
            type_: Type | None = primitive.result if primitive else Type.INT
            if production.input is not None:
                type_ = problem.input_types[production.input] if production.input < len(problem.inputs) else None
            self._kinds.append((lambdas, type_))
        self.programs_run = 0

    def look(self, state: State) -> Seen:
        """The key of a state, and its values where it is complete."""
        key, _, finished = self._walk(state.actions, 0, False)
        if key is None:
            return Seen(None, None)
        if state.complete and finished:
            self.programs_run += 1
            return Seen(key, self._values[state.actions])
        return Seen(key, None)

    def _walk(self, actions: Sequence[int], at: int, body: bool) -> tuple[Key | None, int, bool]:
        """The key of the part that begins at `at`, where it ends, and whether it is finished."""
        if at >= len(actions):
            return (), at, False
        action = actions[at]
        lambdas, type_ = self._kinds[action]
        parts: list[object] = [action]
        place, finished = at + 1, True
        for is_lambda in lambdas:
            key, place, whole = self._walk(actions, place, body or is_lambda)
            if key is None:
                return None, place, False
            parts.append(key)
            finished = finished and whole
        if finished and not body and type_ is not None:
            values = self._valued(tuple(actions[at:place]), type_)
            return (None if values is None else (type_.value, values)), place, True
        return tuple(parts), place, finished

    def _valued(self, actions: tuple[int, ...], type_: Type) -> tuple[Value, ...] | None:
        if actions not in self._values:
            state = begin(self.problem.input_types, type_, self.grammar).follow(actions)
            expr = state.expression([name for name, _ in self.problem.inputs])
            values, _ = run_on(compile_program(expr, self.problem.inputs), self._packed)
            whole = tuple(value for value in values if value is not None)
            self._values[actions] = whole if len(whole) == len(values) else None
        return self._values[actions]
