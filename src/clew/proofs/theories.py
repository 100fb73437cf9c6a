"""The theories: operators, axioms, and a few theorems of each with their certificates.

A law is written in the direction that simplifies: the larger side left, sums and products nested to the right.
"""

from __future__ import annotations

from clew.core.errors import UsageError, nearest
from clew.proofs.laws import Theory

Laws = dict[str, str]
Theorems = dict[str, list[str]]
"""Name -> the theorem, then the lines of its certificate."""


def _monoid(operator: str, unit: str) -> Laws:
    return {
        "associative": f"a {operator} b {operator} c = a {operator} (b {operator} c)",
        "unit_left": f"{unit} {operator} a = a",
        "unit_right": f"a {operator} {unit} = a",
    }


def _left_commutative(operator: str, name: str) -> Theorems:
    """From associativity and commutativity."""
    o = operator
    return {
        name: [
            f"a {o} (b {o} c) = b {o} (a {o} c)",
            f"a {o} b {o} c = a {o} (b {o} c)",
            f"a {o} b = b {o} a",
            f"b {o} a {o} c = b {o} (a {o} c)",
        ]
    }


_GROUP_AXIOMS: Laws = {
    **_monoid("+", "0"),
    "inverse_left": "-a + a = 0",
    "inverse_right": "a + -a = 0",
}
_GROUP_THEOREMS: Theorems = {
    "cancel_left": ["-a + (a + b) = b", "-a + a + b = -a + (a + b)", "-a + a = 0", "0 + b = b"],
    "cancel_right": ["a + (-a + b) = b", "a + -a + b = a + (-a + b)", "a + -a = 0", "0 + b = b"],
    "negate_zero": ["-0 = 0", "-0 + 0 = -0", "-0 + 0 = 0"],
    "negate_twice": ["--a = a", "--a + (-a + a) = a", "-a + a = 0", "--a + 0 = --a"],
    "negate_sum": [
        "-(a + b) = -b + -a",
        "-(a + b) + (a + b + (-b + -a)) = -b + -a",
        "a + b + (-b + -a) = a + (b + (-b + -a))",
        "b + (-b + -a) = -a",
        "a + -a = 0",
        "-(a + b) + 0 = -(a + b)",
    ],
}
_ABELIAN_AXIOMS: Laws = {**_GROUP_AXIOMS, "commutative": "a + b = b + a"}
_ABELIAN_THEOREMS: Theorems = {**_GROUP_THEOREMS, **_left_commutative("+", "left_commutative")}

_RING_AXIOMS: Laws = {
    **_ABELIAN_AXIOMS,
    "product_associative": "a * b * c = a * (b * c)",
    "one_left": "1 * a = a",
    "one_right": "a * 1 = a",
    "distributive_left": "a * (b + c) = a * b + a * c",
    "distributive_right": "(a + b) * c = a * c + b * c",
}
_RING_THEOREMS: Theorems = {
    **_ABELIAN_THEOREMS,
    "zero_right": [
        "a * 0 = 0",
        "0 + 0 = 0",
        "a * (0 + 0) = a * 0 + a * 0",
        "-(a * 0) + (a * 0 + a * 0) = a * 0",
        "-(a * 0) + a * 0 = 0",
    ],
    "zero_left": [
        "0 * a = 0",
        "0 + 0 = 0",
        "(0 + 0) * a = 0 * a + 0 * a",
        "-(0 * a) + (0 * a + 0 * a) = 0 * a",
        "-(0 * a) + 0 * a = 0",
    ],
    "negate_right": [
        "a * -b = -(a * b)",
        "a * (b + -b) = a * b + a * -b",
        "b + -b = 0",
        "a * 0 = 0",
        "-(a * b) + (a * b + a * -b) = a * -b",
        "-(a * b) + 0 = -(a * b)",
    ],
    "negate_left": [
        "-a * b = -(a * b)",
        "(a + -a) * b = a * b + -a * b",
        "a + -a = 0",
        "0 * b = 0",
        "-(a * b) + (a * b + -a * b) = -a * b",
        "-(a * b) + 0 = -(a * b)",
    ],
}

