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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.programs import features
from clew.programs.grammar import NONTERMINALS, Grammar
from clew.programs.guidance import Guide
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.search.costs import FLOOR, QUANTA, inside_costs, legal_mask, quantized, shape_of
from clew.programs.search.enumeration import enumerate_programs, ready
from clew.programs.search.partial import Partials
from clew.programs.search.problem import Budget, Found, Line, Problem, legal_of
from clew.programs.states import State, start
from clew.programs.syntax import ProgramError

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
    _ready(guide.grammar)
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
def _ready(grammar: Grammar) -> None:
    """Compile, or load, what the walk needs, once a process: no budget of seconds pays for it."""
    ready()
    problem = Problem("warm-up", (("a", Type.LIST),), Type.LIST, (((1,),),), ((1,),))
    inside_costs(grammar, quantized(None, legal_mask(grammar, legal_of(problem, grammar))))
    features.of_task(problem, grammar)
    state = start(problem, grammar)
    Partials(problem, grammar).look(state.apply(state.legal()[-1]))


class _Step(NamedTuple):
    """A state that may be: one action after one that was expanded. It is made when its turn comes."""

    priority: float
    order: int
    cost: float
    """-log p of the actions up to this one."""
    before: State
    action: int
    """`_BEGIN`: `before` itself."""
    open_places: float
    """The least that the open places cost."""


_BEGIN = -1


class _Walk:
    """What best-first and beam share: making and expanding states in batches, and the account."""

    def __init__(self, problem: Problem, guide: Guide, terms: Terms, budget: Budget) -> None:
        if not problem.results:
            raise ProgramError(f"{problem.name} has no results to find a program for.")
        _ready(guide.grammar)
        self.begun = time.perf_counter()
        self.problem, self.guide, self.terms, self.budget = problem, guide, terms, budget
        self.partials = Partials(problem, guide.grammar)
        self.task = features.of_task(problem, guide.grammar)
        grammar = guide.grammar
        least = np.zeros(len(grammar.contexts))
        if terms.open_places:
            costs = quantized(guide.weights(problem), legal_mask(grammar, legal_of(problem, grammar)))
            least = np.minimum(inside_costs(grammar, costs) / QUANTA, 1e6)
        self.least: list[float] = least.tolist()
        below = shape_of(grammar).below
        holes = np.where(below >= 0, least[below], 0.0).sum(axis=2)
        self.least_below: list[list[float]] = holes.tolist()
        self.terminal = [not production.primitive for production in grammar.productions]
        self.nodes = 0
        self.order = itertools.count()
        self.seen: set[object] = set()
        self.lines: list[Line] = []
        self.program: State | None = None

    def done(self) -> bool:
        """Whether a program was found or a bound is met."""
        return self.program is not None or bool(self.over)

    @property
    def over(self) -> str:
        """The bound that is met, empty while none is."""
        if self.nodes >= self.budget.nodes:
            return "nodes"
        return "seconds" if time.perf_counter() - self.begun >= self.budget.seconds else ""

    def first(self) -> _Step:
        """The whole program open."""
        state = start(self.problem, self.guide.grammar)
        return _Step(0.0, next(self.order), 0.0, state, _BEGIN, self.least[state.hole.context])

    def make(self, step: _Step) -> State | None:
        """The state of a step; None for one that is known already, or that a finished part of errs on an example."""
        if step.action == _BEGIN:
            return step.before
        state = step.before.apply(step.action)
        known = self.partials.look(state)
        if known.key is None or known.key in self.seen:
            return None
        self.seen.add(known.key)
        return state

    def expand(self, steps: Sequence[_Step], states: Sequence[State]) -> list[_Step]:
        """Every step from `states`, which `steps` led to; `program` is set where a complete one fits."""
        scores = self.guide.of_states(self.task, states)
        self.nodes += len(states)
        beside = self._beside(scores.value, scores.guard_logits, scores.latency)
        following: list[_Step] = []
        for step, state, logits, more in zip(steps, states, scores.policy_logits, beside, strict=True):
            legal = list(state.legal())
            chances = logits[legal].astype(np.float64)
            chances = np.exp(chances - chances.max())
            chances = (1 - FLOOR) * chances / chances.sum() + FLOOR / len(legal)
            hole = state.hole
            scope = NONTERMINALS[hole.nonterminal].scope
            rest = step.open_places - self.least[hole.context]
            last = len(state.holes) == 1
            longest = LONGEST_PROGRAM - state.size - len(state.holes)
            for action, cost in zip(legal, (-np.log(chances)).tolist(), strict=True):
                if last and self.terminal[action]:
                    if self._fits(state.apply(action)):
                        return following
                    continue
                if longest < 0:
                    continue
                open_places = rest + self.least_below[action][scope]
                so_far = step.cost + cost
                priority = so_far + more + self.terms.open_places * open_places
                following.append(_Step(priority, next(self.order), so_far, state, action, open_places))
        return following

    def _fits(self, state: State) -> bool:
        if self.partials.look(state).values != self.problem.results:
            return False
        self.program = state
        return True

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
    queue = [walk.first()]
    cost, told = 0.0, 0
    while queue and not walk.done():
        if len(queue) * _STEP_BYTES > walk.budget.memory:
            return walk.found("best-first", "memory", cost, len(queue))
        steps: list[_Step] = []
        states: list[State] = []
        while queue and len(states) < min(batch, walk.budget.nodes - walk.nodes):
            step = heapq.heappop(queue)
            state = walk.make(step)
            if state is not None:
                steps.append(step)
                states.append(state)
        if not states:
            break
        cost = steps[0].priority
        if walk.nodes >= told:
            walk.tell(cost, len(queue), states[0], trace)
            told = walk.nodes + _TRACED
        for step in walk.expand(steps, states):
            heapq.heappush(queue, step)
    return walk.found("best-first", walk.over or "cost", cost, len(queue))


_STEP_BYTES = 700
"""About what a waiting step and its share of the keys take."""


def beam(
    problem: Problem,
    guide: Guide,
    *,
    budget: Budget | None = None,
    width: int = 256,
    batch: int = 64,
    terms: Terms | None = None,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Keep the `width` most promising partial programs of each length; twice as many where all have ended in vain."""
    walk = _Walk(problem, guide, terms or Terms(), budget or Budget())
    cost = 0.0
    while True:
        waiting, pruned = [walk.first()], False
        while waiting and not walk.done():
            steps, states = _kept(walk, waiting, width)
            pruned = pruned or len(steps) == width
            if not steps:
                break
            cost = steps[0].priority
            walk.tell(cost, len(steps), states[0], trace)
            waiting = []
            for begin in range(0, len(steps), batch):
                end = min(begin + batch, begin + walk.budget.nodes - walk.nodes)
                if walk.done():
                    break
                waiting += walk.expand(steps[begin:end], states[begin:end])
        if walk.done() or not pruned:
            return walk.found("beam", walk.over or "cost", cost, width)
        width *= 2
        walk.seen.clear()


def _kept(walk: _Walk, waiting: list[_Step], width: int) -> tuple[list[_Step], list[State]]:
    """The states of the `width` best steps whose states are new."""
    steps: list[_Step] = []
    states: list[State] = []
    for step in sorted(waiting):
        state = walk.make(step)
        if state is not None:
            steps.append(step)
            states.append(state)
            if len(steps) == width:
                break
    return steps, states
