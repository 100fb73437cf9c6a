"""States of the program search: derivations there and back, what is legal, what a hole knows of its place."""

from __future__ import annotations

import pytest

from clew.core.errors import UsageError
from clew.programs.grammar import FULL, NONTERMINALS, SMALL, Grammar
from clew.programs.parse import parse_expression
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.search.problem import Problem
from clew.programs.states import State, derivation, expression, start
from clew.programs.syntax import size
from clew.programs.task import shipped_tasks

LIST_AND_NUMBER = Problem("two", (("xs", Type.LIST), ("n", Type.INT)), Type.LIST, (((1, 2), 1),), ((2, 4),))


def action(name: str, grammar: Grammar = FULL) -> int:
    return [str(each) for each in grammar.productions].index(name)


def derived(text: str) -> list[int]:
    return derivation(parse_expression(text, ["xs", "n"]), LIST_AND_NUMBER, FULL)


def test_the_actions_of_a_program_are_its_nodes_in_reading_order():
    names = [str(FULL.productions[each]) for each in derived(r"map (\x -> x * 2) (filter (\y -> 0 < y) xs)")]
    assert names == ["map", "mul", "x", "2", "filter", "lt", "0", "x", "input0"]


def test_every_reference_that_ships_comes_back_from_its_derivation_or_is_said_to_be_outside():
    inside, outside = 0, []
    for task in shipped_tasks():
        assert task.reference is not None
        try:
            actions = derivation(task.reference, task, FULL)
        except UsageError as error:
            outside.append(str(error))
            continue
        inside += 1
        assert len(actions) == size(task.reference)
        back = expression(actions, task, FULL)
        assert derivation(back, task, FULL) == actions
        assert expression(derivation(back, task, FULL), task, FULL) == back
    assert inside > 30
    assert all("the interpreter runs it, no search finds it" in each for each in outside)


def test_walking_a_derivation_opens_and_fills_one_place_after_another():
    actions = derived(r"map (\x -> x + n) (take n xs)")
    state = start(LIST_AND_NUMBER, FULL)
    shown = []
    for each in actions:
        assert each in state.legal()
        shown.append(pretty(state.expression(["xs", "n"])))
        state = state.apply(each)
    assert shown == [
        "?",
        r"map (\x -> ?) ?",
        r"map (\x -> ? + ?) ?",
        r"map (\x -> x + ?) ?",
        r"map (\x -> x + n) ?",
        r"map (\x -> x + n) (take ? ?)",
        r"map (\x -> x + n) (take n ?)",
    ]
    assert state.complete
    assert state.legal() == ()


def test_a_hole_knows_parent_grandparent_argument_and_what_stands_left_of_it():
    state = start(LIST_AND_NUMBER, FULL).follow(derived(r"map (\x -> x + n) (take n xs)")[:3])
    hole = state.hole
    assert (hole.parent, hole.argument, hole.grandparent, hole.left) == (action("add"), 1, action("map"), action("x"))
    assert NONTERMINALS[hole.nonterminal] == (Type.INT, 1)
    state = state.apply(action("input1"))
    hole = state.hole
    assert (hole.parent, hole.argument, hole.grandparent, hole.left) == (action("map"), 1, -1, action("add"))


def test_the_context_of_every_hole_is_the_one_that_the_grammar_lists():
    for task in shipped_tasks():
        try:
            actions = derivation(task.reference, task, FULL)
        except UsageError:
            continue
        state = start(task, FULL)
        for each in actions:
            hole, context = state.hole, FULL.contexts[state.hole.context]
            assert (context.parent, context.argument, context.nonterminal) == hole[1:3] + hole[:1]
            state = state.apply(each)


def test_what_the_grammar_forbids_is_a_sentence_and_changes_nothing():
    state = start(LIST_AND_NUMBER, FULL)
    with pytest.raises(UsageError, match="may not fill the leftmost hole"):
        state.apply(action("sum"))
    assert state.actions == ()
    with pytest.raises(UsageError, match="1 open places are left after 1 actions"):
        expression([action("sort")], LIST_AND_NUMBER, FULL)
    with pytest.raises(UsageError, match="no program with 7"):
        derived("take 7 xs")
    with pytest.raises(UsageError, match="is complete"):
        _ = start(LIST_AND_NUMBER, FULL).apply(action("input0")).hole


def test_the_small_grammar_has_states_of_its_own():
    problem = Problem("one", (("xs", Type.LIST),), Type.LIST, (((1,),),), ((1,),))
    state = start(problem, SMALL)
    assert {str(SMALL.productions[each]) for each in state.legal()} == {
        "sort", "reverse", "take", "drop", "append", "input0",
    }  # fmt: skip
    assert isinstance(state.apply(action("take", SMALL)).apply(action("2", SMALL)), State)
