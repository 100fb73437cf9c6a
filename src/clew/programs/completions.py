"""The cheapest completions of a partial program, run on the examples: what a state's value, guard and latency are.

Open places are filled with terms of a bank: of each type the ones that differ on the task's inputs, the smallest of
each. Completions are taken by rising size of what is filled in, all in one fixed order, up to a budget. So the value of
a state is exact: 1 where one of these completions fits all examples, 0 where none of them does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.programs import machine
from clew.programs.grammar import NONTERMINALS, Grammar
from clew.programs.interpret import Arguments
from clew.programs.machine import Words
from clew.programs.primitives import LONGEST, PRIMITIVES, FunctionType, Type
from clew.programs.search.enumeration import Bank
from clew.programs.states import State
from clew.programs.syntax import Value

BUDGET = 1000
"""Completions of a state that are tried."""
STEPS = 20_000
"""No completion runs longer on one example."""
_MOST = 64
"""Nodes of a completion, at most."""
_KIND_PRIMITIVE, _KIND_LITERAL, _KIND_INPUT, _KIND_PARAMETER = range(4)
_LARGEST_FILLER = 8
_OPEN = 1
_ROW, _PATCH, _JUMP, _LAND, _NEXT = 2, 3, 4, 5, 6
_NODES = {name: number for number, name in enumerate(PRIMITIVES)}
_IF, _AND, _OR = _NODES["if"], _NODES["and"], _NODES["or"]


class Acts(NamedTuple):
    """A grammar's actions as the compiler reads them."""

    kinds: NDArray[np.int64]
    """[actions]: primitive, literal, input or parameter."""
    operands: NDArray[np.int64]
    """[actions]: the primitive's number, the literal, the place."""
    arities: NDArray[np.int64]
    loops: NDArray[np.bool_]
    """[actions]: whether the first argument is a function."""


def acts_of(grammar: Grammar) -> Acts:
    """The actions of a grammar as arrays."""
    count = grammar.actions
    found = Acts(np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, bool))
    for action, each in enumerate(grammar.productions):
        if each.primitive:
            parameters = PRIMITIVES[each.primitive].parameters
            found.operands[action], found.arities[action] = _NODES[each.primitive], len(parameters)
            found.loops[action] = any(isinstance(parameter, FunctionType) for parameter in parameters)
        elif each.literal is not None:
            found.kinds[action], found.operands[action] = _KIND_LITERAL, each.literal
        elif each.input is not None:
            found.kinds[action], found.operands[action] = _KIND_INPUT, each.input
        else:
            found.kinds[action], found.operands[action] = _KIND_PARAMETER, each.parameter or 0
    return found


@njit(cache=True)
def compiled(actions: Words, count: int, inputs: int, acts: Acts, code: Words, work: Words, ends: Words) -> int:
    """Write the machine's code for the program with these nodes in reading order; return how many rows it has.

    `code` [rows, 5], `work` [rows, 3] and `ends` [nodes + 1] have room for it. A body holds no lambda, so that its
    parameters have the two slots behind the inputs.
    """
    for node in range(count - 1, -1, -1):
        end = node + 1
        for _ in range(acts.arities[actions[node]]):
            end = ends[end]
        ends[node] = end
    waiting, rows = 1, 0
    work[0, 0], work[0, 1] = _OPEN, 0
    while waiting:
        waiting -= 1
        what, node, extra = work[waiting, 0], work[waiting, 1], work[waiting, 2]
        if what == _OPEN:
            action = actions[node]
            kind, operand = acts.kinds[action], acts.operands[action]
            if kind != _KIND_PRIMITIVE:
                code[rows, 0] = machine.LITERAL if kind == _KIND_LITERAL else machine.LOAD
                code[rows, 1] = operand + (inputs if kind == _KIND_PARAMETER else 0)
                code[rows, 2:] = 0
                rows += 1
                continue
            first = node + 1
            second = ends[first] if acts.arities[action] > 1 else first
            third = ends[second] if acts.arities[action] > 2 else second
            if operand == _IF:
                _push(work, waiting, _JUMP, third, node)
                _push(work, waiting + 1, _OPEN, second, 0)
                _push(work, waiting + 2, _PATCH, node, operand)
                _push(work, waiting + 3, _OPEN, first, 0)
                waiting += 4
            elif operand in (_AND, _OR):
                _push(work, waiting, _LAND, node, 0)
                _push(work, waiting + 1, _OPEN, second, 0)
                _push(work, waiting + 2, _PATCH, node, operand)
                _push(work, waiting + 3, _OPEN, first, 0)
                waiting += 4
            elif acts.loops[action]:
                _push(work, waiting, _ROW, node, operand)
                waiting += 1
                if acts.arities[action] > 2:
                    _push(work, waiting, _OPEN, third, 0)
                    waiting += 1
                _push(work, waiting, _OPEN, second, 0)
                waiting += 1
            else:
                _push(work, waiting, _ROW, node, operand)
                waiting += 1
                if acts.arities[action] > 2:
                    _push(work, waiting, _OPEN, third, 0)
                    waiting += 1
                if acts.arities[action] > 1:
                    _push(work, waiting, _OPEN, second, 0)
                    waiting += 1
                _push(work, waiting, _OPEN, first, 0)
                waiting += 1
        elif what == _PATCH:
            # The choice: where it leads is known when the branch behind it stands. Its row waits in `ends`.
            code[rows, 0], code[rows, 1:] = extra, 0
            ends[node] = rows
            rows += 1
        elif what == _LAND:
            code[ends[node], 1] = rows
        elif what == _JUMP:
            code[rows, 0], code[rows, 1:] = machine.JUMP, 0
            code[ends[extra], 1] = rows + 1
            ends[extra] = rows
            rows += 1
            _push(work, waiting, _LAND, extra, 0)
            _push(work, waiting + 1, _OPEN, node, 0)
            waiting += 2
        elif what == _NEXT:
            code[rows, 0], code[rows, 1], code[rows, 2], code[rows, 3] = machine.NEXT, extra, inputs, 0
            code[rows, 4] = ends[node] + 1
            code[ends[node], 1] = rows + 1
            rows += 1
        else:
            code[rows, 0], code[rows, 1], code[rows, 2], code[rows, 3], code[rows, 4] = extra, 0, inputs, 0, 0
            if acts.loops[actions[node]]:
                ends[node] = rows
                _push(work, waiting, _NEXT, node, extra)
                _push(work, waiting + 1, _OPEN, node + 1, 0)
                waiting += 2
            rows += 1
    return rows