_LATTICE_AXIOMS: Laws = {
    "meet_associative": "a & b & c = a & (b & c)",
    "join_associative": "a | b | c = a | (b | c)",
    "absorb_join": "a & (a | b) = a",
    "absorb_meet": "a | a & b = a",
    "meet_commutative": "a & b = b & a",
    "join_commutative": "a | b = b | a",
}
_LATTICE_THEOREMS: Theorems = {
    "meet_idempotent": ["a & a = a", "a & (a | a & a) = a", "a | a & a = a"],
    "join_idempotent": ["a | a = a", "a | a & (a | a) = a", "a & (a | a) = a"],
    "meet_repeated": ["a & (a & b) = a & b", "a & a & b = a & (a & b)", "a & a = a"],
    "join_repeated": ["a | (a | b) = a | b", "a | a | b = a | (a | b)", "a | a = a"],
    **_left_commutative("&", "meet_left_commutative"),
    **_left_commutative("|", "join_left_commutative"),
}
_BOOLEAN_THEOREMS: Theorems = {
    **_LATTICE_THEOREMS,
    "meet_zero": ["a & 0 = 0", "a & ~a = 0", "a & (a & ~a) = a & ~a"],
    "join_one": ["a | 1 = 1", "a | ~a = 1", "a | (a | ~a) = a | ~a"],
    "meet_complement": [
        "a & (~a & b) = 0",
        "a & ~a & b = a & (~a & b)",
        "a & ~a = 0",
        "0 & b = b & 0",
        "b & 0 = 0",
    ],
    "join_complement": [
        "a | (~a | b) = 1",
        "a | ~a | b = a | (~a | b)",
        "a | ~a = 1",
        "1 | b = b | 1",
        "b | 1 = 1",
    ],
    "not_zero": ["~0 = 1", "0 | ~0 = 1", "0 | ~0 = ~0 | 0", "~0 | 0 = ~0"],
    "not_one": ["~1 = 0", "1 & ~1 = 0", "1 & ~1 = ~1 & 1", "~1 & 1 = ~1"],
    "not_twice": [
        "~~a = a",
        "a & 1 = a",
        "~a | ~~a = 1",
        "a & (~a | ~~a) = a & ~a | a & ~~a",
        "a & ~a = 0",
        "0 | a & ~~a = a & ~~a | 0",
        "a & ~~a | 0 = a & ~~a",
        "~~a & 1 = ~~a",
        "a | ~a = 1",
        "~~a & (a | ~a) = ~~a & a | ~~a & ~a",
        "~a & ~~a = 0",
        "~~a & ~a = ~a & ~~a",
        "~~a & a | 0 = ~~a & a",
        "~~a & a = a & ~~a",
    ],
}

