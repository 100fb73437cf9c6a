"""The bottom-up search held against a brute force that shares nothing with it but the grammar and the interpreter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from brute_force import LISTS, XS, BruteForce, problem_of, small_grammar

from clew.core.errors import ClewError
from clew.core.randomness import generator
from clew.programs.grammar import FULL, SMALL, Grammar
from clew.programs.guidance import FrequencyGuide, UniformGuide, counts_of, weights_of
from clew.programs.interpret import Arguments, compile_program, run_on
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.search.costs import QUANTA, legal_mask, quantized
from clew.programs.search.enumeration import bank, enumerate_programs
from clew.programs.search.guided import by_grammar
from clew.programs.search.problem import Budget, Problem, legal_of
from clew.programs.states import derivation
from clew.programs.syntax import Inputs, Value, size

WITH_BODIES = small_grammar(
    "bodies", ("add", "mul", "if", "lt", "div", "head", "fold", "map", "filter", "scan", "take"), (1, 2), 2, 2
)
LIST_WORDS = small_grammar(
    "lists",
    ("last", "at", "sum", "is_empty", "contains", "sort", "unique", "append", "cons", "range", "zip", "sub"),
    (2,),
    1,
    2,
)
NUMBER_TOO: tuple[tuple[Value, ...], ...] = (((3, 1, 2), 2), ((4, -4), 1), ((7, 0, 1, 5), 3))


@pytest.mark.parametrize(
    ("grammar", "inputs", "arguments", "up_to"),
    [
        (SMALL, LISTS, XS, 7),
        (LIST_WORDS, LISTS, XS, 5),
        (WITH_BODIES, (("xs", Type.LIST), ("n", Type.INT)), NUMBER_TOO, 5),
    ],
)
def test_every_behaviour_up_to_a_size_is_kept_once_by_a_smallest_program(
    grammar: Grammar, inputs: Inputs, arguments: tuple[tuple[Value, ...], ...], up_to: int
) -> None:
    problem = Problem("p", inputs, Type.LIST, arguments)
    brute_force, found = BruteForce(grammar, problem), bank(problem, max_size=up_to, grammar=grammar)
    assert found.complete == up_to
    for nonterminal in range(3):
        expected = brute_force.smallest(nonterminal, up_to)
        kept = {found.values(term): int(found.sizes[term]) for term in found.of(nonterminal)}
        assert len(kept) == len(found.of(nonterminal)), "each behaviour is kept once"
        assert kept == expected


TYPES = [(Type.LIST,), (Type.LIST, Type.INT), (Type.INT, Type.LIST, Type.LIST), (Type.BOOL, Type.INT)]


@pytest.mark.parametrize("types", TYPES)
def test_values_are_those_of_the_interpreter(types: tuple[Type, ...]) -> None:
    random = generator(0, "values", len(types))
    inputs = tuple(zip("abc", types, strict=False))

    def value(type_: Type) -> Value:
        if type_ is Type.LIST:
            return tuple(random.integers(-10, 11, int(random.integers(0, 7))).tolist())
        return bool(random.integers(2)) if type_ is Type.BOOL else int(random.integers(-4, 8))

    arguments = tuple(tuple(value(type_) for type_ in types) for _ in range(6))
    found = bank(Problem("p", inputs, Type.INT, arguments), max_size=5, budget=Budget(nodes=300_000, seconds=60))
    programs = np.flatnonzero(found.nonterminals < 3)
    packed = Arguments(types, arguments)
    for term in random.choice(programs, 700, replace=False):
        expr = found.expr(int(term))
        assert tuple(run_on(compile_program(expr, inputs), packed)[0]) == found.values(int(term)), pretty(expr)
        assert size(expr) == found.sizes[term]


SOLVABLE = [
    "sum (map (\\x -> x * x) xs)",
    "reverse (sort (filter (\\x -> 2 < x) xs))",
    "fold (\\x y -> max x y) 0 xs",
    "zip (\\x y -> x - y) xs (drop 1 xs)",
    "any (\\x -> x == 2) xs",
    "scan (\\x y -> min x y) xs",
]


@pytest.mark.parametrize("text", SOLVABLE)
def test_a_found_program_fits_every_example_and_is_no_larger_than_the_one_that_made_them(text: str) -> None:
    problem = problem_of(text)
    found = enumerate_programs(problem, budget=Budget(seconds=60))
    assert found.program is not None
    assert found.stopped == "found"
    assert tuple(run_on(compile_program(found.program, LISTS), XS)[0]) == problem.results
    assert size(found.program) <= size(derived(text))
    assert found.cost == size(found.program)


def derived(text: str):
    """The tree of a text over `xs`."""
    from clew.programs.parse import parse_expression

    return parse_expression(text, ["xs"])


def test_levels_rise_and_the_account_adds_up() -> None:
    lines = []
    found = enumerate_programs(problem_of(SOLVABLE[1]), trace=lines.append, budget=Budget(seconds=60))
    assert [line.cost for line in lines] == sorted({line.cost for line in lines})
    assert [line.nodes for line in lines] == sorted(line.nodes for line in lines)
    assert lines[-1].nodes == found.nodes >= found.kept == lines[-1].kept
    assert tuple(lines) == found.trace
    assert 0 < found.programs_run <= found.nodes


def test_the_nodes_of_a_search_do_not_depend_on_when_it_runs() -> None:
    first, second = (enumerate_programs(problem_of(SOLVABLE[0]), budget=Budget(seconds=60)) for _ in range(2))
    assert (first.nodes, first.kept, first.program) == (second.nodes, second.kept, second.program)


UNSOLVABLE = Problem("no such", LISTS, Type.LIST, XS, tuple((1000 * place + 7, 5, 4, -3) for place in range(5)))


def test_budgets_end_a_search_and_are_told_truly() -> None:
    by_nodes = enumerate_programs(UNSOLVABLE, budget=Budget(nodes=5000, seconds=60))
    assert (by_nodes.program, by_nodes.stopped, by_nodes.nodes) == (None, "nodes", 5000)
    by_time = enumerate_programs(UNSOLVABLE, budget=Budget(nodes=2**40, seconds=0.05))
    assert (by_time.program, by_time.stopped) == (None, "seconds")
    by_memory = enumerate_programs(UNSOLVABLE, budget=Budget(nodes=2**40, seconds=60, memory=4 * 2**20))
    assert (by_memory.program, by_memory.stopped) == (None, "memory")
    assert bank(UNSOLVABLE, max_size=9, budget=Budget(nodes=3000, seconds=60)).complete < 9


def test_a_grammar_that_runs_out_of_programs_ends() -> None:
    grammar = small_grammar("identity", ("sort",), (), 1, 0)
    found = enumerate_programs(UNSOLVABLE, grammar=grammar, budget=Budget(seconds=60))
    assert (found.program, found.stopped, found.kept) == (None, "cost", 2)


def test_programs_come_in_the_order_of_their_probability() -> None:
    """In a grammar where all behaviours differ, the level at which each is found is its -log p, but for rounding."""
    grammar = small_grammar("chain", ("cons", "head", "add"), (1, 2), 1, 0)
    problem = Problem("p", LISTS, Type.LIST, XS)
    random = generator(3, "weights")
    mask = legal_mask(grammar, legal_of(problem, grammar))
    weights = weights_of(random.normal(size=mask.shape).astype(np.float32), problem, grammar)
    costs = quantized(weights, mask, floor=0.0)
    for text in ("cons 1 xs", "cons 2 (cons 1 xs)", "cons (head xs + 2) xs", "cons (head (cons 1 xs)) (cons 2 xs)"):
        wanted = problem_of(text)
        found = enumerate_programs(wanted, grammar=grammar, weights=weights, floor=0.0, budget=Budget(seconds=60))
        assert found.program is not None
        exact, rounded = _cost(found.program, wanted, grammar, weights), _cost(found.program, wanted, grammar, costs)
        assert found.cost == pytest.approx(rounded / QUANTA)
        assert abs(found.cost - exact) <= 0.5 / QUANTA * size(found.program) + 1 / QUANTA


def _cost(program, problem, grammar, weights) -> float:
    counts = counts_of([(problem, derivation(program, problem, grammar))], grammar)
    return float((np.where(counts > 0, weights, 0) * counts).sum())


def test_a_guide_that_favours_the_reference_needs_fewer_nodes() -> None:
    problem = problem_of(SOLVABLE[1])
    plain = enumerate_programs(problem, budget=Budget(seconds=60))
    assert plain.program is not None
    led = FrequencyGuide(counts_of([(problem, derivation(plain.program, problem, FULL))]), smoothing=0.05)
    guided = by_grammar(problem, led, budget=Budget(seconds=60))
    assert guided.solved
    assert 10 * guided.nodes < plain.nodes


def test_a_guide_that_is_wrong_keeps_the_search_complete() -> None:
    problem = problem_of(SOLVABLE[0])
    wrong = problem_of("length (range (10 * length xs))")
    led = FrequencyGuide(counts_of([(wrong, derivation(derived(wrong.name), wrong, FULL))]), smoothing=1e-9)
    assert by_grammar(problem, led, budget=Budget(nodes=2**40, seconds=60)).solved


def test_uniform_weights_solve_what_the_size_solves() -> None:
    problem = problem_of(SOLVABLE[0])
    assert by_grammar(problem, UniformGuide(), budget=Budget(seconds=60)).solved


def test_costs_are_whole_positive_and_sum_to_probability() -> None:
    problem = problem_of(SOLVABLE[0])
    mask = legal_mask(FULL, legal_of(problem, FULL))
    costs = quantized(UniformGuide().weights(problem), mask, floor=0.0)
    assert ((costs > 0) == mask).all()
    row = costs[2][mask[2]] / QUANTA
    assert math.isclose(np.exp(-row).sum(), 1.0, abs_tol=0.1)


def test_problems_that_cannot_be_searched_are_refused_in_a_sentence() -> None:
    with pytest.raises(ClewError, match="no results"):
        enumerate_programs(Problem("p", LISTS, Type.LIST, XS))
    with pytest.raises(ClewError, match="no examples"):
        Problem("p", LISTS, Type.LIST, ())
    with pytest.raises(ClewError, match="at most 3"):
        Problem("p", tuple((f"a{n}", Type.INT) for n in range(4)), Type.INT, ((1, 2, 3, 4),))
    with pytest.raises(ClewError, match="no list"):
        Problem("p", LISTS, Type.LIST, ((7,),))
    with pytest.raises(ClewError, match="lambda's parameter"):
        Problem("p", (("x", Type.INT),), Type.INT, ((7,),))
