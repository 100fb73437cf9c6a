"""A problem laid out in flat arrays for the compiled search, and terms read back out of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.programs.grammar import NONTERMINALS, Grammar, Production
from clew.programs.primitives import LONGEST, PRIMITIVES, FunctionType, Type
from clew.programs.search import kernel
from clew.programs.search.costs import NEVER, outside_costs, shape_of
from clew.programs.search.problem import Budget, Problem, legal_of
from clew.programs.search.values import (
    KIND_INPUT,
    KIND_LITERAL,
    KIND_PARAMETER,
    KIND_PRIMITIVE,
)
from clew.programs.syntax import PARAMETERS, Call, Expr, Lambda, Literal, Value, Variable

LEVELS = 1024
"""Costs that the search knows: no program costs more."""
MOST_CODE = 24
"""Productions in the body of a lambda, at most."""
LEAST_BITS, TERM_BYTES, VALUE_BYTES = 14, 76, 140
"""The hash table begins with so many slots (a power of two); what a term takes beside its values, table included."""
STANDARD = (0, 1, -1, 2, 3, -2, 4, 5, 7, -3, 10, 6, 8, -5, 9, 12)
"""Probes of a lambda's parameter beside the elements that the examples show."""
PROBES, PAIRS = 32, 48
"""Probes of a body of one parameter, and of two."""
_COMMUTES = frozenset(("add", "mul", "min", "max", "eq"))
_COMMUTES_OUTSIDE = frozenset(("and", "or"))
_NUMBERS = {name: number for number, name in enumerate(PRIMITIVES)}


@dataclass(frozen=True)
class Layout:
    """A search ready to run: its arrays, what they mean, and the contexts that may be the whole program."""

    problem: Problem
    grammar: Grammar
    store: kernel.Store
    plan: kernel.Plan
    lanes: tuple[int, ...]

    @property
    def terms(self) -> int:
        """Terms kept so far."""
        return int(self.store.counters[kernel.C_TERMS])


def probes(problem: Problem, *, per_example: bool) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parameters that bodies are compared on: [probes, 1] of one parameter and [pairs, 2] of two.

    The standard ones, and the numbers that occur in the examples, the most frequent first; half as many where they
    are tried with the inputs of each example (`per_example`).
    """
    seen: dict[int, int] = {}
    for values in (*problem.arguments, problem.results):
        for value in values:
            for each in value if isinstance(value, tuple) else (int(value),):
                seen[each] = seen.get(each, 0) + 1
    frequent = sorted(seen, key=lambda each: (-seen[each], each))
    singles, pairs = (PROBES // 2, PAIRS // 2) if per_example else (PROBES, PAIRS)
    ordered = list(dict.fromkeys([*STANDARD[: singles // 2], *frequent, *STANDARD]))[:singles]
    ones = np.array(ordered, np.int32)[:, None]
    # Steps through the singles that are no multiples of one another: neighbours, far ones, and both orders.
    two, count = [], len(ordered)
    for step in range(count * count):
        first, second = step % count, (step * 7 + step // count * 3 + 1) % count
        two.append((ordered[first], ordered[second]))
    return ones, np.array(list(dict.fromkeys(two))[:pairs], np.int32)


def lay_out(
    problem: Problem, grammar: Grammar, costs: NDArray[np.int32], budget: Budget, *, any_type: bool = False
) -> Layout:
    """Allocate a search: `costs` int32 [contexts, actions] from `costs.quantized`.

    `any_type`: programs of every type are wanted (a bank), not only those of the problem's output.
    """
    examples = len(problem.arguments)
    shape = shape_of(grammar)
    roots = tuple(
        place
        for place, context in enumerate(grammar.contexts)
        if context.parent < 0 and (any_type or context.nonterminal == problem.goal)
    )
    outside, beside = outside_costs(grammar, costs, roots)
    numbers = any(type_ is not Type.LIST for type_ in problem.input_types)
    ones, pairs = probes(problem, per_example=numbers)
    repeats = examples if numbers else 1
    lanes = (examples, examples, examples, *[len(ones) * repeats] * 2, *[len(pairs) * repeats] * 2)
    pool = _Pool()
    acts = np.zeros((grammar.actions, 3), np.int32)
    terminals: dict[tuple[int, int], tuple[int, int]] = {}
    for action, production in enumerate(grammar.productions):
        acts[action] = _act(production)
        _terminal(problem, production, action, pool, acts, terminals, (ones, pairs, repeats))
    target = pool.add(_entries(problem.results, problem.output)) if problem.results else (0, -1)
    stride = examples * LONGEST
    rows = pool.reserve(3 * stride) + 3 * stride
    pool.reserve((MOST_CODE + 3) * stride)
    most = max(1, min(budget.memory // (TERM_BYTES + VALUE_BYTES), budget.nodes + 1024)) + 2
    room = max((budget.memory - most * TERM_BYTES) // 4, 1) + pool.size + examples * (LONGEST + 1) + 4096
    bits = max(LEAST_BITS, int(2 * most).bit_length())
    entries = np.empty(min(room, 2**31 - 1), np.int32)
    entries[: pool.size] = pool.content()
    counters = np.zeros(8, np.int64)
    counters[kernel.C_TOP], counters[kernel.C_BITS] = pool.size, LEAST_BITS
    store = kernel.Store(
        pool=entries,
        terms=np.zeros((most, kernel.COLUMNS), np.int32),
        hashes=np.empty((most, 2), np.uint64),
        table=np.zeros(2**bits, np.int64),
        heads=np.full((len(shape.contexts), LEVELS), -1, np.int32),
        least=np.full(len(shape.contexts), NEVER, np.int32),
        spans=np.empty((400_000, 5), np.int32),
        counters=counters,
    )
    fits = np.where(beside < NEVER, shape.contexts[:, 3], -1).astype(np.int32)
    fixed = np.array(
        [
            examples,
            problem.goal,
            *target,
            rows,
            stride,
            budget.nodes,
            MOST_CODE,
            LEVELS,
            *lanes,
        ],
        np.int64,
    )
    productions = _productions(problem, grammar, outside, terminals)
    return Layout(problem, grammar, store, kernel.Plan(productions, acts, costs, fits, fixed), lanes)


class _Pool:
    """The beginning of the pool: what stands there before the first term."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int32]] = []
        self.size = 0

    def add(self, entries: NDArray[np.int32]) -> tuple[int, int]:
        at = self.size
        self._parts.append(entries.astype(np.int32))
        self.size += len(entries)
        return at, len(entries)

    def reserve(self, entries: int) -> int:
        return self.add(np.zeros(entries, np.int32))[0]

    def content(self) -> NDArray[np.int32]:
        return np.concatenate(self._parts)


