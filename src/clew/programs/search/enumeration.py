"""Enumeration of typed programs by cost, bottom-up, with observationally equal ones pruned: the strong opponent, and,
with weights, the search in order of probability that a model leads.

One engine for both: without weights each production costs 1 (a program's cost is its size), with weights the quantised
-log p of a production in its context. Every term's values on all examples are computed once, from its children's; a
term equal to an earlier one is dropped (a hash of 128 bits stands for its values); a term that errs on any example is
dropped too, so a program that guards an error with `if` outside of a lambda is not found. Bodies of lambdas are terms
as well, compared on probes (`store.probes`), and may err where they are not needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clew.programs.grammar import FULL, SMALL, Grammar
from clew.programs.primitives import Type
from clew.programs.search import kernel
from clew.programs.search.costs import FLOOR, QUANTA, legal_mask, quantized
from clew.programs.search.problem import Budget, Found, Line, Problem, legal_of
from clew.programs.search.store import LEVELS, Layout, lay_out, term_actions, term_expr, term_values
from clew.programs.syntax import Expr, ProgramError, Value

_STOPPED = {
    kernel.FOUND: "found",
    kernel.OUT_OF_NODES: "nodes",
    kernel.OUT_OF_MEMORY: "memory",
    kernel.STOPPED: "seconds",
    kernel.GOES_ON: "cost",
}


def enumerate_programs(
    problem: Problem,
    *,
    grammar: Grammar = FULL,
    weights: NDArray[np.float32] | None = None,
    budget: Budget | None = None,
    floor: float = FLOOR,
    quanta: int = QUANTA,
    trace: Callable[[Line], None] | None = None,
) -> Found:
    """Search for a program that fits all examples of `problem`, by rising cost.

    `weights`: -log p float32 [contexts, actions] of `grammar.contexts`; none for the size. `floor` of probability is
    spread over all productions, so that the search stays complete; a nat is `quanta` steps of cost. `trace` is told of
    each level. Nodes are candidate programs built and valued. Raises `ProgramError` for a problem without results.
    """
    if not problem.results:
        raise ProgramError(f"{problem.name} has no results to find a program for.")
    ready()
    begun = time.perf_counter()
    budget = budget or Budget()
    costs = quantized(weights, legal_mask(grammar, legal_of(problem, grammar)), floor=floor, quanta=quanta)
    layout = lay_out(problem, grammar, costs, budget)
    lines: list[Line] = []

    def tell(line: Line) -> None:
        lines.append(line)
        if trace is not None:
            trace(line)

    scale = 1.0 if weights is None else 1 / quanta
    outcome, level = _run(layout, budget, begun, LEVELS, scale, tell)
    counters = layout.store.counters
    return Found(
        program=term_expr(layout, layout.terms - 1) if outcome == kernel.FOUND else None,
        nodes=int(counters[kernel.C_NODES]),
        programs_run=int(counters[kernel.C_RUNS]),
        seconds=time.perf_counter() - begun,
        stopped=_STOPPED[outcome],
        search="enumerate" if weights is None else "grammar",
        cost=level * scale,
        kept=layout.terms,
        trace=tuple(lines),
    )


@cache
def ready() -> None:
    """Compile the search, or load what was compiled, once a process: no budget of seconds pays for it."""
    problem = Problem("warm-up", (("a", Type.LIST),), Type.LIST, (((1,),),))
    costs = quantized(None, legal_mask(SMALL, legal_of(problem, SMALL)))
    _levels(lay_out(problem, SMALL, costs, Budget(nodes=1)), np.zeros(1, np.int64), 2)


def _levels(layout: Layout, stop: NDArray[np.int64], last: int) -> None:
    for level in range(1, last + 1):
        kernel.run_level(level, layout.store, layout.plan, stop)


def _run(
    layout: Layout, budget: Budget, begun: float, levels: int, scale: float, tell: Callable[[Line], None]
) -> tuple[int, int]:
    """Run level after level in a thread that holds no lock of Python's; return outcome and last level."""
    stop = np.zeros(1, np.int64)
    state = [kernel.GOES_ON, 0]
    failed: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            counters = layout.store.counters
            for level in range(1, levels):
                before = int(counters[kernel.C_NODES])
                state[:] = kernel.run_level(level, layout.store, layout.plan, stop), level
                nodes = int(counters[kernel.C_NODES])
                if nodes > before:
                    tell(Line(level * scale, nodes, layout.terms, time.perf_counter() - begun))
                if state[0] != kernel.GOES_ON:
                    return
                if stop[0]:
                    state[0] = kernel.STOPPED
                    return
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    worker = threading.Thread(target=work, name="search", daemon=True)
    worker.start()
    try:
        if not done.wait(max(0.0, budget.seconds - (time.perf_counter() - begun))):
            stop[0] = 1
    except BaseException:
        stop[0] = 1
        worker.join()
        raise
    worker.join()
    if failed:
        raise failed[0]
    return state[0], state[1]


