"""What a model sees of a state: numbers of the task (a property signature of its examples) and of the partial program.

A row is `[task | state]`. The state's part has a flag: 1 where the partial program is given, 0 where only the hole's
context is (grammar mode), so that one net serves both uses. The small grammar has 32 numbers a row, the contract's
reference size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.programs import signature
from clew.programs.execution import MEASURES, Runner
from clew.programs.grammar import NONTERMINALS, SMALL, Grammar
from clew.programs.primitives import Type
from clew.programs.search.problem import Problem
from clew.programs.search.problem import of_task as of_task_file
from clew.programs.states import NONE, Signature, State
from clew.programs.syntax import Call, Expr, nodes
from clew.programs.task import Task

Row = NDArray[np.float32]
Counts = NDArray[np.uint8]

LATENCY = 8.0
"""log1p of steps is divided by this, so that a net's output is of the size of its others."""

_TYPES = (Type.INT, Type.BOOL, Type.LIST)
_KINDS = {Type.INT: 0, Type.BOOL: 1, Type.LIST: 2}
_LONGEST_ARGUMENT = 3
_SLOTS = 3
_WORDS_OF_CONTRACTS = ("length", "sort", "sum", "all", "any", "contains", "maximum", "minimum", "eq", "le", "lt", "mod")
_WORDS_OF_REQUIREMENTS = ("is_empty", "length", "le", "lt", "all", "eq")
_RAW = (
    *(f"input {slot} is {kind}" for slot in range(_SLOTS) for kind in ("int", "bool", "list", "missing")),
    *(f"the result is {kind}" for kind in ("int", "bool", "list")),
    *("examples", "different results", "share of the commonest result", "true results"),
    *(f"{what} of {whose}" for whose in "AB" for what in ("length", "mean", "smallest", "largest", "negative share")),
    *(f"{what} of the result" for what in ("length", "mean", "smallest", "largest", "negative share", "even share")),
    *("length over A's", "length over B's", "largest over A's", "mean n", "smallest n", "largest n", "mean m"),
    *(f"ensures speaks of {word}" for word in _WORDS_OF_CONTRACTS),
    *(f"requires speaks of {word}" for word in _WORDS_OF_REQUIREMENTS),
    *("conditions ensured", "conditions required"),
)

_SMALL_TASK = (
    *("the result is sort A", "the result is reverse A", "the result is take 2 A", "the result is drop 2 A"),
    *("the result rearranges A", "the result is part of A", "the result begins A", "the result begins sort A"),
    *("the result begins reverse A", "the result: ends A", "the result: ends sort A", "the result: ends reverse A"),
    *("the result: A all in it", "the result is length A", "the result is int", "length over A's"),
)
_SMALL_PARENTS = 7
_SMALL_STATE = _SMALL_PARENTS + 9


def latency_of(steps: float) -> float:
    """The latency that a model is to say for a program of `steps` counted steps: log1p(steps) / `LATENCY`."""
    return math.log1p(steps) / LATENCY


def steps_of(latency: float) -> float:
    """The inverse of `latency_of`."""
    return math.expm1(latency * LATENCY)


class Roles(NamedTuple):
    """The examples of a task by role: A, B, n, m and the result, as `signature.properties` takes them."""

    lists: NDArray[np.int64]
    sizes: NDArray[np.int64]
    numbers: NDArray[np.int64]
    has: NDArray[np.int8]
    kind: int


@dataclass(frozen=True)
class Layout:
    """Where what stands in a row of a grammar."""

    grammar: Grammar
    task: int
    """Numbers of the task's part, which is the first."""
    state: int
    """Numbers of the state's part."""

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return self.task + self.state


@cache
def _layouts() -> dict[str, Layout]:
    return {}


def layout(grammar: Grammar) -> Layout:
    """The layout of a grammar's rows."""
    found = _layouts().get(grammar.name)
    if found is None:
        if grammar.name == SMALL.name:
            found = Layout(grammar, len(_SMALL_TASK), _SMALL_STATE)
        else:
            found = Layout(grammar, signature.PROPERTIES + len(_RAW), _counted(grammar) + len(MEASURES))
        _layouts()[grammar.name] = found
    return found


def _counted(grammar: Grammar) -> int:
    """Nonterminal, argument, parent, grandparent, left neighbour; counts of actions, open holes; size, holes, flag."""
    if grammar.name == SMALL.name:
        return _SMALL_STATE
    return 2 * len(NONTERMINALS) + _LONGEST_ARGUMENT + 3 * (grammar.actions + 1) + grammar.actions + 3


def input_dim(grammar: Grammar) -> int:
    """Numbers in a row of features."""
    return layout(grammar).width


def about(grammar: Grammar) -> dict[str, Any]:
    """What a guide of this grammar reads and chooses among, for its bundle."""
    return {
        "family": "programs",
        "observation": {"kind": "program", "size": input_dim(grammar), "task": layout(grammar).task},
        "actions": {
            "kind": "grammar",
            "grammar": grammar.name,
            "names": [str(production) for production in grammar.productions],
        },
        "latency": {"scale": LATENCY, "unit": "log1p of steps / scale"},
    }