def _entries(values: tuple[Value, ...], type_: Type) -> NDArray[np.int32]:
    """Values on all examples as the pool has them."""
    if type_ is not Type.LIST:
        return np.array([int(value) for value in values if not isinstance(value, tuple)], np.int32)
    lists = [value for value in values if isinstance(value, tuple)]
    return np.array([*map(len, lists), *(each for value in lists for each in value)], np.int32)


def _act(production: Production) -> tuple[int, int, int]:
    if production.primitive:
        arity = len(PRIMITIVES[production.primitive].parameters)
        return KIND_PRIMITIVE, _NUMBERS[production.primitive], arity
    if production.literal is not None:
        return KIND_LITERAL, production.literal, 0
    if production.input is not None:
        return KIND_INPUT, production.input, 0  # the last is where its values stand, set when they are laid out
    return KIND_PARAMETER, production.parameter or 0, 0


def _terminal(
    problem: Problem,
    production: Production,
    action: int,
    pool: _Pool,
    acts: NDArray[np.int32],
    terminals: dict[tuple[int, int], tuple[int, int]],
    probed: tuple[NDArray[np.int32], NDArray[np.int32], int],
) -> None:
    """Lay out the values of a literal, an input or a parameter for each nonterminal where it may stand."""
    ones, pairs, repeats = probed
    if production.primitive or (production.input is not None and production.input >= len(problem.inputs)):
        return
    examples = len(problem.arguments)
    for place, (type_, scope) in enumerate(NONTERMINALS):
        points = (ones, ones, pairs)[scope]
        if production.literal is not None and type_ is Type.INT:
            lanes = len(points) * repeats if scope else examples
            terminals[place, action] = pool.add(np.full(lanes, production.literal, np.int32))
        elif production.input is not None and problem.input_types[production.input] is type_:
            values = tuple(arguments[production.input] for arguments in problem.arguments)
            entries = _entries(values, type_)
            terminals[place, action] = pool.add(np.repeat(entries, len(points)) if scope else entries)
            if not scope:
                acts[action, 2] = terminals[place, action][0]
        elif production.parameter is not None and type_ is Type.INT and production.parameter < scope:
            terminals[place, action] = pool.add(np.tile(points[:, production.parameter], repeats))