_ALL = (
    Theory("monoid", "Monoid", {"*": 2, "1": 0}, _monoid("*", "1"), {}),
    Theory(
        "commutative_monoid",
        "CommMonoid",
        {"+": 2, "0": 0},
        {**_monoid("+", "0"), "commutative": "a + b = b + a"},
        _left_commutative("+", "left_commutative"),
    ),
    Theory("group", "Group", {"+": 2, "-": 1, "0": 0}, _GROUP_AXIOMS, _GROUP_THEOREMS),
    Theory("abelian_group", "AbGroup", {"+": 2, "-": 1, "0": 0}, _ABELIAN_AXIOMS, _ABELIAN_THEOREMS),
    Theory("ring", "Ring", {"+": 2, "-": 1, "*": 2, "0": 0, "1": 0}, _RING_AXIOMS, _RING_THEOREMS),
    Theory(
        "commutative_ring",
        "CommRing",
        {"+": 2, "-": 1, "*": 2, "0": 0, "1": 0},
        {**_RING_AXIOMS, "product_commutative": "a * b = b * a"},
        {**_RING_THEOREMS, **_left_commutative("*", "product_left_commutative")},
    ),
    Theory("lattice", "Lattice", {"&": 2, "|": 2}, _LATTICE_AXIOMS, _LATTICE_THEOREMS),
    Theory(
        "distributive_lattice",
        "DistLattice",
        {"&": 2, "|": 2},
        {**_LATTICE_AXIOMS, "distributive": "a & (b | c) = a & b | a & c"},
        _LATTICE_THEOREMS,
    ),
    Theory(
        "boolean_algebra",
        "BoolAlg",
        {"&": 2, "|": 2, "~": 1, "0": 0, "1": 0},
        {
            **_LATTICE_AXIOMS,
            "distributive": "a & (b | c) = a & b | a & c",
            "meet_one": "a & 1 = a",
            "join_zero": "a | 0 = a",
            "complement_meet": "a & ~a = 0",
            "complement_join": "a | ~a = 1",
        },
        _BOOLEAN_THEOREMS,
    ),
    Theory(
        "natural",
        "Nat",
        {"+": 2, "*": 2, "S": 1, "0": 0},
        {
            "add_zero": "a + 0 = a",
            "add_successor": "a + S(b) = S(a + b)",
            "multiply_zero": "a * 0 = 0",
            "multiply_successor": "a * S(b) = a + a * b",
            "add_associative": "a + b + c = a + (b + c)",
            "add_commutative": "a + b = b + a",
            "multiply_commutative": "a * b = b * a",
        },
        {
            "zero_add": ["0 + a = a", "0 + a = a + 0", "a + 0 = a"],
            "successor_add": ["S(a) + b = S(a + b)", "S(a) + b = b + S(a)", "b + S(a) = S(b + a)", "b + a = a + b"],
            "zero_multiply": ["0 * a = 0", "0 * a = a * 0", "a * 0 = 0"],
            "successor_multiply": [
                "S(a) * b = b + a * b",
                "S(a) * b = b * S(a)",
                "b * S(a) = b + b * a",
                "b * a = a * b",
            ],
            **_left_commutative("+", "add_left_commutative"),
        },
    ),
    Theory(
        "loop",
        "Loop",
        {"*": 2, "\\": 2, "/": 2, "1": 0},
        {
            "one_left": "1 * a = a",
            "one_right": "a * 1 = a",
            "left_divide_product": "a \\ (a * b) = b",
            "product_left_divide": "a * (a \\ b) = b",
            "right_divide_product": "a * b / b = a",
            "product_right_divide": "a / b * b = a",
        },
        {
            "left_divide_self": ["a \\ a = 1", "a \\ (a * 1) = 1", "a * 1 = a"],
            "right_divide_self": ["a / a = 1", "1 * a / a = 1", "1 * a = a"],
            "left_divide_by_one": ["1 \\ a = a", "1 * (1 \\ a) = a", "1 * (1 \\ a) = 1 \\ a"],
            "right_divide_by_one": ["a / 1 = a", "a / 1 * 1 = a", "a / 1 * 1 = a / 1"],
            "divide_by_quotient": ["a / (b \\ a) = b", "b * (b \\ a) / (b \\ a) = b", "b * (b \\ a) = a"],
            "quotient_divides": ["a / b \\ a = b", "a / b \\ (a / b * b) = b", "a / b * b = a"],
        },
    ),
)

THEORIES: dict[str, Theory] = {theory.name: theory for theory in _ALL}
"""Name -> theory."""

THEORY_OF_SORT: dict[str, Theory] = {theory.sort: theory for theory in _ALL}
"""Sort of the variables -> theory."""


def theory_named(name: str) -> Theory:
    """Find a theory by name. Raises `UsageError` that names the nearest."""
    if name not in THEORIES:
        raise UsageError(
            f"There is no theory '{name}'.{nearest(name, list(THEORIES))} There are: {', '.join(THEORIES)}."
        )
    return THEORIES[name]
