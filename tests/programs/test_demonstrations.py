"""Demonstrations: what is drawn, how it is labelled, the file, and what is held out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clew.core.errors import EvidenceError, UsageError
from clew.programs.behaviour import behaviour, computes, shipped
from clew.programs.contracts import contradictions
from clew.programs.demonstrating import demonstrate, draw_tasks
from clew.programs.demonstrations import fingerprint, line_of, read, write
from clew.programs.grammar import FULL, SMALL
from clew.programs.held_out import excluded, held_out
from clew.programs.interpret import compile_program, run_on
from clew.programs.parse import parse_expression
from clew.programs.primitives import Type
from clew.programs.search.enumeration import enumerate_programs
from clew.programs.states import start
from clew.programs.syntax import size
from clew.programs.task import shipped_tasks

XS, N = ("xs", Type.LIST), ("n", Type.INT)


@pytest.fixture(scope="module")
def made():
    return demonstrate(60, 3, FULL)


def does(text, *inputs):
    return behaviour(parse_expression(text, [name for name, _ in inputs]), inputs)


def test_what_a_program_computes_is_one_hash_however_it_is_written():
    assert does("sum (sort xs)", XS) == does("sum xs", XS)
    assert does("take 2 (take 3 xs)", XS) == does("take 2 xs", XS)
    assert does("head xs", XS) != does("last xs", XS)
    # Neither the names nor the order of the inputs count, which input is which does.
    assert does("take n xs", XS, N) == does("take k a", ("k", Type.INT), ("a", Type.LIST))
    assert does("append xs ys", XS, ("ys", Type.LIST)) == does("append ys xs", XS, ("ys", Type.LIST))
    # A program that fails is not one that gives 0.
    assert does("head xs", XS) != does("if (is_empty xs) 0 (head xs)", XS)


def test_no_two_demonstrations_compute_the_same_and_none_what_ships(made):
    kinds = [behaviour(each.task.reference, each.task.inputs) for each in made.items]
    assert len(set(kinds)) == len(kinds) == 60
    assert not set(kinds) & shipped()
    assert len(shipped()) > 50


def test_examples_and_contracts_are_those_of_the_program(made):
    for each in made.items:
        assert contradictions(each.task) == []
        values, _ = run_on(
            compile_program(each.task.reference, each.task.inputs),
            [example.arguments for example in each.task.examples],
        )
        assert values == [example.result for example in each.task.examples]
        assert len(each.actions) == size(each.task.reference)
    assert sum(bool(each.task.ensures) for each in made.items) > 30


def test_every_input_matters_and_results_differ(made):
    for each in made.items:
        results = [example.result for example in each.task.examples]
        assert len(set(results)) > 1
        places = {str(FULL.productions[action]) for action in each.actions}
        assert {f"input{place}" for place in range(len(each.task.inputs))} <= places


def test_no_shorter_program_fits_the_examples(made):
    """Against the search itself: the first program that it finds, by rising size, is as long as the demonstration."""
    checked = 0
    for each in made.items:
        if len(each.actions) <= 5:
            found = enumerate_programs(each.problem)
            assert found.program is not None
            assert size(found.program) == len(each.actions)
            checked += 1
    assert checked > 10


def test_states_on_the_way_have_the_next_action_and_those_off_it_none(made):
    for each in made.items:
        on = [seen for seen in each.states if seen.action >= 0]
        assert [seen.path for seen in on] == [each.actions[:known] for known in range(len(each.actions))]
        assert [seen.action for seen in on] == list(each.actions)
        for seen in each.states:
            state = start(each.problem, FULL).follow(seen.path)
            assert not state.complete
            if seen.action < 0:
                assert seen.path != each.actions[: len(seen.path)]
            assert seen.guard == 1 or seen.steps is not None
        assert on[-1].value == 1


def test_the_four_labels_are_four(made):
    states = [seen for each in made.items for seen in each.states]
    values, guards = (np.array([getattr(seen, name) for seen in states]) for name in ("value", "guard"))
    assert 0.2 < values.mean() < 0.8
    assert 0.05 < guards.mean() < 0.6
    assert 0.1 < (values != guards).mean() < 0.99
    assert len({seen.steps for seen in states}) > 20


def test_demonstrations_are_a_function_of_the_seed():
    one, again, other = demonstrate(5, 8, SMALL), demonstrate(5, 8, SMALL), demonstrate(5, 9, SMALL)
    assert fingerprint(one) == fingerprint(again) != fingerprint(other)


def test_a_file_comes_back_as_it_was(made, tmp_path):
    path = tmp_path / "demonstrations.jsonl"
    write(path, made)
    back = read(path)
    assert back == made
    assert fingerprint(back) == fingerprint(made)
    write(path, back)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row, "output": "tree"}, "'output' is one of int, bool, list"),
        (lambda row: {**row, "program": "sum (xs"}, "the program:1:"),
        (lambda row: {**row, "program": "map xs"}, "2: the program:1:"),
        (lambda row: {**row, "examples": [[[3], [1]]]}, "an example has 3 where a value of type list is due"),
        (lambda row: {**row, "states": [[[0], 1, 2, 0, 5]]}, "a state is [path, action, value 0 or 1"),
        (lambda row: {**row, "states": 7}, "a state is [path, action, value 0 or 1"),
        (lambda row: {**row, "requires": "xs"}, "'requires' is no list of texts"),
        (lambda row: {key: row[key] for key in row if key != "examples"}, "the key 'examples' is missing"),
    ],
)
def test_a_wrong_line_is_named_with_its_file_and_number(change, said, tmp_path):
    path = tmp_path / "demonstrations.jsonl"
    write(path, demonstrate(1, 4, SMALL))
    head, row = path.read_text().splitlines()
    path.write_text("\n".join([head, json.dumps(change(json.loads(row)))]))
    with pytest.raises(EvidenceError, match=r"demonstrations\.jsonl:2: ") as told:
        read(path)
    assert said in str(told.value)


def test_what_is_no_file_of_demonstrations_is_said_to_be_none(tmp_path):
    path = tmp_path / "file.jsonl"
    for content, said in (
        ("", "is empty"),
        ("{}\n", "no file of demonstrations"),
        ("\x00\xff", "not valid JSON"),
        ('{"format": "clew demonstrations", "version": 9}', "is of version 9"),
        ('{"format": "clew demonstrations", "version": 1, "grammar": "huge"}', "there are full, small"),
        ('{"format": "clew demonstrations", "version": 1, "grammar": "full", "actions": []}', "with other actions"),
    ):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(EvidenceError, match=r"file\.jsonl") as told:
            read(path)
        assert said in str(told.value)
    write(path.with_name("cut.jsonl"), demonstrate(2, 4, SMALL))
    whole = path.with_name("cut.jsonl").read_bytes()
    path.write_bytes(whole[: len(whole) - 30])
    with pytest.raises(EvidenceError, match=r"file\.jsonl:3: the line is not valid JSON"):
        read(path)


def test_a_foreign_file_is_not_replaced(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="is not replaced"):
        write(path, demonstrate(1, 4, SMALL))
    assert path.read_text() == "mine\n"


def test_held_out_tasks_are_left_out_by_what_they_compute(tmp_path):
    tasks = held_out(12, 5, SMALL)
    path = tmp_path / "held_out.jsonl"
    write(path, tasks)
    assert read(path).states == 0
    leftout = excluded([path])
    trained = demonstrate(20, 5, SMALL, exclude=leftout)
    assert computes(each.task for each in tasks.items) <= leftout
    assert not computes(each.task for each in trained.items) & leftout
    assert not computes(each.task for each in held_out(12, 5, SMALL, exclude=leftout).items) & leftout


def test_longer_tasks_are_longer_than_any_demonstration_and_nothing_short_fits_them():
    tasks = held_out(3, 6, FULL, longer=True)
    assert all(10 <= len(each.actions) <= 12 for each in tasks.items)
    for each in tasks.items:
        found = enumerate_programs(each.problem)
        assert found.program is None or size(found.program) > 6


def test_shipped_tasks_compute_what_their_references_do():
    task = next(each for each in shipped_tasks() if each.name == "sum_of_smallest")
    assert behaviour(task.reference, task.inputs) in shipped()
    assert does("sum (take n (sort xs))", XS, N) in shipped()


def test_more_tasks_than_there_are_is_a_sentence(monkeypatch):
    monkeypatch.setattr("clew.programs.demonstrating._IDLE_POOLS", 2)
    with pytest.raises(UsageError, match="no 5,000 different tasks"):
        list(draw_tasks(5000, 1, SMALL, sizes={2: 1.0}, per_pool=30))


def test_lines_are_compact(made):
    assert max(len(line_of(each)) for each in made.items) < 6000
