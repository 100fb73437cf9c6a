"""What a partial program gives when its open places are filled plainly, compared with what the examples want.

An open list is filled with the first input that is a list, an open number with the first that is one, the body of a
lambda with its parameter (the sum of both, where it has two), an open condition with one that holds. The program is
then run on the examples; how its results relate to the wanted ones tells a model more of a partial program than its
nodes do (execution guidance; Chen, Liu and Song 2019, "Execution-guided neural program synthesis").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs import machine
from clew.programs.compiling import MOST_NODES, STEPS, Acts, Cases, Room, acts_of, cases_of, room_for, run_program
from clew.programs.grammar import NONTERMINALS, Grammar, Production
from clew.programs.interpret import compile_program
from clew.programs.machine import Words
from clew.programs.primitives import Type
from clew.programs.task import RESULT

if TYPE_CHECKING:
    from clew.programs.search.problem import Problem

MEASURES = (
    *(
        "errs",
        "steps",
        "gives the result",
        "as long",
        "rearranged",
        "result is a part of it",
        "it is a part of the result",
    ),
    *("result keeps its order", "result begins it", "it begins the result", "longer than the result", "sorted"),
    *("not empty", "nothing below 0", "no repeats", "same sum", "elements in place", "same last", "above the result"),
    *("always as far from the result", "always as many times the result", "even", "true", "below 0", "unmet"),
)
"""What is measured, each as a share of the examples, but for the steps (log1p of their mean, divided by 8). "unmet" is
the share of examples on which what the task ensures is not so."""
_UNMET = MEASURES.index("unmet")


class Runner:
    """The examples of a task, ready to run partial programs on."""

    def __init__(self, problem: Problem, grammar: Grammar) -> None:
        self.acts: Acts = acts_of(grammar)
        self.cases: Cases = cases_of(problem.input_types, problem.arguments, problem.results)
        self.room: Room = room_for(len(problem.results))
        self._kind = {Type.INT: 0, Type.BOOL: 1, Type.LIST: 2}[problem.output]
        self._fillers, self._sizes = _plain(problem.input_types, grammar)
        judged = (*problem.inputs, (RESULT, problem.output))
        self._conditions = [compile_program(each, judged) for each in problem.ensures]
        self._unmet = np.zeros(len(problem.results), np.bool_)

    def measures(self, path: tuple[int, ...], holes: list[int]) -> NDArray[np.float32]:
        """`MEASURES` float32 of a partial program: its actions, and the nonterminals of its open places in order.

        All 0 where it cannot be filled plainly, or has become longer than there is room for.
        """
        found = np.zeros(len(MEASURES), np.float32)
        program = self.room.program
        count = len(path)
        if count + 3 * len(holes) <= MOST_NODES:
            program[:count] = path
            for hole in holes:
                size = self._sizes[hole]
                if size == 0:
                    return found
                program[count : count + size] = self._fillers[hole, :size]
                count += size
            run_program(program, count, self.acts, self.cases, self.room)
            _measure(self._kind, self.cases, self.room, found)
            if self._conditions:
                self._unmet[:] = False
                for each in self._conditions:
                    _judge(each.code, each.sizes, self.cases, self.room, self._unmet)
                found[_UNMET] = self._unmet.mean()
        return found

    def share(self, actions: tuple[int, ...]) -> float:
        """The share of the examples that a complete program fits. It has at most `MOST_NODES` nodes."""
        count = len(actions)
        self.room.program[:count] = actions
        return float(run_program(self.room.program, count, self.acts, self.cases, self.room)) / len(self.cases.values)


def _plain(inputs: tuple[Type, ...], grammar: Grammar) -> tuple[Words, list[int]]:
    """What each nonterminal is filled with: actions [nonterminals, 3] and how many; 0 where nothing plain fits."""
    numbers = {production: action for action, production in enumerate(grammar.productions)}

    def words(*productions: Production) -> list[int]:
        return [numbers[each] for each in productions] if all(each in numbers for each in productions) else []

    lists = [place for place, type_ in enumerate(inputs) if type_ is Type.LIST]
    ints = [place for place, type_ in enumerate(inputs) if type_ is Type.INT]
    number = Production(input=ints[0]) if ints else Production(literal=1)
    if number not in numbers:
        number = Production(literal=2)
    x, y, le, add = (
        Production(parameter=0),
        Production(parameter=1),
        Production(primitive="le"),
        Production(primitive="add"),
    )
    plain = [
        words(number),
        words(le, number, number),
        words(Production(input=lists[0])) if lists else words(Production(primitive="range"), number),
        words(x),
        words(le, x, x),
        words(add, x, y),
        words(le, x, x),
    ]
    fillers = np.zeros((len(NONTERMINALS), 3), np.int64)
    for place, actions in enumerate(plain):
        fillers[place, : len(actions)] = actions
    return fillers, [len(actions) for actions in plain]


@njit(cache=True)
def _judge(code: Words, sizes: tuple[int, int, int], cases: Cases, room: Room, unmet: NDArray[np.bool_]) -> None:
    """Mark the cases whose result in `room` does not meet a condition on inputs and result; those that erred are not."""
    inputs = cases.inputs.shape[1]
    row, verdict, none = np.empty((1, inputs + 1), np.int64), np.empty((1, 4), np.int64), np.empty((0, 1), np.int64)
    for case in range(cases.inputs.shape[0]):
        if room.results[case, machine.ERROR] != machine.FINE or unmet[case]:
            continue
        row[0, :inputs] = cases.inputs[case]
        value, used = room.results[case, machine.VALUE], cases.used
        row[0, inputs] = value
        if cases.is_list:
            for place in range(value):
                cases.heap[used + place] = room.lists[case, place]
            row[0, inputs] = used << machine.ROOM | value
            used += value
        machine.run_cases(code, row, cases.heap, used, sizes, STEPS, verdict, none)
        unmet[case] = verdict[0, machine.ERROR] != machine.FINE or verdict[0, machine.VALUE] != 1


@njit(cache=True)
def _measure(kind: int, cases: Cases, room: Room, found: NDArray[np.float32]) -> None:
    examples = cases.inputs.shape[0]
    steps, far, times, first = 0, True, True, -1
    for case in range(examples):
        steps += room.results[case, machine.STEPS]
        if room.results[case, machine.ERROR] != machine.FINE:
            found[0] += 1
            continue
        given, wanted = room.results[case, machine.VALUE], cases.values[case]
        if kind == 2:
            _measure_lists(room.lists[case, :given], cases.lists[case, :wanted], found)
            continue
        found[2] += given == wanted
        if kind == 1:
            found[22] += given
            continue
        found[18] += given > wanted
        found[21] += given % 2 == 0
        found[23] += given < 0
        if first < 0:
            first = case
        start, end = room.results[first, machine.VALUE], cases.values[first]
        far = far and given - wanted == start - end
        times = times and float(given) * end == float(start) * wanted
    found /= examples
    found[1] = np.log1p(steps / examples) / 8.0
    if first >= 0:
        found[19], found[20] = far, times


@njit(cache=True)
def _measure_lists(given: Words, wanted: Words, found: NDArray[np.float32]) -> None:
    same = min(given.size, wanted.size)
    agree = 0
    begins = True
    for place in range(same):
        if given[place] == wanted[place]:
            agree += 1
        else:
            begins = False
    ours, theirs = np.sort(given), np.sort(wanted)
    theirs_in, ours_in = _inside(theirs, ours), _inside(ours, theirs)
    found[2] += begins and given.size == wanted.size
    found[3] += given.size == wanted.size
    found[4] += theirs_in and ours_in
    found[5] += theirs_in
    found[6] += ours_in
    if theirs_in:
        at = 0
        for value in wanted:
            while at < given.size and given[at] != value:
                at += 1
            at += 1
        found[7] += at <= given.size
    found[8] += begins and wanted.size <= given.size
    found[9] += begins and given.size <= wanted.size
    found[10] += given.size > wanted.size
    rising, lowest, repeats = True, 0, False
    for place in range(given.size):
        lowest = min(lowest, given[place])
        if place:
            rising = rising and given[place] >= given[place - 1]
            repeats = repeats or ours[place] == ours[place - 1]
    found[11] += rising
    found[12] += given.size > 0
    found[13] += lowest >= 0
    found[14] += not repeats
    found[15] += given.sum() == wanted.sum()
    found[16] += agree / max(1, max(given.size, wanted.size))
    if given.size and wanted.size:
        found[17] += given[-1] == wanted[-1]


@njit(cache=True)
def _inside(small: Words, large: Words) -> bool:
    """Whether the sorted `large` has the elements of the sorted `small`, each as often at least."""
    at = 0
    for value in small:
        while at < large.size and large[at] < value:
            at += 1
        if at == large.size or large[at] != value:
            return False
        at += 1
    return True