def task_names(grammar: Grammar) -> tuple[str, ...]:
    """What each number of the task's part says."""
    return _SMALL_TASK if grammar.name == SMALL.name else (*signature.names(), *_RAW)


def of_task(problem: Problem, grammar: Grammar) -> Row:
    """The task's part of a row, float32 [layout.task], every number between -1 and about 1."""
    roles = roles_of(problem)
    found = signature.properties(*roles)
    whole = np.concatenate((found, _raw(problem, roles)))
    if grammar.name != SMALL.name:
        return whole
    return whole[_small_places()]


@cache
def _small_places() -> NDArray[np.int64]:
    names = (*signature.names(), *_RAW)
    return np.array([names.index(name) for name in _SMALL_TASK])


def roles_of(problem: Problem) -> Roles:
    """The examples of a task by role. A list that is not there is empty, a number that is not there 0."""
    examples = len(problem.results)
    list_places = [place for place, (_, type_) in enumerate(problem.inputs) if type_ is Type.LIST][:2]
    number_places = [place for place, (_, type_) in enumerate(problem.inputs) if type_ is not Type.LIST][:2]
    columns = [[arguments[place] for arguments in problem.arguments] for place in list_places]
    if problem.output is Type.LIST:
        columns += [[]] * (2 - len(columns)) + [list(problem.results)]
    longest = max((len(_as_list(value)) for column in columns for value in column), default=0)
    lists = np.zeros((examples, 3, max(1, longest)), np.int64)
    sizes = np.zeros((examples, 3), np.int64)
    for role, column in enumerate(columns):
        for example, value in enumerate(column):
            elements = _as_list(value)
            sizes[example, role] = len(elements)
            lists[example, role, : len(elements)] = elements
    numbers = np.zeros((examples, 3), np.int64)
    for role, place in enumerate(number_places):
        numbers[:, role] = [arguments[place] for arguments in problem.arguments]
    if problem.output is not Type.LIST:
        numbers[:, 2] = problem.results
    has = np.array(
        [len(list_places) > 0, len(list_places) > 1, len(number_places) > 0, len(number_places) > 1], np.int8
    )
    return Roles(lists, sizes, numbers, has, _KINDS[problem.output])


