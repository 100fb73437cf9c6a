"""Random tasks: arguments drawn by kind, a bank of all short programs on them, and programs of it that say something.

A bank holds, of all programs up to a size, the smallest of each behaviour on its arguments. So no program that is drawn
from it equals a shorter one on the examples; one that is put together of several (beyond the bank's size) is looked up
in the bank, and must equal none there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs.compiling import Cases, acts_of, cases_of, room_for
from clew.programs.completions import Fillers, Labeller, fillers_of
from clew.programs.grammar import FULL, NONTERMINALS, Grammar, Nonterminal
from clew.programs.machine import ERROR, FINE, VALUE
from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.search import kernel
from clew.programs.search.enumeration import Bank, bank
from clew.programs.search.problem import Budget, Problem
from clew.programs.search.values import hash_of
from clew.programs.states import begin
from clew.programs.syntax import Inputs, Value

_KINDS: tuple[tuple[float, tuple[Type, ...]], ...] = (
    (0.34, (Type.LIST,)),
    (0.25, (Type.LIST, Type.INT)),
    (0.08, (Type.INT, Type.LIST)),
    (0.19, (Type.LIST, Type.LIST)),
    (0.05, (Type.LIST, Type.LIST, Type.INT)),
    (0.05, (Type.LIST, Type.INT, Type.INT)),
    (0.02, (Type.INT, Type.INT)),
    (0.02, (Type.INT,)),
)
_LIST_NAMES, _NUMBER_NAMES = ("xs", "ys", "zs"), ("n", "m", "k")
_FAR = 1_000_000
"""No result of a demonstration is further from 0."""
_RARE = {"cons": 0.5, "range": 0.4, "product": 0.4, "append": 0.7, "is_empty": 0.3, "neg": 0.7, "10": 0.5, "-1": 0.4}
_RARE |= {"3": 0.7, "0": 0.8, "if": 0.7, "mod": 0.8, "div": 0.8}
"""Actions that the draw takes less often than their number of programs would have it."""
_ROOTS = {"filter": 3.0, "map": 3.0, "zip": 2.5, "scan": 1.0, "take": 1.5, "drop": 1.5, "sort": 1.5, "reverse": 1.5}
_ROOTS |= {"fold": 1.0, "count": 2.0, "sum": 2.0, "maximum": 1.5, "minimum": 1.5, "unique": 1.0, "append": 1.0}
SIZES = {3: 0.06, 4: 0.12, 5: 0.20, 6: 0.24, 7: 0.22, 8: 0.10, 9: 0.06}
"""Sizes of demonstrations and their shares, in the full grammar."""
BANK_SIZE = 7
"""Programs of up to this size are all in the bank that tasks are drawn from, where its nodes allow."""
BANK_NODES = 1_200_000
_TRIES = 40


@dataclass(frozen=True)
class Drawn:
    """A program that was drawn, and what it gives for the arguments of its pool."""

    output: Type
    actions: tuple[int, ...]
    results: tuple[Value, ...]


def draw_inputs(random: np.random.Generator, grammar: Grammar) -> tuple[Inputs, tuple[tuple[Value, ...], ...]]:
    """Names and types of inputs, and 5 to 8 arguments for them."""
    shares = np.array([share for share, _ in _KINDS])
    types = _KINDS[int(random.choice(len(_KINDS), p=shares / shares.sum()))][1]
    if grammar.name != FULL.name:
        types = (Type.LIST,)
    lists, numbers = iter(_LIST_NAMES), iter(_NUMBER_NAMES)
    inputs = tuple((next(lists) if type_ is Type.LIST else next(numbers), type_) for type_ in types)
    reach = int(random.choice((4, 9, 20, 60), p=(0.15, 0.4, 0.35, 0.1)))
    low = 0 if random.random() < 0.3 else -reach
    longest = int(random.choice((5, 8, 12), p=(0.3, 0.5, 0.2)))
    empty = random.random() < 0.15
    arguments: list[tuple[Value, ...]] = []
    for _ in range(int(random.integers(5, 9))):
        row: list[Value] = []
        for type_ in types:
            if type_ is Type.LIST:
                length = int(random.integers(0 if empty else 1, longest + 1))
                row.append(tuple(random.integers(low, reach + 1, length).tolist()))
            else:
                row.append(int(random.integers(0, 6) if random.random() < 0.7 else random.integers(low, reach + 1)))
        arguments.append(tuple(row))
    return inputs, tuple(arguments)


@njit(cache=True)
def _traits(
    terms: NDArray[np.int32],
    kinds: NDArray[np.int64],
    places: NDArray[np.int64],
    arities: NDArray[np.int64],
    parameters: NDArray[np.int64],
    weights: NDArray[np.float64],
    inputs: NDArray[np.int64],
    bound: NDArray[np.int64],
    logs: NDArray[np.float64],
) -> None:
    """Of each term: bits of the inputs and parameters in it (-1: a lambda ignores a parameter), sum of log weights."""
    for term in range(terms.shape[0]):
        action = terms[term, 0]
        used, own, log = 0, 0, weights[action]
        if kinds[action] == 2:
            used = 1 << places[action]
        elif kinds[action] == 3:
            own = 1 << places[action]
        for argument in range(arities[action]):
            child = terms[term, 2 + argument]
            used |= inputs[child]
            log += logs[child]
            if bound[child] < 0:
                own = -1
            elif argument == 0 and parameters[action] > 0:
                if bound[child] != (1 << parameters[action]) - 1:
                    own = -1
            elif own >= 0:
                own |= bound[child]
        inputs[term], bound[term], logs[term] = used, own, log


class Pool:
    """All short programs over some arguments, and draws from them."""

    def __init__(
        self, inputs: Inputs, arguments: tuple[tuple[Value, ...], ...], grammar: Grammar, *, size: int = BANK_SIZE
    ) -> None:
        self.inputs, self.arguments, self.grammar = inputs, arguments, grammar
        self.types = tuple(type_ for _, type_ in inputs)
        problem = Problem("a draw", inputs, Type.LIST, arguments)
        budget = Budget(nodes=BANK_NODES, seconds=600.0, memory=2**28)
        self.bank: Bank = bank(problem, max_size=size, grammar=grammar, budget=budget)
        self.acts = acts_of(grammar)
        self._fillers: dict[int, Fillers] = {}
        self._room = room_for(len(arguments))
        terms = self.bank.layout.store.terms[: len(self.bank)]
        count = len(terms)
        self.used, self._bound = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._logs = np.zeros(count)
        names = [str(each) for each in grammar.productions]
        weights = np.log([_RARE.get(name, 1.0) for name in names])
        self._functions = np.array([_parameters(each.primitive) for each in grammar.productions], np.int64)
        _traits(
            terms, self.acts.kinds, self.acts.operands, self.acts.arities, self._functions, weights,
            self.used, self._bound, self._logs,
        )  # fmt: skip
        self._actions = terms[:, kernel.ACTION]
        self._natural = (self._bound >= 0) | (grammar.name != FULL.name)
        hashes = self.bank.layout.store.hashes[:count, 0]
        self._known = [_by_hash(hashes, self.bank.sizes, self.bank.nonterminals == place) for place in range(3)]
        self._all = (1 << len(inputs)) - 1
        self._of: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self._root = np.array([_ROOTS.get(name, 0.7) for name in names])

    def draw(self, random: np.random.Generator, size: int) -> Drawn | None:
        """A program of `size` that says something on the arguments; None where `_TRIES` did not give one."""
        shares = np.array([0.34, 0.12, 0.54])
        for _ in range(_TRIES):
            place = int(random.choice(3, p=shares))
            if size <= self.bank.complete:
                found = self._from_bank(random, place, size)
            else:
                made = self._composed(random, place, size)
                found = made if made is not None and len(made) == size else None
            if found is None:
                continue
            drawn = self.checked(found, NONTERMINALS[place].type, in_bank=size <= self.bank.complete)
            if drawn is not None:
                return drawn
        return None

    def checked(self, actions: Sequence[int], output: Type, *, in_bank: bool) -> Drawn | None:
        """The program with its results, or None: it errs, tells nothing, ignores an input, or equals a shorter one."""
        results = self.results(actions, output)
        if results is None or not informative(results, output) or not self._heeds_inputs(actions, results, output):
            return None
        if not in_bank and self._reducible(actions, results, output):
            return None
        return Drawn(output, tuple(actions), results)

    def _reducible(self, actions: Sequence[int], results: tuple[Value, ...], output: Type) -> bool:
        """Whether the bank has an equal of the program, or of a part of it a smaller one, or two parts are equal."""
        seen: dict[tuple[Value, ...], Type] = {}
        for at, type_ in self._parts(actions):
            part = actions[at : _end(actions, at, self.acts.arities)]
            if len(part) == 1:
                continue
            given = results if at == 0 else self.results(part, type_)
            if given is None or seen.get(given) is type_:
                return True
            seen[given] = type_
            smallest = self.smallest(given, type_)
            if smallest is not None and smallest < len(part):
                return True
        return False

    def _parts(self, actions: Sequence[int]) -> Iterator[tuple[int, Type]]:
        """Where in the nodes each part begins that stands in no lambda, and its type."""
        state = begin(self.types, self._type_of(actions[0]), self.grammar)
        for at, action in enumerate(actions):
            wanted = NONTERMINALS[state.hole.nonterminal]
            if wanted.scope == 0:
                yield at, wanted.type
            state = state.apply(action)

    def _type_of(self, action: int) -> Type:
        production = self.grammar.productions[action]
        if production.primitive:
            return PRIMITIVES[production.primitive].result
        return self.types[production.input] if production.input is not None else Type.INT

    def results(self, actions: Sequence[int], output: Type) -> tuple[Value, ...] | None:
        """What a program gives for the arguments; None where an error stops it."""
        return self._results(actions, output, self.arguments)

    def _results(
        self, actions: Sequence[int], output: Type, arguments: tuple[tuple[Value, ...], ...]
    ) -> tuple[Value, ...] | None:
        nothing: Value = () if output is Type.LIST else 0
        cases = cases_of(self.types, arguments, [nothing] * len(arguments))
        return _ran(Labeller(self.acts, self.fillers(0), cases, self._room), actions, output)

    def smallest(self, results: tuple[Value, ...], output: Type) -> int | None:
        """The size of the program of the bank that gives these results; None where none does."""
        place = NONTERMINALS.index(Nonterminal(output, 0))
        if output is Type.LIST:
            lists = [each for each in results if isinstance(each, tuple)]
            entries = [len(each) for each in lists] + [value for each in lists for value in each]
        else:
            entries = [int(each) for each in results if not isinstance(each, tuple)]
        one, _ = hash_of(np.array(entries, np.int32), 0, len(entries), place)
        hashes, sizes = self._known[place]
        at = int(np.searchsorted(hashes, np.uint64(one)))
        return int(sizes[at]) if at < len(hashes) and hashes[at] == np.uint64(one) else None

    def labeller(self, drawn: Drawn, budget: int) -> Labeller:
        """What labels the states of a drawn program's task."""
        cases: Cases = cases_of(self.types, self.arguments, drawn.results)
        return Labeller(self.acts, self.fillers(budget), cases, self._room, budget)

    def fillers(self, budget: int) -> Fillers:
        """The `budget` cheapest terms of each nonterminal."""
        if budget not in self._fillers:
            self._fillers[budget] = fillers_of(self.bank, budget)
        return self._fillers[budget]

    def _heeds_inputs(self, actions: Sequence[int], results: tuple[Value, ...], output: Type) -> bool:
        """Whether each input matters: with its values moved on by one example, another result comes out somewhere."""
        inputs = {self.acts.operands[action] for action in actions if self.acts.kinds[action] == 2}
        if len(inputs) < len(self.inputs):
            return False
        if len(self.inputs) == 1:
            return True
        for place in range(len(self.inputs)):
            moved = tuple(
                tuple(self.arguments[case - 1][at] if at == place else value for at, value in enumerate(row))
                for case, row in enumerate(self.arguments)
            )
            if self._results(actions, output, moved) == results:
                return False
        return True

    def _terms(self, place: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The natural terms of a nonterminal and size, and the sums of their weights."""
        found = self._of.get((place, size))
        if found is None:
            terms = self.bank.of(place, size=size)
            full = {1: 1, 2: 3}.get(NONTERMINALS[place].scope, 0)
            terms = terms[self._natural[terms] & (self._bound[terms] == full)]
            weights = np.exp(self._logs[terms])
            found = self._of[place, size] = terms, np.cumsum(weights)
        return found

    def _term(self, random: np.random.Generator, place: int, size: int) -> list[int] | None:
        terms, sums = self._terms(place, size)
        if not len(terms):
            return None
        return self.bank.actions(int(terms[int(np.searchsorted(sums, random.random() * sums[-1]))]))

    def _from_bank(self, random: np.random.Generator, place: int, size: int) -> list[int] | None:
        """A term with all inputs, its root drawn first, so that roots with many programs do not crowd out the rest."""
        terms, _ = self._terms(place, size)
        terms = terms[self.used[terms] == self._all]
        if not len(terms):
            return None
        roots, counts = np.unique(self._actions[terms], return_counts=True)
        weights = self._root[roots] * np.minimum(counts, 30)
        root = roots[int(np.searchsorted(np.cumsum(weights), random.random() * weights.sum()))]
        terms = terms[self._actions[terms] == root]
        sums = np.cumsum(np.exp(self._logs[terms]))
        return self.bank.actions(int(terms[int(np.searchsorted(sums, random.random() * sums[-1]))]))

    def _composed(self, random: np.random.Generator, place: int, size: int) -> list[int] | None:
        """A program of `size` nodes that is put together of terms of the bank by productions above them."""
        if NONTERMINALS[place].scope or size <= 2 or (size <= 4 and random.random() < 0.6):
            return self._term(random, place, size)
        wanted = NONTERMINALS[place].type
        fit = [
            action
            for action, each in enumerate(self.grammar.productions)
            if each.primitive and PRIMITIVES[each.primitive].result is wanted and self.acts.arities[action] < size
        ]
        if not fit:
            return None
        weights = self._root[fit]
        action = fit[int(np.searchsorted(np.cumsum(weights), random.random() * weights.sum()))]
        holes = self.grammar.holes(action, 0)
        left, made = size - 1, [action]
        for number, hole in enumerate(holes):
            after = len(holes) - 1 - number
            if after == 0:
                share = left
            elif NONTERMINALS[hole].scope:
                share = min(left - after, int(random.choice((1, 3, 4, 5), p=(0.02, 0.68, 0.15, 0.15))))
            elif NONTERMINALS[hole].type is not Type.LIST and random.random() < 0.6:
                share = 1
            else:
                share = int(random.integers(1, left - after + 1))
            child = self._composed(random, hole, share)
            if child is None:
                return None
            made += child
            left -= share
        return made


def _by_hash(
    hashes: NDArray[np.uint64], sizes: NDArray[np.int32], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """The hashes of the chosen terms, ascending, and their sizes."""
    order = np.argsort(hashes[chosen])
    return hashes[chosen][order], sizes[chosen][order]


def _end(actions: Sequence[int], at: int, arities: NDArray[np.int64]) -> int:
    """Where the part that begins at `at` ends."""
    due = 1
    while due:
        due += int(arities[actions[at]]) - 1
        at += 1
    return at


def _parameters(primitive: str) -> int:
    if not primitive:
        return 0
    return sum(each.parameters for each in PRIMITIVES[primitive].parameters if isinstance(each, FunctionType))


def _ran(labeller: Labeller, actions: Sequence[int], output: Type) -> tuple[Value, ...] | None:
    rows, _ = labeller.run(actions)
    if (rows[:, ERROR] != FINE).any():
        return None
    values = rows[:, VALUE].tolist()
    if output is Type.LIST:
        return tuple(tuple(labeller.room.lists[case, :length].tolist()) for case, length in enumerate(values))
    return tuple(bool(value) for value in values) if output is Type.BOOL else tuple(values)


def informative(results: Sequence[Value], output: Type) -> bool:
    """Whether results say something: they differ, are of a size that people write, and are not all but empty."""
    different = len(set(results))
    if output is Type.BOOL:
        return 1 < sum(map(bool, results)) < len(results) - 1 or (len(results) < 5 and different == 2)
    if different < (len(results) + 1) // 2:
        return False
    if output is Type.LIST:
        lists = [each for each in results if isinstance(each, tuple)]
        near = all(abs(value) <= _FAR for each in lists for value in each)
        return near and 2 * sum(map(bool, lists)) > len(lists)
    return all(abs(each) <= _FAR for each in results if isinstance(each, int))


def draws(random: np.random.Generator, pool: Pool, sizes: Sequence[int]) -> Iterator[Drawn]:
    """A program for each size that the pool has one for, all with different results."""
    seen: set[tuple[Value, ...]] = set()
    for size in sizes:
        drawn = pool.draw(random, size)
        if drawn is not None and drawn.results not in seen:
            seen.add(drawn.results)
            yield drawn
