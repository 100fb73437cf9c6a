"""Completions of partial programs: run as the interpreter runs them, tried in order, and the label that follows."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.programs import machine
from clew.programs.compiling import acts_of, cases_of, room_for
from clew.programs.completions import Labeller, fillers_of
from clew.programs.grammar import FULL
from clew.programs.interpret import compile_program, run_on
from clew.programs.parse import parse_expression
from clew.programs.primitives import Type
from clew.programs.search.enumeration import bank
from clew.programs.search.problem import Problem
from clew.programs.states import derivation, expression, start

INPUTS = (("xs", Type.LIST), ("n", Type.INT))
ARGUMENTS = (((3, -1, 4, 4), 2), ((5, 0), 1), ((9, 2, 6), -3), ((1,), 4))


def problem(text, output):
    values, _ = run_on(compile_program(parse_expression(text, ["xs", "n"]), INPUTS), ARGUMENTS)
    return Problem("a task", INPUTS, output, ARGUMENTS, tuple(values))


@pytest.fixture(scope="module")
def terms():
    return bank(Problem("bank", INPUTS, Type.LIST, ARGUMENTS), max_size=4)


@pytest.fixture(scope="module")
def label(terms):
    fillers, acts, room = fillers_of(terms, 1000), acts_of(FULL), room_for(len(ARGUMENTS))

    def made(task, budget=1000):
        cases = cases_of(task.input_types, task.arguments, task.results)
        return Labeller(acts, fillers, cases, room, budget)

    return made


@pytest.mark.parametrize(
    "text",
    [
        r"map (\x -> if (x < n || even x && not (x == 3)) (x * 2) (neg x)) xs",
        r"zip (\x y -> min x y - 1) (sort xs) (scan (\x y -> x + y) (reverse xs))",
        r"cons (fold (\x y -> if (x < y) y x) n xs) (filter (\x -> x % 2 == 1 || x < 0) xs)",
        r"append (unique xs) (range (count (\x -> n <= x) (take n xs)))",
        r"drop (if (contains n xs && all (\x -> 0 < x) xs) 1 n) (map (\x -> max x 10 / 3) xs)",
        r"map (\x -> x / n) (cons (at n xs) xs)",
    ],
)
def test_programs_give_the_values_steps_and_errors_of_the_interpreter(text, label):
    task = Problem("a task", INPUTS, Type.LIST, ARGUMENTS, ((),) * len(ARGUMENTS))
    expr = parse_expression(text, ["xs", "n"])
    rows, _ = label(task).run(derivation(expr, task, FULL))
    labeller = label(task)
    compiled = compile_program(expr, INPUTS)
    for case, row in enumerate(ARGUMENTS):
        outcome = compiled.run(row)
        assert rows[case, machine.STEPS] == outcome.steps
        assert (rows[case, machine.ERROR] == machine.FINE) == (outcome.value is not None)
        if outcome.value is not None:
            assert tuple(labeller.room.lists[case, : rows[case, machine.VALUE]]) == outcome.value


def test_terms_of_a_bank_give_their_values_with_the_interpreters_steps(terms, label):
    random = generator(0, "terms of a bank")
    for place, output in enumerate((Type.INT, Type.BOOL, Type.LIST)):
        for term in random.choice(terms.of(place), 40):
            values = terms.values(int(term))
            task = Problem("a task", INPUTS, output, ARGUMENTS, values)
            rows, fitted = label(task).run(terms.actions(int(term)))
            assert fitted == len(ARGUMENTS)
            again, steps = run_on(compile_program(terms.expr(int(term)), INPUTS), ARGUMENTS)
            assert tuple(again) == values
            assert np.array_equal(rows[:, machine.STEPS], steps)


def by_hand(terms, state, task, budget):
    """The same label in plain Python, of a state with one hole: its terms by rising size, run by the interpreter."""
    fillers = sorted(terms.of(state.hole.nonterminal).tolist(), key=lambda term: terms.sizes[term])
    for term in fillers[:budget]:
        program = compile_program(expression([*state.actions, *terms.actions(term)], task, FULL), INPUTS)
        if tuple(run_on(program, ARGUMENTS)[0]) == task.results:
            return 1
    return 0


@pytest.mark.parametrize(
    ("text", "output"),
    [("sort (take n xs)", Type.LIST), (r"map (\x -> x + n) xs", Type.LIST), ("sum (drop 1 xs)", Type.INT)],
)
def test_the_value_of_a_state_is_whether_a_cheap_completion_fits(text, output, terms, label):
    task = problem(text, output)
    actions = derivation(parse_expression(text, ["xs", "n"]), task, FULL)
    labeller = label(task, budget=400)
    for known in range(2, len(actions)):
        state = start(task, FULL).follow(actions[:known])
        if len(state.holes) > 1:
            continue
        value, _, _ = labeller.completions(state, 399)
        assert value == by_hand(terms, state, task, 400) == 1
        astray = state.apply(next(each for each in reversed(state.legal()) if each != actions[known]))
        if len(astray.holes) == 1:
            assert labeller.completions(astray, 399)[0] == by_hand(terms, astray, task, 400)


def test_a_budget_too_small_for_the_solution_says_no(terms, label):
    task = problem("sort (take n (reverse xs))", Type.LIST)
    state = start(task, FULL)
    assert label(task, budget=50).completions(state, 49)[0] == 0
    sorting = state.apply(derivation(parse_expression("sort xs", ["xs"]), task, FULL)[0])
    assert label(task, budget=1000).completions(sorting, 999)[0] == 1


def test_completions_are_tried_by_rising_size_and_the_drawn_one_is_the_one_of_that_number(terms, label):
    task = problem("append xs (reverse xs)", Type.LIST)
    state = start(task, FULL).follow(derivation(parse_expression("append xs xs", ["xs"]), task, FULL)[:1])
    labeller = label(task, budget=1000)
    sizes, seen = [], set()
    for draw in range(0, 200, 7):
        _, actions, _ = labeller.completions(state, draw)
        assert state.follow(actions[1:]).complete
        sizes.append(len(actions))
        seen.add(actions)
    assert sizes == sorted(sizes)
    assert len(seen) == len(sizes)


def test_nothing_to_fill_a_place_with_is_told_by_no_actions_and_no_program_without_nodes_runs(label):
    task = problem("sort xs", Type.LIST)
    labeller = label(task)
    scan = derivation(parse_expression(r"scan (\x y -> if (x < y) x y) xs", ["xs"]), task, FULL)
    state = start(task, FULL).follow(scan[:2])
    none = labeller.fillers.classes.copy()
    none[state.hole.nonterminal] = 0
    empty = Labeller(labeller.acts, labeller.fillers._replace(classes=none), labeller.cases, labeller.room)
    assert empty.completions(state, 5) == (0, (), 0)
    with pytest.raises(UsageError, match="has from 1 to 64 nodes, not 0"):
        empty.run(())
