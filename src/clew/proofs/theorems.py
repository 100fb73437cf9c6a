"""A theorem of a theory and the proof file that states it.

@T
theorem group_17(a: Group, b: Group) {
@G
    -a + (a + b) = b
@C
-a + (a + b) != b
@P
...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clew.core.errors import ClewError, nearest
from clew.proofs.files import Proof
from clew.proofs.laws import Theory
from clew.proofs.terms import Equation, Term, TermSyntaxError, parse_equation, substitute, subterms, term
from clew.proofs.theories import THEORY_OF_SORT

_HEAD = re.compile(r"theorem ([A-Za-z_][A-Za-z0-9_]*)\((.*)\) \{")
_VARIABLE = re.compile(r"([a-z]): ([A-Za-z]+)")


class StatementError(ClewError):
    """A proof file does not state a theorem of ours; `section` is the marker under which the fault stands."""

    def __init__(self, section: str, why: str) -> None:
        super().__init__(why)
        self.section = section


@dataclass(frozen=True)
class Theorem:
    """`goal` holds in `theory` for all values of `variables`."""

    name: str
    theory: Theory
    variables: tuple[str, ...]
    """One lower-case letter each; the goal may use these and the theory's operators."""
    goal: Equation

    def to_proof(self, steps: Sequence[Equation] = ()) -> Proof:
        """The proof file that states the theorem, with these steps."""
        declared = ", ".join(f"{variable}: {self.theory.sort}" for variable in self.variables)
        return Proof(
            context=f"theorem {self.name}({declared}) {{",
            goal=f"    {self.goal}",
            premise=None,
            counterfactual=str(self.goal.negated()),
            steps=tuple(str(step) for step in steps),
        )


def read_theorem(proof: Proof) -> Theorem:
    """Find the theorem that a proof file states. Raises `StatementError`."""
    if proof.context is None:
        raise StatementError("@G", "there is no section @T that says which theory the goal belongs to")
    name, variables, theory = _read_head(proof.context)
    goal = _read_statement(proof.goal, "@G", theory, variables)
    counterfactual = _read_statement(proof.counterfactual, "@C", theory, variables)
    if proof.premise is not None:
        raise StatementError("@H", "a goal with a premise is no equation, and these theories have only equations")
    if not goal.holds:
        raise StatementError("@G", "the goal is a disequation, and these theories prove only equations")
    if counterfactual != goal.negated():
        raise StatementError("@C", f"the counterfactual is not the negated goal, which is '{goal.negated()}'")
    return Theorem(name, theory, variables, goal)


def fault_of(equation: Equation, theory: Theory, variables: Sequence[str]) -> str | None:
    """Say which symbol of `equation` belongs neither to the theory nor to the variables; None when all do."""
    operators = theory.operators
    for part in (*subterms(equation.left), *subterms(equation.right)):
        arity = operators.get(part.symbol)
        if arity is None and not part.arguments and part.symbol in variables:
            continue
        if arity is None:
            return f"'{part.symbol}' is no operator of the theory {theory.name} and no variable of the theorem"
        if arity != len(part.arguments):
            return f"'{part.symbol}' takes {arity} arguments in the theory {theory.name}, not {len(part.arguments)}"
    return None


def theorem_key(theorem: Theorem) -> str:
    """A text that two theorems share exactly when they are equal up to renaming variables and exchanging the sides."""
    readings = []
    for first, second in ((theorem.goal.left, theorem.goal.right), (theorem.goal.right, theorem.goal.left)):
        letters = [part.symbol for side in (first, second) for part in subterms(side)]
        used = dict.fromkeys(letter for letter in letters if letter in theorem.variables)
        renaming: dict[str, Term] = {letter: term(f"x{number}") for number, letter in enumerate(used)}
        readings.append(f"{substitute(first, renaming)} = {substitute(second, renaming)}")
    return f"{theorem.theory.name}: {min(readings)}"


def _read_head(context: str) -> tuple[str, tuple[str, ...], Theory]:
    """Name, variables and theory from the first line of @T."""
    found = _HEAD.fullmatch(context.split("\n")[0])
    if found is None or "\n" in context:
        raise StatementError("@T", "expected one line such as 'theorem group_17(a: Group, b: Group) {'")
    name, declarations = found.groups()
    variables: list[str] = []
    sorts: list[str] = []
    for declaration in declarations.split(", "):
        variable = _VARIABLE.fullmatch(declaration)
        if variable is None:
            raise StatementError("@T", f"'{declaration}' declares no variable; write one such as 'a: Group'")
        variables.append(variable[1])
        sorts.append(variable[2])
    if len(set(variables)) < len(variables):
        raise StatementError("@T", "a variable is declared twice")
    if len(set(sorts)) > 1:
        raise StatementError("@T", f"the variables are of different sorts: {', '.join(sorted(set(sorts)))}")
    if sorts[0] not in THEORY_OF_SORT:
        suggestion = nearest(sorts[0], list(THEORY_OF_SORT))
        raise StatementError("@T", f"there is no theory of the sort '{sorts[0]}'.{suggestion}")
    return name, tuple(variables), THEORY_OF_SORT[sorts[0]]


def _read_statement(text: str, section: str, theory: Theory, variables: Sequence[str]) -> Equation:
    try:
        equation = parse_equation(text.strip())
    except TermSyntaxError as refusal:
        raise StatementError(section, str(refusal).rstrip(".")) from refusal
    fault = fault_of(equation, theory, variables)
    if fault is not None:
        raise StatementError(section, fault)
    return equation
