"""Makes theorems with short proofs: a term is complicated by laws read backwards, and simplified again.

The theorem is `complicated = simple`, or two complications of one term. It is derived in several ways (innermost
and outermost simplification of both sides, and the way it was made), each derivation is minimised, and the
shortest is the proof that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from clew.core import randomness
from clew.proofs.congruence import CongruenceClosure
from clew.proofs.laws import Law, Theory
from clew.proofs.rewriting import GaveUpError, Simplifier, minimised
from clew.proofs.terms import Equation, Term, match, substitute, subterms, term
from clew.proofs.theorems import Theorem
from clew.proofs.theories import THEORIES

LETTERS = "abcdxyz"
LONGEST_GOAL = 64
"""Characters of the longest goal."""
LONGEST_LINE = 60
"""Characters of the longest line of a proof."""


@dataclass(frozen=True)
class Taste:
    """How the theorems of one theory are made."""

    weight: float
    """Share of the theory in a corpus of all theories, in proportion to the others."""
    leaves: tuple[int, int]
    """Fewest and most leaves of the term that a theorem begins with."""
    complications: tuple[int, int]
    """Fewest and most laws that are read backwards in it."""


TASTES: Mapping[str, Taste] = {
    "monoid": Taste(0.2, (6, 9), (0, 3)),
    "commutative_monoid": Taste(0.5, (6, 8), (0, 2)),
    "group": Taste(2.0, (4, 7), (2, 6)),
    "abelian_group": Taste(1.0, (5, 8), (1, 4)),
    "ring": Taste(2.0, (4, 6), (0, 3)),
    "commutative_ring": Taste(1.5, (4, 6), (0, 3)),
    "lattice": Taste(1.0, (5, 8), (1, 4)),
    "distributive_lattice": Taste(1.0, (5, 8), (1, 4)),
    "boolean_algebra": Taste(2.0, (4, 7), (1, 4)),
    "natural": Taste(0.8, (6, 8), (0, 3)),
    "loop": Taste(2.0, (3, 6), (3, 7)),
}
"""Theory -> how its theorems are made: so that enumeration proves some and the model has something to learn."""


@dataclass(frozen=True)
class Generated:
    """A theorem and the shortest proof that is known of it."""

    theorem: Theorem
    steps: tuple[Equation, ...]


class _Random:
    """The draws of one theorem. Numpy's own calls cost microseconds each; one block of numbers serves them all."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._numbers: list[float] = []

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        return int(self.fraction() * bound)

    def between(self, lowest: int, highest: int) -> int:
        """A number from `lowest` to `highest`."""
        return lowest + self.below(highest - lowest + 1)

    def fraction(self) -> float:
        """A number from 0 to 1, without 1."""
        if not self._numbers:
            self._numbers = self._generator.random(128).tolist()
        return self._numbers.pop()


def generate(seed: int, index: int, theories: tuple[str, ...], maximum_steps: int) -> Generated | None:
    """Make theorem number `index` of the sequence that `seed` stands for; None where the draw gives none.

    A theorem is given only with a proof of 2 to `maximum_steps` lines, and when it is no instance of one law.
    """
    random = _Random(randomness.generator(seed, "theorem", index))
    theory = _draw_theory(random, theories)
    letters = _draw_letters(random)
    maker = _Maker(theory, letters, random)
    taste = TASTES[theory.name]
    size = random.between(*taste.leaves)
    times = random.between(*taste.complications)
    try:
        plain = maker.term(size)
        simple, simplification = _simplifier(theory.name).innermost(plain, 2 * maximum_steps)
        left, made = maker.complicate(plain, times)
        right = simple
        made = made + simplification
        if random.fraction() < 0.2:
            right, other = maker.complicate(simple, 1 + random.below(2))
            made = made + other
        goal = Equation(left, right)
        if left is right or len(str(goal)) > LONGEST_GOAL or theory.law_of(goal) is not None:
            return None
        steps = shortest_known(theory, goal, made, maximum_steps)
    except GaveUpError:
        return None
    if steps is None or not 2 <= len(steps) <= maximum_steps:
        return None
    if any(len(str(step)) > LONGEST_LINE for step in steps):
        return None
    used = {part.symbol for side in (left, right) for part in subterms(side)}
    variables = tuple(letter for letter in letters if letter in used)
    if not variables:
        return None
    return Generated(Theorem(f"{theory.name}_{index}", theory, variables, goal), steps)


def shortest_known(
    theory: Theory, goal: Equation, made: list[Equation], maximum_steps: int
) -> tuple[Equation, ...] | None:
    """The shortest of several minimised derivations of `goal`; the regular one where lengths are equal."""
    simplifier = _simplifier(theory.name)
    limit = 2 * maximum_steps + 4
    best: tuple[Equation, ...] | None = None
    for simplify in (simplifier.outermost, simplifier.innermost):
        try:
            left_form, left_steps = simplify(goal.left, limit)
            right_form, right_steps = simplify(goal.right, limit)
        except GaveUpError:
            continue
        if left_form is right_form:
            found = minimised([*left_steps, *right_steps], goal)
            best = found if best is None or len(found) < len(best) else best
    found = minimised(made, goal)
    best = found if best is None or len(found) < len(best) else best
    return minimised(in_sight(theory, goal, best), goal)


