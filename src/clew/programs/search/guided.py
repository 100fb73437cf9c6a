"""Search led by a guide: the enumeration in order of its probabilities, and best-first and beam over partial programs.

Two uses of one policy. In *grammar mode* the guide is asked once, about every context of the task, and the compiled
enumeration runs in order of probability at its full speed. In *state mode* it is asked about partial programs, in
batches, and its word on this very program counts: -log p of the actions taken, an estimate of what the open places cost
at least (from grammar mode: with it best-first is A*), and what value, guard and latency say.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import ClewError, UsageError
from clew.programs import features
from clew.programs.grammar import GRAMMARS, Production
from clew.programs.guidance import Guide
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.search.costs import FLOOR, QUANTA, inside_costs, legal_mask, quantized
from clew.programs.search.enumeration import enumerate_programs
from clew.programs.search.partial import Partials
from clew.programs.search.problem import Budget, Found, Line, Problem, legal_of
from clew.programs.states import State, start

SEARCHES = ("auto", "enumerate", "grammar", "best-first", "beam")
LONGEST_PROGRAM = 30
"""Productions of a program, at most, in state mode."""
_TRACED = 1024
"""Nodes from one line of a best-first search's trace to the next."""


@dataclass(frozen=True)
class Terms:
    """What the heads beside the policy add to the cost of a state, in nats for each nat or unit of theirs."""

    value: float = 0.5
    """times -log of the value: of a state that no completion solves."""
    guard: float = 0.25
    """times -log of the share that does not fail."""
    latency: float = 0.0
    """times the latency: of two programs that fit, the quicker is found first."""
    open_places: float = 1.0
    """times the least cost of the open places."""