@njit(cache=True)
def _push(work: Words, at: int, what: int, node: int, extra: int) -> None:
    work[at, 0], work[at, 1], work[at, 2] = what, node, extra


class Fillers(NamedTuple):
    """What open places are filled with: terms in the order in which they are taken."""

    actions: NDArray[np.int64]
    """The nodes of all terms in reading order, one term after another."""
    starts: NDArray[np.int64]
    """[terms + 1] where a term begins in `actions`."""
    classes: NDArray[np.int64]
    """[nonterminals, sizes + 1]: the first term of a nonterminal and size; the next size begins where it ends."""


class Cases(NamedTuple):
    """The examples of a task in the machine's form."""

    inputs: Words
    heap: Words
    used: int
    values: Words
    """[cases] the result: a number, 0 or 1, or a list's length."""
    lists: Words
    """[cases, longest] the elements of results that are lists."""
    is_list: bool


def fillers_of(bank: Bank, budget: int = BUDGET) -> Fillers:
    """The cheapest `budget` terms of each nonterminal of a bank, by size and then as the bank found them."""
    actions: list[int] = []
    starts = [0]
    classes = np.zeros((len(NONTERMINALS), _LARGEST_FILLER + 2), np.int64)
    for place in range(len(NONTERMINALS)):
        left = budget
        classes[place, :2] = len(starts) - 1
        for size in range(1, _LARGEST_FILLER + 1):
            for term in bank.of(place, size=size)[:left].tolist():
                actions += bank.actions(term)
                starts.append(len(actions))
                left -= 1
            classes[place, size + 1] = len(starts) - 1
    return Fillers(np.array(actions, np.int64), np.array(starts, np.int64), classes)


def cases_of(types: Sequence[Type], arguments: Sequence[Sequence[Value]], results: Sequence[Value]) -> Cases:
    """The examples of a task in the machine's form."""
    packed = Arguments(types, arguments)
    is_list = isinstance(results[0], tuple)
    lists = np.zeros(
        (len(results), max((len(each) for each in results if isinstance(each, tuple)), default=1)), np.int64
    )
    values = np.zeros(len(results), np.int64)
    for case, result in enumerate(results):
        if isinstance(result, tuple):
            values[case] = len(result)
            lists[case, : len(result)] = result
        else:
            values[case] = int(result)
    heap = packed.heap(LONGEST * (_MOST + 1))
    return Cases(packed.values, heap, packed.used, values, lists, is_list)


class Room(NamedTuple):
    """Arrays to work in."""

    program: Words
    code: Words
    work: Words
    ends: Words
    results: Words
    lists: Words


def room_for(cases: int) -> Room:
    """Room for programs of up to `_MOST` nodes on so many cases."""
    rows = 3 * _MOST
    return Room(
        np.zeros(_MOST + 1, np.int64),
        np.zeros((rows, 5), np.int64),
        np.zeros((rows, 3), np.int64),
        np.zeros(_MOST + 1, np.int64),
        np.zeros((cases, 4), np.int64),
        np.zeros((cases, LONGEST), np.int64),
    )


@njit(cache=True)
def _fits(rows: int, cases: Cases, room: Room, whole: bool) -> int:
    """Run the code in `room.code`: how many cases it fits, of all if `whole`, else of those before the first misfit."""
    inputs = cases.inputs.shape[1]
    sizes = (rows + 1, inputs + 3, 2)
    fitted = 0
    lists = room.lists if cases.is_list else room.lists[:0]
    for case in range(cases.inputs.shape[0]):
        machine.run_cases(
            room.code[:rows],
            cases.inputs[case : case + 1],
            cases.heap,
            cases.used,
            sizes,
            STEPS,
            room.results[case : case + 1],
            lists[case : case + 1],
        )
        good = room.results[case, machine.ERROR] == machine.FINE and room.results[case, 0] == cases.values[case]
        if good and cases.is_list:
            for place in range(cases.values[case]):
                if room.lists[case, place] != cases.lists[case, place]:
                    good = False
                    break
        if not good and not whole:
            return fitted
        fitted += good
    return fitted