def in_sight(theory: Theory, goal: Equation, steps: Sequence[Equation]) -> list[Equation]:
    """Let each step begin with a term that stands in the goal or in a step before it, where that can be.

    A step over equal terms gives the same by congruence: what is to be written next is then largely a matter of
    finding it in what is written already.
    """
    closure = CongruenceClosure()
    seen: dict[Term, None] = dict.fromkeys((*subterms(goal.left), *subterms(goal.right)))
    shown: list[Equation] = []
    for step in steps:
        if step.left not in seen:
            step = next((other for other in _equal_instances(theory, step, closure, seen)), step)
        shown.append(step)
        closure.merge(step.left, step.right)
        seen.update(dict.fromkeys((*subterms(step.left), *subterms(step.right))))
    return shown


def _equal_instances(
    theory: Theory, step: Equation, closure: CongruenceClosure, seen: Iterable[Term]
) -> Iterator[Equation]:
    """Instances of the law of `step` whose left side was seen, and which differ from `step` by equal terms alone."""
    for law in theory.laws:
        bindings: dict[str, Term] = {}
        variables = law.variable_set
        if not (match(law.left, step.left, variables, bindings) and match(law.right, step.right, variables, bindings)):
            continue
        for part in seen:
            others: dict[str, Term] = {}
            if match(law.left, part, variables, others) and all(
                closure.equal(bindings[name], other) for name, other in others.items()
            ):
                instance = Equation(part, substitute(law.right, {**bindings, **others}))
                if len(str(instance)) <= LONGEST_LINE:
                    yield instance


class _Maker:
    """Draws terms of a theory and complicates them."""

    def __init__(self, theory: Theory, letters: tuple[str, ...], random: _Random) -> None:
        self.theory = theory
        self.random = random
        self.variables = [term(letter) for letter in letters]
        self.deck: list[Term] = []
        self.operators = [(symbol, arity) for symbol, arity in theory.operators.items() if arity > 0]

    def term(self, leaves: int) -> Term:
        """A random term with about that many leaves."""
        if leaves <= 1:
            # Every letter once before any comes again: many different terms are at hand, which is hard on a search.
            self.deck = self.deck or list(self.variables)
            leaf = self.deck.pop(self.random.below(len(self.deck)))
            unary = [symbol for symbol, arity in self.operators if arity == 1]
            if unary and self.random.fraction() < 0.25:
                return term(unary[0], leaf)
            return leaf
        binary = [symbol for symbol, arity in self.operators if arity == 2]
        symbol = binary[self.random.below(len(binary))]
        first = 1 + self.random.below(leaves - 1)
        return term(symbol, self.term(first), self.term(leaves - first))

    def complicate(self, whole: Term, times: int) -> tuple[Term, list[Equation]]:
        """Read `times` laws backwards somewhere in `whole`; return the result and the steps back to `whole`."""
        steps: list[Equation] = []
        for _ in range(times):
            place = self.draw_place(whole)
            part = _at(whole, place)
            choices = [law for law in self.theory.laws if law.right.symbol in (part.symbol, *law.variables)]
            law = self.draw_law(choices)
            step = self.backwards(law, part)
            if step is None:
                continue
            larger = _replaced(whole, place, step.left)
            if len(str(larger)) > LONGEST_GOAL - 8:
                continue
            steps.append(step)
            whole = larger
        return whole, steps[::-1]

    def draw_place(self, whole: Term) -> tuple[int, ...]:
        """The path to a subterm, in proportion to its size: what is done to large terms takes large instances."""
        places = _places(whole)
        sizes = [_at(whole, place).size for place in places]
        at = self.random.below(sum(sizes))
        for place, size in zip(places, sizes, strict=True):
            at -= size
            if at < 0:
                return place
        return ()

    def draw_law(self, choices: list[Law]) -> Law:
        """Laws of several variables more often: what they need is harder to come upon."""
        weights = [(0.1, 0.15, 1.0, 2.0)[len(law.variables)] for law in choices]
        at = self.random.fraction() * sum(weights)
        for law, weight in zip(choices, weights, strict=True):
            at -= weight
            if at < 0:
                return law
        return choices[-1]

    def backwards(self, law: Law, part: Term) -> Equation | None:
        """The instance of `law` whose right side is `part`, where there is one."""
        bindings: dict[str, Term] = {}
        if not match(law.right, part, law.variable_set, bindings):
            return None
        for variable in law.variables:
            if variable not in bindings:
                bindings[variable] = self.term(1 + self.random.below(3))
        return Equation(substitute(law.left, bindings), part)


def _places(whole: Term) -> list[tuple[int, ...]]:
    """Paths to all subterms."""
    found: list[tuple[int, ...]] = [()]
    for number, argument in enumerate(whole.arguments):
        found += [(number, *path) for path in _places(argument)]
    return found


def _at(whole: Term, place: tuple[int, ...]) -> Term:
    for number in place:
        whole = whole.arguments[number]
    return whole


def _replaced(whole: Term, place: tuple[int, ...], by: Term) -> Term:
    if not place:
        return by
    arguments = list(whole.arguments)
    arguments[place[0]] = _replaced(arguments[place[0]], place[1:], by)
    return term(whole.symbol, *arguments)


def _draw_theory(random: _Random, theories: tuple[str, ...]) -> Theory:
    total = sum(TASTES[name].weight for name in theories)
    at = random.fraction() * total
    for name in theories:
        at -= TASTES[name].weight
        if at < 0:
            return THEORIES[name]
    return THEORIES[theories[-1]]


def _draw_letters(random: _Random) -> tuple[str, ...]:
    """Three to seven different letters, in alphabetical order."""
    letters = list(LETTERS)
    count = random.between(3, 7)
    return tuple(sorted(letters.pop(random.below(len(letters))) for _ in range(count)))


@cache
def _simplifier(theory: str) -> Simplifier:
    return Simplifier(THEORIES[theory])