def _productions(
    problem: Problem,
    grammar: Grammar,
    outside: NDArray[np.int32],
    terminals: dict[tuple[int, int], tuple[int, int]],
) -> NDArray[np.int32]:
    """The table that a level walks, by falling outside cost of what is built: see `costs`."""
    below = shape_of(grammar).below
    rows = []
    for place, legal in enumerate(legal_of(problem, grammar)):
        scope = NONTERMINALS[place].scope
        for action in legal:
            if outside[place, action] >= NEVER:
                continue
            row = np.zeros(kernel.PRODUCTION_COLUMNS, np.int32)
            row[kernel.P_PLACE], row[kernel.P_ACTION] = place, action
            row[kernel.P_OUTSIDE] = outside[place, action]
            name = grammar.productions[action].primitive
            if name:
                primitive = PRIMITIVES[name]
                arity = len(primitive.parameters)
                row[kernel.P_ARITY] = arity
                row[kernel.P_CONTEXT : kernel.P_CONTEXT + arity] = below[action, scope, :arity]
                row[kernel.P_OP] = _NUMBERS[name]
                row[kernel.P_COMMUTES] = name in _COMMUTES or (scope == 0 and name in _COMMUTES_OUTSIDE)
                if isinstance(primitive.parameters[0], FunctionType):
                    row[kernel.P_SHAPE] = kernel.SHAPE_BODY
                elif Type.LIST in (*primitive.parameters, primitive.result):
                    row[kernel.P_SHAPE] = kernel.SHAPE_LIST
                else:
                    row[kernel.P_SHAPE] = kernel.SHAPE_LANES
            else:
                row[kernel.P_VALUE], row[kernel.P_ENTRIES] = terminals[place, action]
            rows.append(row)
    # The outside cost falls from row to row, so that equal levels build children before their parents.
    rows.sort(key=lambda row: (-int(row[kernel.P_OUTSIDE]), int(row[kernel.P_PLACE]), int(row[kernel.P_ACTION])))
    return np.array(rows, np.int32).reshape(-1, kernel.PRODUCTION_COLUMNS)


def term_expr(layout: Layout, term: int) -> Expr:
    """The tree of a term. The body of a lambda comes without its lambda."""
    row = layout.store.terms[term]
    production = layout.grammar.productions[row[kernel.ACTION]]
    if production.literal is not None:
        return Literal(production.literal)
    if production.input is not None:
        return Variable(layout.problem.inputs[production.input][0])
    if production.parameter is not None:
        return Variable(PARAMETERS[production.parameter])
    arguments: list[Expr] = []
    for place, parameter in enumerate(PRIMITIVES[production.primitive].parameters):
        child = term_expr(layout, int(row[kernel.FIRST + place]))
        if isinstance(parameter, FunctionType):
            child = Lambda(PARAMETERS[: parameter.parameters], child)
        arguments.append(child)
    return Call(production.primitive, tuple(arguments))


def term_actions(layout: Layout, term: int) -> list[int]:
    """A term's productions in the order of a leftmost derivation."""
    row = layout.store.terms[term]
    action = int(row[kernel.ACTION])
    name = layout.grammar.productions[action].primitive
    found = [action]
    for place in range(len(PRIMITIVES[name].parameters) if name else 0):
        found += term_actions(layout, int(row[kernel.FIRST + place]))
    return found


def term_values(layout: Layout, term: int) -> tuple[Value, ...]:
    """A term's value on each example; of a body, its values at the probes (an error is `values.ERROR`)."""
    row = layout.store.terms[term]
    at, entries = int(row[kernel.VALUE]), int(row[kernel.ENTRIES])
    place = int(row[kernel.PLACE])
    numbers = layout.store.pool[at : at + entries].tolist()
    if NONTERMINALS[place].type is Type.BOOL and place < kernel.BODIES:
        return tuple(bool(each) for each in numbers)
    if NONTERMINALS[place].type is not Type.LIST:
        return tuple(numbers)
    examples = len(layout.problem.arguments)
    values, begin = [], examples
    for length in numbers[:examples]:
        values.append(tuple(numbers[begin : begin + length]))
        begin += length
    return tuple(values)