@njit(cache=True)
def run_program(actions: Words, count: int, acts: Acts, cases: Cases, room: Room) -> int:
    """Run one program on all cases into `room.results` and `room.lists`; return how many it fits."""
    rows = compiled(actions, count, cases.inputs.shape[1], acts, room.code, room.work, room.ends)
    return _fits(rows, cases, room, True)


@njit(cache=True)
def search_completions(
    path: Words,
    holes: Words,
    fillers: Fillers,
    acts: Acts,
    cases: Cases,
    room: Room,
    budget: int,
    draw: int,
    drawn: Words,
) -> tuple[int, int, int]:
    """Try the cheapest completions of a partial program.

    `path`: its actions; `holes`: the nonterminals of its open places, the leftmost first. The completion number `draw`
    (of those there are: the last where there are fewer) is written to `drawn`. Returns (whether one of `budget`
    completions fits, the nodes of the drawn one, how many were tried); it stops early where both are known.
    """
    open_places, known = holes.size, path.size
    sizes = np.ones(open_places, np.int64)
    places = np.zeros(open_places, np.int64)
    tried, solved, length = 0, 0, 0
    room.program[:known] = path
    for total in range(open_places, _LARGEST_FILLER * open_places + 1):
        # sizes of the fillers: every way to write `total` as a sum, in lexicographic order
        sizes[:] = 1
        sizes[open_places - 1] = total - open_places + 1
        more = True
        while more:
            possible = True
            for hole in range(open_places):
                size = sizes[hole]
                if size > _LARGEST_FILLER:
                    possible = False
                    break
                places[hole] = fillers.classes[holes[hole], size]
                if places[hole] == fillers.classes[holes[hole], size + 1]:
                    possible = False
                    break
            while possible:
                count = known
                for hole in range(open_places):
                    term = places[hole]
                    for at in range(fillers.starts[term], fillers.starts[term + 1]):
                        if count < _MOST:
                            room.program[count] = fillers.actions[at]
                        count += 1
                if count <= _MOST:
                    if tried <= draw:
                        drawn[:count] = room.program[:count]
                        length = count
                    if not solved:
                        inputs = cases.inputs.shape[1]
                        rows = compiled(room.program, count, inputs, acts, room.code, room.work, room.ends)
                        if _fits(rows, cases, room, False) == cases.inputs.shape[0]:
                            solved = 1
                    tried += 1
                    if tried >= budget or (solved and tried > draw):
                        return solved, length, tried
                hole = open_places - 1
                while hole >= 0:
                    places[hole] += 1
                    if places[hole] < fillers.classes[holes[hole], sizes[hole] + 1]:
                        break
                    places[hole] = fillers.classes[holes[hole], sizes[hole]]
                    hole -= 1
                possible = hole >= 0
            # the next way: raise the last but one that can be, and give what is left to the last
            hole = open_places - 2
            while hole >= 0:
                left = sizes[open_places - 1]
                if left > 1:
                    sizes[hole] += 1
                    sizes[open_places - 1] = left - 1
                    break
                sizes[open_places - 1] = sizes[hole]
                sizes[hole] = 1
                hole -= 1
            more = hole >= 0
    return solved, length, tried


@dataclass(frozen=True)
class Labeller:
    """The examples of one task and the fillers of its inputs, ready to label states."""

    acts: Acts
    fillers: Fillers
    cases: Cases
    room: Room
    budget: int = BUDGET

    def completions(self, state: State, draw: int) -> tuple[int, tuple[int, ...], int]:
        """(value, the actions of completion number `draw`, how many were tried) of a state that is not complete.

        Where the bank has nothing that fits an open place, no completion is tried and no actions are given.
        """
        drawn = np.zeros(_MOST + 1, np.int64)
        holes = np.array([hole.nonterminal for hole in reversed(state.holes)], np.int64)
        path = np.array(state.actions, np.int64)
        value, length, tried = search_completions(
            path, holes, self.fillers, self.acts, self.cases, self.room, self.budget, draw, drawn
        )
        return int(value), tuple(drawn[:length].tolist()), int(tried)

    def run(self, actions: Sequence[int]) -> tuple[Words, int]:
        """Run a program: int64 [cases, 4] as `machine` says (until the next call), and how many cases it fits.

        Raises `UsageError` for no actions, and for more than there is room for.
        """
        if not 0 < len(actions) <= _MOST:
            raise UsageError(f"A program here has from 1 to {_MOST} nodes, not {len(actions)}.")
        fitted = run_program(np.array(actions, np.int64), len(actions), self.acts, self.cases, self.room)
        return self.room.results, int(fitted)