def search(
    problem: Problem,
    guide: Guide | None = None,
    *,
    how: str = "auto",
    budget: Budget | None = None,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Search as `how` of `SEARCHES` says; `auto` is `grammar` with a guide and `enumerate` without one.

    Raises `UsageError` for a search that needs a guide and has none.
    """
    if how not in SEARCHES:
        raise UsageError(f"There is no search '{how}'. Choose one of {', '.join(SEARCHES)}.")
    if how == "enumerate" or (how == "auto" and guide is None):
        return enumerate_programs(problem, budget=budget, trace=trace)
    if guide is None:
        raise UsageError(f"The search '{how}' is led by a model. Name one, or choose 'enumerate'.")
    if how in ("auto", "grammar"):
        return by_grammar(problem, guide, budget=budget, trace=trace)
    run = best_first if how == "best-first" else beam
    return run(problem, guide, budget=budget, trace=trace)


def by_grammar(
    problem: Problem,
    guide: Guide,
    *,
    budget: Budget | None = None,
    floor: float = FLOOR,
    quanta: int = QUANTA,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Grammar mode: one question to the guide, then the enumeration by its weights. Its seconds hold both."""
    begun = time.perf_counter()
    weights = guide.weights(problem)
    asked = time.perf_counter() - begun
    budget = budget or Budget()
    left = Budget(budget.nodes, max(0.0, budget.seconds - asked), budget.memory)
    found = enumerate_programs(
        problem, grammar=guide.grammar, weights=weights, budget=left, floor=floor, quanta=quanta, trace=trace
    )
    return replace(found, seconds=found.seconds + asked)


@cache
def _ready(name: str) -> None:
    """Compile, or load, what the walk needs, once a process: no budget of seconds pays for it."""
    grammar = GRAMMARS[name]
    problem = Problem("warm-up", (("a", Type.LIST),), Type.LIST, (((1,),),), ((1,),))
    inside_costs(grammar, quantized(None, legal_mask(grammar, legal_of(problem, grammar))))
    features.of_task(problem, grammar)
    state = start(problem, grammar)
    action = grammar.productions.index(Production(input=0))
    Partials(problem, grammar).look(state.apply(action))


class _Walk:
    """What best-first and beam share: expanding states in batches, and the account."""

    def __init__(self, problem: Problem, guide: Guide, terms: Terms, budget: Budget) -> None:
        if not problem.results:
            raise ClewError(f"{problem.name} has no results to find a program for.")
        _ready(guide.grammar.name)
        self.begun = time.perf_counter()
        self.problem, self.guide, self.terms, self.budget = problem, guide, terms, budget
        self.partials = Partials(problem, guide.grammar)
        self.task = features.of_task(problem, guide.grammar)
        self.least = np.zeros(len(guide.grammar.contexts))
        if terms.open_places:
            mask = legal_mask(guide.grammar, legal_of(problem, guide.grammar))
            costs = quantized(guide.weights(problem), mask)
            self.least = inside_costs(guide.grammar, costs) / QUANTA
        self.nodes = 0
        self.seen: set[object] = set()
        self.lines: list[Line] = []
        self.program: State | None = None

    @property
    def over(self) -> str:
        """The bound that is met, empty while none is."""
        if self.nodes >= self.budget.nodes:
            return "nodes"
        return "seconds" if time.perf_counter() - self.begun >= self.budget.seconds else ""

    def expand(self, states: Sequence[State], costs: Sequence[float]) -> list[tuple[float, float, State]]:
        """(priority, -log p so far, state) of every new state one action further; `program` is set where one fits.

        `costs`: -log p of the actions that led to each of `states`.
        """
        scores = self.guide.of_states(self.task, states)
        self.nodes += len(states)
        beside = self._beside(scores.value, scores.guard_logits, scores.latency)
        children: list[tuple[float, float, State]] = []
        for state, cost, logits, more in zip(states, costs, scores.policy_logits, beside, strict=True):
            legal = list(state.legal())
            chances = logits[legal].astype(np.float64)
            chances = np.exp(chances - chances.max())
            chances = (1 - FLOOR) * chances / chances.sum() + FLOOR / len(legal)
            for action, step in zip(legal, (-np.log(chances)).tolist(), strict=True):
                child = state.apply(action)
                if child.size + len(child.holes) > LONGEST_PROGRAM:
                    continue
                known = self.partials.look(child)
                if known.key is None or known.key in self.seen:
                    continue
                self.seen.add(known.key)
                if known.values is not None:
                    if known.values == self.problem.results:
                        self.program = child
                        return children
                    continue
                open_places = sum(self.least[hole.context] for hole in child.holes)
                priority = cost + step + more + self.terms.open_places * float(open_places)
                children.append((priority, cost + step, child))
        return children

    def _beside(
        self, value: NDArray[np.float32], guard: NDArray[np.float32], latency: NDArray[np.float32]
    ) -> list[float]:
        terms = self.terms
        solvable = -np.log(np.clip(value.astype(np.float64), 0.01, 1.0))
        fails = np.logaddexp(0.0, np.clip(guard.astype(np.float64), -30, 30))
        total: list[float] = (terms.value * solvable + terms.guard * fails + terms.latency * latency).tolist()
        return total

    def tell(self, cost: float, kept: int, best: State, trace: Callable[[Line], None] | None) -> None:
        """Add a line to the trace."""
        shown = pretty(best.expression([name for name, _ in self.problem.inputs]))
        line = Line(cost, self.nodes, kept, time.perf_counter() - self.begun, shown)
        self.lines.append(line)
        if trace is not None:
            trace(line)

    def found(self, how: str, stopped: str, cost: float, kept: int) -> Found:
        """The account."""
        names = [name for name, _ in self.problem.inputs]
        return Found(
            program=None if self.program is None else self.program.expression(names),
            nodes=self.nodes,
            programs_run=self.partials.programs_run,
            seconds=time.perf_counter() - self.begun,
            stopped="found" if self.program is not None else stopped,
            search=how,
            cost=cost,
            kept=kept,
            trace=tuple(self.lines),
        )


def best_first(
    problem: Problem,
    guide: Guide,
    *,
    budget: Budget | None = None,
    batch: int = 32,
    terms: Terms | None = None,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Always expand the `batch` most promising partial programs. Nodes are states expanded."""
    walk = _Walk(problem, guide, terms or Terms(), budget or Budget())
    order = itertools.count()
    queue: list[tuple[float, int, float, State]] = [(0.0, next(order), 0.0, start(problem, guide.grammar))]
    cost, told = 0.0, 0
    while queue and not walk.over:
        taken = [heapq.heappop(queue) for _ in range(min(batch, len(queue), walk.budget.nodes - walk.nodes))]
        cost = taken[0][0]
        if walk.nodes >= told:
            walk.tell(cost, len(queue), taken[0][3], trace)
            told = walk.nodes + _TRACED
        for priority, so_far, child in walk.expand([each[3] for each in taken], [each[2] for each in taken]):
            heapq.heappush(queue, (priority, next(order), so_far, child))
        if walk.program is not None:
            break
        if len(queue) * _STATE_BYTES > walk.budget.memory:
            return walk.found("best-first", "memory", cost, len(queue))
    return walk.found("best-first", walk.over or "cost", cost, len(queue))


_STATE_BYTES = 2000
"""About what a waiting state and its key take."""


def beam(
    problem: Problem,
    guide: Guide,
    *,
    budget: Budget | None = None,
    width: int = 256,
    terms: Terms | None = None,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Keep the `width` most promising partial programs of each length; twice as many when all have ended in vain."""
    walk = _Walk(problem, guide, terms or Terms(), budget or Budget())
    cost = 0.0
    while True:
        level: list[tuple[float, float, State]] = [(0.0, 0.0, start(problem, guide.grammar))]
        pruned = False
        while level and not walk.over:
            cost = level[0][0]
            walk.tell(cost, len(level), level[0][2], trace)
            following: list[tuple[float, float, State]] = []
            for begin in range(0, len(level), 64):
                part = level[begin : begin + 64][: max(0, walk.budget.nodes - walk.nodes)]
                if not part or walk.over:
                    break
                following += walk.expand([each[2] for each in part], [each[1] for each in part])
                if walk.program is not None:
                    return walk.found("beam", "found", cost, width)
            following.sort(key=lambda each: each[0])
            pruned = pruned or len(following) > width
            level = following[:width]
        if walk.over or not pruned:
            return walk.found("beam", walk.over or "cost", cost, width)
        width *= 2
        walk.seen.clear()
