"""A second judge of certificates: slow, and so plain that it can be checked by eye."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

from clew.proofs.terms import Equation, Term, parse_equation, substitute, subterms
from clew.proofs.theories import THEORIES


def equal_by_fixpoint(equations: Iterable[Equation], left: Term, right: Term) -> bool:
    """Join the classes of equations and of congruent terms, over all subterms, until nothing changes."""
    equations = list(equations)
    sides = [side for equation in [*equations, Equation(left, right)] for side in (equation.left, equation.right)]
    terms = {part for side in sides for part in subterms(side)}
    label = {part: number for number, part in enumerate(terms)}

    def join(first: Term, second: Term) -> bool:
        old, new = label[first], label[second]
        for part in terms:
            if label[part] == old:
                label[part] = new
        return old != new

    changed = True
    while changed:
        changed = False
        for equation in equations:
            changed = join(equation.left, equation.right) or changed
        for first, second in itertools.combinations(terms, 2):
            if (
                first.symbol == second.symbol
                and len(first.arguments) == len(second.arguments)
                and all(label[a] == label[b] for a, b in zip(first.arguments, second.arguments, strict=True))
                and label[first] != label[second]
            ):
                changed = join(first, second) or changed
    return label[left] == label[right]


@functools.cache
def is_instance(theory: str, equation: Equation) -> bool:
    """Try every subterm of the line for every variable of every law."""
    parts = {part for side in (equation.left, equation.right) for part in subterms(side)}
    for law in THEORIES[theory].laws:
        for chosen in itertools.product(parts, repeat=len(law.variables)):
            bindings = dict(zip(law.variables, chosen, strict=True))
            left = substitute(law.left, bindings)
            if left is equation.left and substitute(law.right, bindings) is equation.right:
                return True
            if left is equation.right and substitute(law.right, bindings) is equation.left:
                return True
    return False


def accepts(theory: str, goal: Equation, steps: Iterable[str]) -> bool:
    """Whether the steps, all of known symbols, are justified and give the goal."""
    taken: list[Equation] = []
    for step in steps:
        line = parse_equation(step)
        if line.holds:
            if line.left is line.right:
                return False
            if not is_instance(theory, line) and not equal_by_fixpoint(taken, line.left, line.right):
                return False
            taken.append(line)
        elif not equal_by_fixpoint([*taken, Equation(line.left, line.right)], goal.left, goal.right):
            return False
    return equal_by_fixpoint(taken, goal.left, goal.right)
