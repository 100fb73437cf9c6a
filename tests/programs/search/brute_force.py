"""Every program of a grammar up to a size, the slow and plain way: trees made by recursion, run by the interpreter."""

from __future__ import annotations

import itertools

from clew.programs.grammar import NONTERMINALS, Grammar, Nonterminal, Production
from clew.programs.interpret import compile_program, run_on
from clew.programs.parse import parse_expression
from clew.programs.primitives import PRIMITIVES, FunctionType, Type
from clew.programs.search.problem import Problem
from clew.programs.syntax import PARAMETERS, Call, Expr, Inputs, Lambda, Literal, Value, Variable

XS: tuple[tuple[Value, ...], ...] = (
    ((3, -1, 4, 1, 5),),
    ((9, 2, 6),),
    ((5, 3, 5, 8, 9, 7),),
    ((-3, 2),),
    ((0, 10, 4),),
)
LISTS: Inputs = (("xs", Type.LIST),)


def small_grammar(
    name: str, words: tuple[str, ...], literals: tuple[int, ...], inputs: int, parameters: int
) -> Grammar:
    """A grammar of a few productions."""
    productions = [Production(primitive=word) for word in words] + [Production(literal=each) for each in literals]
    productions += [Production(input=each) for each in range(inputs)]
    return Grammar(name, (*productions, *(Production(parameter=each) for each in range(parameters))))


def problem_of(text: str, arguments: tuple[tuple[Value, ...], ...] = XS, inputs: Inputs = LISTS) -> Problem:
    """The problem that the program `text` solves on these arguments."""
    program = compile_program(parse_expression(text, [name for name, _ in inputs]), inputs)
    values, _ = run_on(program, arguments)
    return Problem(text, inputs, program.output, arguments, tuple(value for value in values if value is not None))


class BruteForce:
    """All terms that err on no example (the bodies of lambdas may), none left out for being equal to another."""

    def __init__(self, grammar: Grammar, problem: Problem) -> None:
        self.grammar, self.problem = grammar, problem
        self._terms: dict[tuple[int, int], list[Expr]] = {}

    def terms(self, nonterminal: int, size: int) -> list[Expr]:
        """Every term of a nonterminal with exactly `size` productions."""
        if (nonterminal, size) not in self._terms:
            made = list(self._make(nonterminal, size))
            if NONTERMINALS[nonterminal].scope == 0:
                made = [expr for expr in made if self.values(expr) is not None]
            self._terms[nonterminal, size] = made
        return self._terms[nonterminal, size]

    def _make(self, nonterminal: int, size: int):
        scope = NONTERMINALS[nonterminal].scope
        for action in self.grammar.legal(nonterminal, self.problem.input_types):
            production = self.grammar.productions[action]
            if not production.primitive:
                if size == 1:
                    yield self._terminal(production)
                continue
            parameters = PRIMITIVES[production.primitive].parameters
            holes = [
                Nonterminal(each.result, each.parameters)
                if isinstance(each, FunctionType)
                else Nonterminal(each, scope)
                for each in parameters
            ]
            for sizes in itertools.product(range(1, size), repeat=len(holes)):
                if sum(sizes) != size - 1:
                    continue
                below = [self.terms(NONTERMINALS.index(hole), part) for hole, part in zip(holes, sizes, strict=True)]
                for children in itertools.product(*below):
                    yield Call(
                        production.primitive,
                        tuple(
                            Lambda(PARAMETERS[: each.parameters], child) if isinstance(each, FunctionType) else child
                            for each, child in zip(parameters, children, strict=True)
                        ),
                    )

    def _terminal(self, production: Production) -> Expr:
        if production.literal is not None:
            return Literal(production.literal)
        if production.input is not None:
            return Variable(self.problem.inputs[production.input][0])
        return Variable(PARAMETERS[production.parameter or 0])

    def values(self, expr: Expr) -> tuple[Value, ...] | None:
        """A term's value on each example; None where one errs."""
        values, _ = run_on(compile_program(expr, self.problem.inputs), self.problem.arguments)
        return None if None in values else tuple(value for value in values if value is not None)

    def smallest(self, nonterminal: int, up_to: int) -> dict[tuple[Value, ...], int]:
        """The least size of each behaviour."""
        found: dict[tuple[Value, ...], int] = {}
        for size in range(1, up_to + 1):
            for expr in self.terms(nonterminal, size):
                values = self.values(expr)
                if values is not None:
                    found.setdefault(values, size)
        return found