def _as_list(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else ()


def _squeezed(value: float) -> float:
    """Any number as one near 1: sign and logarithm."""
    return math.copysign(math.log1p(abs(value)), value) / 6.0


def _list_numbers(lists: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[float]]:
    inside = np.arange(lists.shape[1]) < sizes[:, None]
    values = lists[inside]
    if not values.size:
        return values, [0.0] * 5
    extremes = [_squeezed(float(values.min())), _squeezed(float(values.max()))]
    return values, [
        2 * _squeezed(float(sizes.mean())),
        _squeezed(float(values.mean())),
        *extremes,
        float((values < 0).mean()),
    ]


def _raw(problem: Problem, roles: Roles) -> Row:
    lists, sizes, numbers, has, kind = roles
    row: list[float] = []
    types = [type_ for _, type_ in problem.inputs]
    for slot in range(_SLOTS):
        row += [float(slot < len(types) and types[slot] is type_) for type_ in _TYPES] + [float(slot >= len(types))]
    row += [float(kind == place) for place in range(3)]
    counts: dict[object, int] = {}
    for result in problem.results:
        counts[result] = counts.get(result, 0) + 1
    examples = max(1, len(problem.results))
    true_share = float(numbers[:, 2].mean()) if kind == 1 else 0.0
    row += [examples / 10, len(counts) / examples, max(counts.values(), default=0) / examples, true_share]
    values_a, about_a = _list_numbers(lists[:, 0], sizes[:, 0])
    row += about_a + _list_numbers(lists[:, 1], sizes[:, 1])[1]
    values, about = _list_numbers(lists[:, 2], sizes[:, 2])
    if kind == 0:
        values, about = _list_numbers(numbers[:, 2:], np.ones(len(numbers), np.int64))
    row += [*about, float((values % 2 == 0).mean()) if values.size else 0.0]
    length = float(sizes[:, 2].sum())
    row += [min(2.0, length / max(1, sizes[:, role].sum())) if kind == 2 else 0.0 for role in (0, 1)]
    largest = [float(np.abs(each).max()) if each.size else 0.0 for each in (values, values_a)]
    row.append(_squeezed(largest[0]) - _squeezed(largest[1]))
    n, m = numbers[:, 0], numbers[:, 1]
    row += [_squeezed(float(n.mean())), _squeezed(float(n.min())), _squeezed(float(n.max()))] if has[2] else [0.0] * 3
    row.append(_squeezed(float(m.mean())) if has[3] else 0.0)
    ensured, required = _words(problem.ensures), _words(problem.requires)
    row += [float(word in ensured) for word in _WORDS_OF_CONTRACTS]
    row += [float(word in required) for word in _WORDS_OF_REQUIREMENTS]
    row += [len(problem.ensures) / 3, len(problem.requires) / 3]
    return np.array(row, np.float32)


def _words(conditions: Iterable[Expr]) -> set[str]:
    return {node.primitive for condition in conditions for node in nodes(condition) if isinstance(node, Call)}


def of_state(task: Row, state: State) -> Row:
    """The row float32 [input_dim] of a state whose task's part is `task`; of a complete state only that part is set."""
    found = layout(state.grammar)
    row = np.empty(found.width, np.float32)
    row[: found.task] = task
    row[found.task :] = state_row(state)
    return row


def state_row(state: State) -> Row:
    """The state's part of a row, float32 [layout.state]: its nodes and places, then what running it plainly gives."""
    row = counts_of(state) * scale(state.grammar)
    if state.grammar.name == SMALL.name:
        return row
    measured = np.zeros(len(MEASURES), np.float32)
    if state.holes and state.problem is not None:
        runner = _runner(state.problem, state.grammar)
        measured = runner.measures(state.actions, [hole.nonterminal for hole in reversed(state.holes)])
    return np.concatenate((row, measured))


_RUNNERS: dict[int, tuple[Signature, Runner]] = {}
"""The tasks whose states were last asked for, by identity: their hashes would take longer than a run."""
_MOST_RUNNERS = 1024


def _runner(problem: Signature, grammar: Grammar) -> Runner:
    found = _RUNNERS.get(id(problem))
    if found is None:
        if len(_RUNNERS) >= _MOST_RUNNERS:
            del _RUNNERS[next(iter(_RUNNERS))]
        asked = of_task_file(problem) if isinstance(problem, Task) else problem
        if not isinstance(asked, Problem):
            raise UsageError("A state's features need a task with examples: start the state with a Problem or a Task.")
        found = _RUNNERS[id(problem)] = problem, Runner(asked, grammar)
    return found[1]


def counts_of(state: State) -> Counts:
    """The nodes and places of a state as whole numbers, uint8 [n]; times `scale` they are what a model sees."""
    grammar = state.grammar
    row = np.zeros(_counted(grammar), np.uint8)
    if not state.holes:
        return row
    hole = state.holes[-1]
    if grammar.name == SMALL.name:
        row[hole.parent + 1] = 1
        at, taken = _SMALL_PARENTS, state.actions
        row[at : at + 6] = (hole.nonterminal == 0, hole.argument, hole.left != NONE, len(taken), len(state.holes), 1)
        row[at + 6 : at + 9] = (taken.count(0), taken.count(1), taken.count(2) + taken.count(3))
        return row
    actions = grammar.actions
    _write_context(row, hole.nonterminal, hole.argument, hole.parent)
    at = len(NONTERMINALS) + _LONGEST_ARGUMENT + actions + 1
    row[at + hole.grandparent + 1] = 1
    row[at + actions + 1 + hole.left + 1] = 1
    at += 2 * (actions + 1)
    for action in state.actions:
        row[at + action] += 1
    at += actions
    for each in state.holes:
        row[at + each.nonterminal] += 1
    row[-3:] = (len(state.actions), len(state.holes), 1)
    return row


def scale(grammar: Grammar) -> Row:
    """What the whole numbers of `counts_of` are multiplied with, float32 [n]."""
    found = _scales().get(grammar.name)
    if found is None:
        found = np.ones(_counted(grammar), np.float32)
        if grammar.name == SMALL.name:
            found[_SMALL_PARENTS + 3 : _SMALL_PARENTS + 5] = (0.1, 0.2)
            found[-3:] = 0.5
        else:
            found[-3 - len(NONTERMINALS) - grammar.actions : -3] = 0.5
            found[-3:] = (0.1, 0.2, 1.0)
        found.flags.writeable = False
        _scales()[grammar.name] = found
    return found


@cache
def _scales() -> dict[str, Row]:
    return {}


def _write_context(row: Counts | Row, nonterminal: int, argument: int, parent: int) -> None:
    row[nonterminal] = 1
    row[len(NONTERMINALS) + argument] = 1
    row[len(NONTERMINALS) + _LONGEST_ARGUMENT + parent + 1] = 1


def of_contexts(task: Row, grammar: Grammar) -> Row:
    """The rows of grammar mode, float32 [contexts, input_dim]: task and context alone, the flag 0."""
    found = layout(grammar)
    rows = np.empty((len(grammar.contexts), found.width), np.float32)
    rows[:, : found.task] = task
    rows[:, found.task :] = context_rows(grammar)
    return rows


@cache
def _context_rows() -> dict[str, Row]:
    return {}


def context_rows(grammar: Grammar) -> Row:
    """The state's part of the rows of grammar mode, float32 [contexts, layout.state]; the same for all tasks."""
    found = _context_rows().get(grammar.name)
    if found is None:
        found = np.zeros((len(grammar.contexts), layout(grammar).state), np.float32)
        for row, context in zip(found, grammar.contexts, strict=True):
            if grammar.name == SMALL.name:
                row[context.parent + 1] = 1
                row[_SMALL_PARENTS : _SMALL_PARENTS + 2] = (context.nonterminal == 0, context.argument)
            else:
                _write_context(row, context.nonterminal, context.argument, context.parent)
        found.flags.writeable = False
        _context_rows()[grammar.name] = found
    return found
