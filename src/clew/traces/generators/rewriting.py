"""Terms of an equational theory, simplified by its laws: one law at one place a step.

    Simplify in a group: -a + (a + b) + 0
    1. unit_right: -a + (a + b)
    2. cancel_left: b
    Answer: b

The laws and the strategy (the outermost, leftmost place first) are those of the prover, `clew.proofs.rewriting`. A
step may as well take another place or another law: it is right where the law, read from left to right, makes its term
out of the term before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np

from clew.core.randomness import generator
from clew.proofs.laws import Law, Theory
from clew.proofs.rewriting import GaveUpError, Simplifier
from clew.proofs.terms import Term, TermSyntaxError, match, parse_term, substitute, subterms, term
from clew.proofs.theories import THEORIES
from clew.traces.generators.base import HARDER, Puzzles, Solution
from clew.traces.schema import InvalidError

_PROMPT = re.compile(r"Simplify in (an?) ([a-z ]+): ([^\n]{1,400})")
_STEP = re.compile(r"([a-z_]+): ([^\n]{1,400})")
_LETTERS = "abcdxyz"
_THEORIES = ("monoid", "group", "abelian_group", "ring", "lattice", "boolean_algebra")
_LONGEST = 48
"""Characters of the longest term in a prompt or a step."""
_CONSTANTS, _SIGNED, _NEGATED = 0.2, 0.3, 0.25
"""How often a leaf is a constant, a leaf has a sign, and the second operand is the first or its opposite."""
_MOST_STEPS = 9


class Rewriting(Puzzles):
    """Terms to bring to normal form, by the number of steps that takes."""

    name = "rewriting"
    about = "terms simplified by the laws of a theory, law by law; harder takes five steps and more"
    weights: Mapping[str, float] = {"2-step": 0.5, "4-step": 0.5}
    _steps: Mapping[str, tuple[int, int]] = {"2-step": (1, 2), "4-step": (3, 4), HARDER: (5, _MOST_STEPS)}
    """Level -> fewest and most steps."""

    def draw(self, seed: int, number: int, level: str) -> str | None:
        """See `Puzzles.draw`: None for a term of another level, or whose normal form depends on the order of steps."""
        random = generator(seed, self.name, level, number)
        theory = THEORIES[_THEORIES[int(random.integers(len(_THEORIES)))]]
        fewest, most = self._steps[level]
        whole = _drawn(random, theory, int(random.integers(2, 4 + most // 2)))
        found = _normal(theory.name, whole)
        if found is None or not fewest <= len(found[1]) <= most or len(str(whole)) > _LONGEST:
            return None
        if any(len(str(each)) > _LONGEST for _, each in found[1]):
            return None
        return _prompt(theory, whole)

    def key(self, prompt: str) -> str:
        """See `Puzzles.key`: the same up to the names of the variables."""
        theory, whole = _read(prompt)
        names: dict[str, Term] = {}
        for part in subterms(whole):
            if part.symbol not in theory.operators:
                names.setdefault(part.symbol, term(f"v{len(names)}"))
        return f"{self.name} {theory.name} {substitute(whole, names)}"

    def solve(self, prompt: str) -> Solution:
        """See `Puzzles.solve`. Raises `InvalidError` as well for a term that simplification gives up on."""
        theory, whole = _read(prompt)
        found = _normal(theory.name, whole)
        if found is None or not found[1]:
            raise InvalidError(f"'{prompt[:120]}' has no normal form within {_MOST_STEPS} steps, or is one already.")
        return Solution(str(found[0]), tuple((law, f"{law}: {each}") for law, each in found[1]), theory.name)

    def check_answer(self, prompt: str, answer: str) -> bool:
        """See `Generator.check_answer`: the normal form, however its parentheses are written."""
        right = self.solve(prompt).answer
        try:
            return str(parse_term(answer)) == right
        except TermSyntaxError:
            return False

    def check_steps(self, prompt: str, steps: Sequence[str], answer: str) -> list[str]:
        """See `Generator.check_steps`: that each law gives its term from the one before, and the last is the answer."""
        theory, whole = _read(prompt)
        laws = {law.name: law for law in theory.laws}
        faults: list[str] = []
        for number, step in enumerate(steps, start=1):
            read = _STEP.fullmatch(step)
            if read is None or read[1] not in laws:
                return [*faults, f"Step {number} is '{step[:80]}', which names no law of {theory.name} and a term."]
            try:
                after = parse_term(read[2])
            except TermSyntaxError as error:
                return [*faults, f"Step {number}: {error}"]
            if after is whole:
                faults.append(f"Step {number} says nothing: the term stays as it was.")
            elif all(made is not after for made in _rewritten(whole, laws[read[1]])):
                faults.append(f"Step {number}: {read[1]} does not make '{after}' out of '{whole}'.")
            whole = after
        if not self.check_answer(prompt, answer):
            faults.append(f"'{answer[:80]}' is not the normal form.")
        elif str(whole) != str(parse_term(answer)):
            faults.append(f"The steps come to '{whole}' and the answer is '{answer[:80]}'.")
        return faults


def _rewritten(whole: Term, law: Law) -> Iterator[Term]:
    """All that one use of the law, from left to right, makes of a term."""
    bindings: dict[str, Term] = {}
    if match(law.left, whole, law.variable_set, bindings) and len(bindings) == len(law.variables):
        yield substitute(law.right, bindings)
    for place, argument in enumerate(whole.arguments):
        for made in _rewritten(argument, law):
            yield term(whole.symbol, *whole.arguments[:place], made, *whole.arguments[place + 1 :])


@lru_cache(maxsize=4096)
def _normal(theory: str, whole: Term) -> tuple[Term, list[tuple[str, Term]]] | None:
    """The normal form and the steps to it: the law used and the whole term after. None where it depends on the order
    of the steps, or there are too many."""
    simplifier, laws = _simplifier(theory), THEORIES[theory]
    try:
        normal, equations = simplifier.outermost(whole, _MOST_STEPS)
        other, _ = simplifier.innermost(whole, 4 * _MOST_STEPS)
    except GaveUpError:
        return None
    if normal is not other:
        return None
    steps = []
    for equation in equations:
        law = next((each for each in laws.laws if each.instance(_bindings(each, equation.left)) == equation), None)
        after = None if law is None else _first_replaced(whole, equation.left, equation.right)
        if law is None or after is None:
            return None
        steps.append((law.name, after))
        whole = after
    return (normal, steps) if whole is normal else None


def _bindings(law: Law, whole: Term) -> dict[str, Term]:
    bindings: dict[str, Term] = {}
    return bindings if match(law.left, whole, law.variable_set, bindings) else {}


def _first_replaced(whole: Term, part: Term, by: Term) -> Term | None:
    """`whole` with the outermost, leftmost `part` replaced; None where there is none."""
    if whole is part:
        return by
    for place, argument in enumerate(whole.arguments):
        found = _first_replaced(argument, part, by)
        if found is not None:
            return term(whole.symbol, *whole.arguments[:place], found, *whole.arguments[place + 1 :])
    return None


@cache
def _simplifier(theory: str) -> Simplifier:
    return Simplifier(THEORIES[theory])


def _drawn(random: np.random.Generator, theory: Theory, leaves: int) -> Term:
    """A term of about so many leaves in which equal parts, opposites and constants meet often."""
    unary = [symbol for symbol, arity in theory.operators.items() if arity == 1]
    binary = [symbol for symbol, arity in theory.operators.items() if arity == 2]

    def sign(part: Term) -> Term:
        return term(unary[0], part) if unary and random.random() < _SIGNED else part

    def draw(size: int) -> Term:
        if size <= 1:
            if theory.constants and random.random() < _CONSTANTS:
                return theory.constants[int(random.integers(len(theory.constants)))]
            return sign(term(_LETTERS[int(random.integers(len(_LETTERS)))]))
        symbol = binary[int(random.integers(len(binary)))]
        first = draw(int(random.integers(1, size)))
        second = sign(first) if random.random() < _NEGATED else draw(size - 1)
        left, right = (first, second) if random.random() < 0.5 else (second, first)
        made = term(symbol, left, right)
        return sign(made) if random.random() < _SIGNED else made

    return draw(leaves)


def _prompt(theory: Theory, whole: Term) -> str:
    name = theory.name.replace("_", " ")
    return f"Simplify in {'an' if name[0] in 'aeiou' else 'a'} {name}: {whole}"


def _read(prompt: str) -> tuple[Theory, Term]:
    found = _PROMPT.fullmatch(prompt)
    theory = THEORIES.get(found[2].replace(" ", "_")) if found else None
    if found is not None and theory is not None:
        try:
            whole = parse_term(found[3])
        except TermSyntaxError as error:
            raise InvalidError(f"'{prompt[:120]}' is no question of rewriting: {error}") from None
        wrong = [part for part in subterms(whole) if not _fits(part, theory)]
        if not wrong and _prompt(theory, whole) == prompt:
            return theory, whole
    raise InvalidError(
        f"'{prompt[:120]}' is no question of rewriting. They read 'Simplify in a group: -a + (a + b)', with a theory "
        f"of the prover ({', '.join(THEORIES)}), its operators and small letters."
    )


def _fits(part: Term, theory: Theory) -> bool:
    if part.symbol in theory.operators:
        return theory.operators[part.symbol] == len(part.arguments)
    return not part.arguments and part.symbol in _LETTERS


REWRITING = Rewriting()