@dataclass(frozen=True)
class Bank:
    """All terms of a problem up to a size that differ on its examples, the smallest of each; by rising size.

    Terms are numbered 0 .. len - 1, bodies of lambdas among them.
    """

    layout: Layout
    sizes: NDArray[np.int32]
    """[terms]"""
    nonterminals: NDArray[np.int32]
    """[terms]: places in `grammar.NONTERMINALS`; 0, 1 and 2 are numbers, truth values and lists outside of lambdas."""
    nodes: int
    seconds: float
    complete: int
    """The search got through: every program of up to this size has its equal here."""

    def __len__(self) -> int:
        return len(self.sizes)

    def of(self, nonterminal: int, *, size: int | None = None) -> NDArray[np.intp]:
        """The terms of a nonterminal, of one size or of all."""
        chosen = self.nonterminals == nonterminal
        if size is not None:
            chosen &= self.sizes == size
        return np.flatnonzero(chosen)

    def expr(self, term: int) -> Expr:
        """The term as a tree; a body comes without its lambda."""
        return term_expr(self.layout, int(term))

    def actions(self, term: int) -> list[int]:
        """Its productions in the order of a leftmost derivation."""
        return term_actions(self.layout, int(term))

    def values(self, term: int) -> tuple[Value, ...]:
        """Its value on each example; of a body, at the probes."""
        return term_values(self.layout, int(term))

    def programs(self, nonterminal: int) -> Iterator[tuple[Expr, int, tuple[Value, ...]]]:
        """(tree, size, values) of each term of a nonterminal, by rising size."""
        for term in self.of(nonterminal):
            yield self.expr(int(term)), int(self.sizes[term]), self.values(int(term))


def bank(
    problem: Problem, *, max_size: int, grammar: Grammar = FULL, budget: Budget | None = None, any_type: bool = True
) -> Bank:
    """Every term that a program of up to `max_size` productions can hold, one of each behaviour.

    Only the arguments of `problem` are read. `any_type`: programs of all types; else only what can stand in programs
    of the output's type. A budget that ends before `max_size` is told by `complete`.
    """
    ready()
    begun = time.perf_counter()
    budget = budget or Budget(nodes=2**40, seconds=600.0)
    bare = Problem(problem.name, problem.inputs, problem.output, problem.arguments)
    costs = quantized(None, legal_mask(grammar, legal_of(bare, grammar)))
    layout = lay_out(bare, grammar, costs, budget, any_type=any_type)
    outcome, level = _run(layout, budget, begun, max_size + 1, 1.0, lambda line: None)
    count = layout.terms
    sizes = np.ones(count, np.int32)
    rows = layout.store.terms[:count]
    arities = layout.plan.acts[:, 2] * (layout.plan.acts[:, 0] == 0)
    for term in range(count):
        arity = arities[rows[term, kernel.ACTION]]
        for place in range(arity):
            sizes[term] += sizes[rows[term, kernel.FIRST + place]]
    return Bank(
        layout,
        sizes,
        rows[:, kernel.PLACE].copy(),
        int(layout.store.counters[kernel.C_NODES]),
        time.perf_counter() - begun,
        level if outcome == kernel.GOES_ON else level - 1,
    )
