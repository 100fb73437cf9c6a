"""What an equational theory is: operators, axioms, and theorems that are proved from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from clew.proofs.terms import Equation, Term, match, parse_equation, substitute, subterms, term


class Law:
    """An equation that holds for all values of its variables."""

    def __init__(self, name: str, equation: Equation, operators: Mapping[str, int]) -> None:
        """Make a law of `equation`; every symbol that is no operator is a variable."""
        symbols = [part.symbol for side in (equation.left, equation.right) for part in subterms(side)]
        self.name = name
        self.left = equation.left
        self.right = equation.right
        self.variables = tuple(dict.fromkeys(symbol for symbol in symbols if symbol not in operators))
        """In the order of their first occurrence, left side first."""

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"

    @cached_property
    def variable_set(self) -> frozenset[str]:
        """The variables."""
        return frozenset(self.variables)

    @cached_property
    def permutes(self) -> bool:
        """Whether the sides differ in the order of variables alone, as in a + b = b + a."""
        return match(self.left, self.right, self.variable_set, {}) and match(
            self.right, self.left, self.variable_set, {}
        )

    def instance(self, bindings: Mapping[str, Term]) -> Equation:
        """The law with its variables replaced."""
        return Equation(substitute(self.left, bindings), substitute(self.right, bindings))


class Theory:
    """A signature, its axioms, and theorems that a proof may use as well.

    `name` is what theorems are named after, `sort` what a variable ranges over (`a: Group`), `operators` maps a
    symbol to its number of arguments, `axioms` maps names to equations, and `theorems` maps names to an equation and
    the lines of its certificate from the axioms and the theorems before it.
    """

    def __init__(
        self,
        name: str,
        sort: str,
        operators: Mapping[str, int],
        axioms: Mapping[str, str],
        theorems: Mapping[str, Sequence[str]],
    ) -> None:
        self.name = name
        self.sort = sort
        self.operators = operators
        self.axioms = tuple(Law(law, parse_equation(text), operators) for law, text in axioms.items())
        self.theorems = tuple(Law(law, parse_equation(text), operators) for law, (text, *_) in theorems.items())
        self.certificates = {law: tuple(lines) for law, (_, *lines) in theorems.items()}
        """Name of a theorem -> the lines that prove it."""
        self.laws = self.axioms + self.theorems
        self.constants = tuple(term(symbol) for symbol, arity in operators.items() if arity == 0)
        self._candidates: dict[tuple[str, str], tuple[Law, ...]] = {}

    def up_to(self, theorem: str) -> Theory:
        """The theory with the theorems before `theorem` alone: what its certificate may use."""
        part = Theory(self.name, self.sort, self.operators, {}, {})
        names = [law.name for law in self.theorems]
        part.axioms, part.theorems = self.axioms, self.theorems[: names.index(theorem)]
        part.laws = part.axioms + part.theorems
        return part

    def law_of(self, equation: Equation) -> Law | None:
        """The first law of which `equation`, read in either direction, is an instance; None where there is none."""
        for left, right in ((equation.left, equation.right), (equation.right, equation.left)):
            for law in self._with_roots(left.symbol, right.symbol):
                bindings: dict[str, Term] = {}
                variables = law.variable_set
                if match(law.left, left, variables, bindings) and match(law.right, right, variables, bindings):
                    return law
        return None

    def _with_roots(self, left: str, right: str) -> tuple[Law, ...]:
        """The laws whose sides may have these root symbols, remembered."""
        found = self._candidates.get((left, right))
        if found is None:
            found = self._candidates[left, right] = tuple(
                law
                for law in self.laws
                if (law.left.symbol == left or law.left.symbol in law.variable_set)
                and (law.right.symbol == right or law.right.symbol in law.variable_set)
            )
        return found
