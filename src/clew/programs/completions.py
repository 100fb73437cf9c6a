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
from clew.programs.compiling import MOST_NODES, Acts, Cases, Room, compiled, fits, run_program
from clew.programs.grammar import NONTERMINALS
from clew.programs.machine import Words
from clew.programs.search.enumeration import Bank
from clew.programs.states import State

BUDGET = 100
"""Completions of a state that are tried."""
_LARGEST_FILLER = 8


class Fillers(NamedTuple):
    """What open places are filled with: terms in the order in which they are taken."""

    actions: NDArray[np.int64]
    """The nodes of all terms in reading order, one term after another."""
    starts: NDArray[np.int64]
    """[terms + 1] where a term begins in `actions`."""
    classes: NDArray[np.int64]
    """[nonterminals, sizes + 1]: the first term of a nonterminal and size; the next size begins where it ends."""


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
                        if count < MOST_NODES:
                            room.program[count] = fillers.actions[at]
                        count += 1
                if count <= MOST_NODES:
                    if tried <= draw:
                        drawn[:count] = room.program[:count]
                        length = count
                    if not solved:
                        inputs = cases.inputs.shape[1]
                        rows = compiled(room.program, count, inputs, acts, room.code, room.work, room.ends)
                        if fits(rows, cases, room, False) == cases.inputs.shape[0]:
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
        drawn = np.zeros(MOST_NODES + 1, np.int64)
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
        if not 0 < len(actions) <= MOST_NODES:
            raise UsageError(f"A program here has from 1 to {MOST_NODES} nodes, not {len(actions)}.")
        fitted = run_program(np.array(actions, np.int64), len(actions), self.acts, self.cases, self.room)
        return self.room.results, int(fitted)
