"""Rewriting with the laws of a theory, each step written down as a ground instance of a law.

Simplification is innermost and leftmost, so a derivation reads as a chain: arguments first, then what they form.
Laws that only permute (a + b = b + a) are used where they bring operands into order (ordered rewriting, Bachmair,
Dershowitz & Plaisted 1989).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clew.proofs.congruence import CongruenceClosure
from clew.proofs.laws import Law, Theory
from clew.proofs.terms import PREFIX, Equation, Term, match, substitute, term

MAXIMUM_TERM = 60
"""Symbols of the largest term that simplification goes on with."""


class GaveUpError(Exception):
    """Simplification took more steps, or made larger terms, than it was allowed."""


class Simplifier:
    """Rewrites terms of a theory to normal form and writes down each step."""

    def __init__(self, theory: Theory) -> None:
        self._rules: dict[str, list[Law]] = {}
        # What makes a term smaller comes first, what only permutes it last.
        order = sorted(theory.laws, key=lambda law: (law.permutes, law.right.size >= law.left.size))
        for law in order:
            self._rules.setdefault(law.left.symbol, []).append(law)

    def innermost(self, whole: Term, limit: int) -> tuple[Term, list[Equation]]:
        """Normal form of `whole` and the steps to it, arguments first. Raises `GaveUpError` beyond `limit` steps."""
        steps: list[Equation] = []
        known: dict[Term, Term] = {}

        def normal(part: Term) -> Term:
            found = known.get(part)
            if found is not None:
                return found
            current = term(part.symbol, *[normal(argument) for argument in part.arguments])
            if (step := self._at_root(current)) is not None:
                steps.append(step)
                if len(steps) > limit or step.right.size > MAXIMUM_TERM:
                    raise GaveUpError
                current = normal(step.right)
            known[part] = current
            return current

        return normal(whole), steps

    def outermost(self, whole: Term, limit: int) -> tuple[Term, list[Equation]]:
        """The same, each step at the outermost and leftmost place where one can be made."""
        steps: list[Equation] = []
        while (found := self._somewhere(whole)) is not None:
            step, whole = found
            steps.append(step)
            if len(steps) > limit or whole.size > MAXIMUM_TERM:
                raise GaveUpError
        return whole, steps

    def _somewhere(self, whole: Term) -> tuple[Equation, Term] | None:
        step = self._at_root(whole)
        if step is not None:
            return step, step.right
        for place, argument in enumerate(whole.arguments):
            found = self._somewhere(argument)
            if found is not None:
                arguments = (*whole.arguments[:place], found[1], *whole.arguments[place + 1 :])
                return found[0], term(whole.symbol, *arguments)
        return None

    def _at_root(self, whole: Term) -> Equation | None:
        for law in self._rules.get(whole.symbol, ()):
            bindings: dict[str, Term] = {}
            if match(law.left, whole, law.variable_set, bindings) and not (
                law.permutes and not _brings_order(whole, law)
            ):
                return Equation(whole, substitute(law.right, bindings))
        return None


def order_key(operand: Term) -> tuple[int, str, int]:
    """Where an operand of a commutative operator stands: what it is without its signs decides first."""
    signs = 0
    while operand.symbol in PREFIX and len(operand.arguments) == 1:
        operand, signs = operand.arguments[0], signs + 1
    return operand.size, str(operand), signs


def _brings_order(whole: Term, law: Law) -> bool:
    """Whether exchanging the first two operands of `whole` sorts them. Operands nest to the right."""
    first, second = whole.arguments
    if law.left.arguments[1].arguments:  # a + (b + c) = b + (a + c)
        second = second.arguments[0]
    elif second.symbol == whole.symbol:
        return False
    return order_key(first) > order_key(second)


def minimised(steps: Sequence[Equation], goal: Equation) -> tuple[Equation, ...]:
    """Drop steps until none can be dropped without losing the goal. The steps must be instances of laws.

    Raises `ValueError` when they do not give the goal.
    """
    given = list(dict.fromkeys(step for step in steps if step.left is not step.right))
    if len(given) > _MANY:
        given = _sufficient(given, goal)
    closure = CongruenceClosure()
    closure.add(goal.left)
    closure.add(goal.right)
    for step in given:  # taken in once, so that the copies need not
        closure.add(step.left)
        closure.add(step.right)
    if closure.equal(goal.left, goal.right):
        return ()
    if not _with(closure.copy(), given).equal(goal.left, goal.right):
        raise ValueError(f"the steps do not give {goal}")
    needed = set(_irreducible(closure, False, given, goal))
    return tuple(step for step in given if step in needed)


_MANY = 40
"""More steps than this are thinned out before they are minimised."""


def _sufficient(given: Sequence[Equation], goal: Equation) -> list[Equation]:
    """A few of many steps that give the goal: the last one of the shortest sufficient beginning, again and again."""
    needed: dict[Equation, None] = {}
    while True:
        closure = _with(CongruenceClosure(), needed)
        if closure.equal(goal.left, goal.right):
            return [step for step in given if step in needed]
        for step in given:
            closure.merge(step.left, step.right)
            if closure.equal(goal.left, goal.right):
                needed[step] = None
                break
        else:
            raise ValueError(f"the steps do not give {goal}")


def _irreducible(
    closure: CongruenceClosure, grown: bool, steps: Sequence[Equation], goal: Equation
) -> Sequence[Equation]:
    """QuickXplain (Junker 2004): those of `steps` that `closure` cannot do without to give the goal.

    `grown` says whether `closure` grew since it was last known not to give it.
    """
    if grown and closure.equal(goal.left, goal.right):
        return ()
    if len(steps) == 1:
        return steps
    half = len(steps) // 2
    later = _irreducible(_with(closure.copy(), steps[:half]), True, steps[half:], goal)
    extended = _with(closure.copy(), later) if later else closure
    return [*_irreducible(extended, bool(later), steps[:half], goal), *later]


def _with(closure: CongruenceClosure, steps: Iterable[Equation]) -> CongruenceClosure:
    for step in steps:
        closure.merge(step.left, step.right)
    return closure
