"""A small structure for each theory, to evaluate equations in: what is false there cannot be a theorem."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clew.proofs.terms import Equation, Term


@dataclass(frozen=True)
class Model:
    """Elements and what each operator does with them."""

    elements: Sequence[int]
    operators: dict[str, Callable[..., int]]

    def value(self, term: Term, variables: dict[str, int]) -> int:
        if term.symbol in variables:
            return variables[term.symbol]
        return self.operators[term.symbol](*(self.value(argument, variables) for argument in term.arguments))

    def holds(self, equation: Equation, variables: Sequence[str]) -> bool:
        """Whether both sides are equal for every assignment."""
        return all(
            self.value(equation.left, assignment) == self.value(equation.right, assignment)
            for assignment in self.assignments(variables)
        )

    def assignments(self, variables: Sequence[str]) -> Iterator[dict[str, int]]:
        for values in itertools.product(self.elements, repeat=len(variables)):
            yield dict(zip(variables, values, strict=True))


def _table(rows: Sequence[Sequence[int]]) -> Callable[[int, int], int]:
    return lambda a, b: rows[a][b]


def _symmetric_group() -> Model:
    """The permutations of three things: the smallest group that does not commute."""
    permutations = list(itertools.permutations(range(3)))
    number = {permutation: index for index, permutation in enumerate(permutations)}

    def compose(a: int, b: int) -> int:
        return number[tuple(permutations[a][permutations[b][i]] for i in range(3))]

    def invert(a: int) -> int:
        return number[tuple(permutations[a].index(i) for i in range(3))]

    return Model(range(6), {"+": compose, "-": invert, "0": lambda: number[(0, 1, 2)]})


def _transformations() -> Model:
    """The maps of two things to themselves: a monoid that does not commute."""
    maps = list(itertools.product(range(2), repeat=2))
    number = {each: index for index, each in enumerate(maps)}
    return Model(
        range(4),
        {"*": lambda a, b: number[maps[a][maps[b][0]], maps[a][maps[b][1]]], "1": lambda: number[0, 1]},
    )


def _triangular_matrices() -> Model:
    """Upper triangular 2 x 2 matrices over two elements, as bits (a, b, d): a ring that does not commute."""

    def product(x: int, y: int) -> int:
        (a, b, d), (e, f, h) = ((x >> 2, x >> 1 & 1, x & 1), (y >> 2, y >> 1 & 1, y & 1))
        return (a & e) << 2 | ((a & f) ^ (b & h)) << 1 | (d & h)

    return Model(
        range(8),
        {"+": lambda a, b: a ^ b, "-": lambda a: a, "*": product, "0": lambda: 0, "1": lambda: 0b101},
    )


def _pentagon() -> Model:
    """The lattice N5 = {0 < x < y < 1, 0 < z < 1}, numbered 0 x y z 1: not distributive."""
    below = {(a, a) for a in range(5)} | {(0, a) for a in range(5)} | {(a, 4) for a in range(5)} | {(1, 2)}

    def meet(a: int, b: int) -> int:
        lower = [c for c in range(5) if (c, a) in below and (c, b) in below]
        return next(c for c in lower if all((d, c) in below for d in lower))

    def join(a: int, b: int) -> int:
        upper = [c for c in range(5) if (a, c) in below and (b, c) in below]
        return next(c for c in upper if all((c, d) in below for d in upper))

    return Model(range(5), {"&": meet, "|": join})


def _integers_modulo(n: int, *, product: bool) -> Model:
    operators: dict[str, Callable[..., int]] = {"+": lambda a, b: (a + b) % n, "-": lambda a: -a % n, "0": lambda: 0}
    if product:
        operators |= {"*": lambda a, b: a * b % n, "1": lambda: 1}
    return Model(range(n), operators)


_LOOP = ((0, 1, 2, 3, 4), (1, 0, 3, 4, 2), (2, 4, 0, 1, 3), (3, 2, 4, 0, 1), (4, 3, 1, 2, 0))
"""A Latin square with a unit, 0. Every element is its own inverse and 2 does not divide 5: it is no group."""

MODELS: dict[str, Model] = {
    "monoid": _transformations(),
    "commutative_monoid": Model(range(4), {"+": lambda a, b: min(3, a + b), "0": lambda: 0}),
    "group": _symmetric_group(),
    "abelian_group": _integers_modulo(5, product=False),
    "ring": _triangular_matrices(),
    "commutative_ring": _integers_modulo(6, product=True),
    "lattice": _pentagon(),
    "distributive_lattice": Model(range(4), {"&": min, "|": max}),
    "boolean_algebra": Model(
        range(4),
        {"&": lambda a, b: a & b, "|": lambda a, b: a | b, "~": lambda a: 3 - a, "0": lambda: 0, "1": lambda: 3},
    ),
    "natural": Model(
        range(5),
        {"+": lambda a, b: (a + b) % 5, "*": lambda a, b: a * b % 5, "S": lambda a: (a + 1) % 5, "0": lambda: 0},
    ),
    "loop": Model(
        range(5),
        {
            "*": _table(_LOOP),
            "\\": lambda a, b: _LOOP[a].index(b),
            "/": lambda a, b: next(c for c in range(5) if _LOOP[c][b] == a),
            "1": lambda: 0,
        },
    ),
}
