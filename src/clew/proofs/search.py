"""Proof search by refutation: lines are proposed, judged by the checker and kept, until the goal is contradicted.

The search is the same whoever proposes, and so is the budget: what differs is the proposer alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clew.core.errors import ClewError
from clew.proofs.checker import Derivation, check
from clew.proofs.rewriting import minimised
from clew.proofs.terms import Equation, TermSyntaxError, parse_equation
from clew.proofs.theorems import Theorem

Line = str | Equation
"""What is proposed: the text of a line, or an equation."""


class Proposer(Protocol):
    """Who thinks of lines. One proposer searches for one proof at a time, from `begin` on."""

    def begin(self, derivation: Derivation) -> None:
        """Start on a theorem. The derivation grows as lines are kept; a proposer may take terms in, never equations."""

    def propose(self) -> Sequence[Line] | None:
        """The next lines to judge, in order; an empty sequence to be asked again, None to give up.

        A proposer answers within milliseconds, or the search cannot hold its budget of seconds.
        """

    def accepted(self, line: Line, equation: Equation) -> None:
        """The line is justified; `equation` is what it says, and the derivation holds it from now on."""

    def rejected(self, line: Line, reason: str) -> None:
        """The line does not parse or is not justified, and why."""


@dataclass(frozen=True)
class SearchResult:
    """What a search came to."""

    proved: bool
    proposals: int
    """Lines judged, refused ones and repetitions among them."""
    seconds: float
    steps: tuple[Equation, ...]
    """The minimised proof; empty where none was found."""


def search(
    theorem: Theorem,
    proposer: Proposer,
    *,
    max_proposals: int,
    max_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> SearchResult:
    """Search for a proof of `theorem` within both budgets.

    A line that is an instance of a law, or follows from the lines kept, is kept; any other is rejected. The proof
    found is minimised and judged again, from its text, by the checker. Time spent on that last step counts as well.
    """
    started = clock()
    derivation = Derivation(theorem)
    proposer.begin(derivation)
    kept: list[Equation] = []
    proposals = 0
    while not _closed(derivation) and proposals < max_proposals and clock() - started < max_seconds:
        lines = proposer.propose()
        if lines is None:
            break
        for line in lines[: max_proposals - proposals]:
            proposals += 1
            judged = judge(line, derivation)
            if isinstance(judged, str):
                proposer.rejected(line, judged)
                continue
            if judged.holds and not derivation.follows(judged):
                kept.append(judged)
                derivation.take(judged)
            proposer.accepted(line, judged)
            if _closed(derivation):
                break
    steps: tuple[Equation, ...] = ()
    if _closed(derivation):
        steps = minimised(kept, theorem.goal)
        verdict = check(theorem.to_proof(steps))
        if not verdict.accepted:
            raise ClewError(f"The proof found for {theorem.name} does not check: {verdict.reason} This is a bug.")
    return SearchResult(bool(steps), proposals, clock() - started, steps)


def _closed(derivation: Derivation) -> bool:
    return derivation.contradictory


def judge(line: Line, derivation: Derivation) -> Equation | str:
    """What a proposed line says where the checker would take it as the next line; the objection otherwise."""
    if isinstance(line, str):
        try:
            equation = parse_equation(line)
        except TermSyntaxError as error:
            return str(error)
    else:
        equation = line
    return derivation.objection(equation) or equation
