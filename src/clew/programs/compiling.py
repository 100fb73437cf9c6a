"""Programs as lists of actions: compiled for the machine from within compiled code, and run on a task's examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs import machine
from clew.programs.grammar import Grammar
from clew.programs.interpret import Arguments
from clew.programs.machine import Words
from clew.programs.primitives import LONGEST, PRIMITIVES, FunctionType, Type
from clew.programs.syntax import Value

STEPS = 20_000
"""No program runs longer on one example here."""
MOST_NODES = 64
"""Nodes of a program, at most."""
_KIND_PRIMITIVE, _KIND_LITERAL, _KIND_INPUT, _KIND_PARAMETER = range(4)
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
    heap = packed.heap(LONGEST * (MOST_NODES + 1))
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
    """Room for programs of up to `MOST_NODES` nodes on so many cases."""
    rows = 3 * MOST_NODES
    return Room(
        np.zeros(MOST_NODES + 1, np.int64),
        np.zeros((rows, 5), np.int64),
        np.zeros((rows, 3), np.int64),
        np.zeros(MOST_NODES + 1, np.int64),
        np.zeros((cases, 4), np.int64),
        np.zeros((cases, LONGEST), np.int64),
    )


@njit(cache=True)
def fits(rows: int, cases: Cases, room: Room, whole: bool) -> int:
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
    return fits(rows, cases, room, True)
