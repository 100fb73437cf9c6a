"""What is checked of a program that was found, and what is said of one that fails."""

from __future__ import annotations

from clew.programs.contracts import required
from clew.programs.parse import parse_expression
from clew.programs.search.checks import check_program, inputs_for
from clew.programs.task import Task, parse_task

TASK = """task top (k: int, xs: list) -> list
requires  0 <= k && k <= length xs
ensures   length result == k
example   1, [3, 1] -> [3]
example   2, [5, 9] -> [9, 5]
reference take k (reverse (sort xs))
"""


def task_of(text: str) -> Task:
    """A task from its text."""
    return parse_task(text)


def test_a_right_program_passes_on_examples_and_on_inputs_that_the_task_allows() -> None:
    task = task_of(TASK)
    assert task.reference is not None
    checked = check_program(task, task.reference, generated=50)
    assert (checked.examples, checked.generated, checked.conditions, checked.agreed) == (2, 50, 1, 50)
    assert not checked.failures
    assert "the reference gives the same for 50 of the 50" in checked.sentence()
    assert all(not required(task, arguments) for arguments in inputs_for(task, 50))
    assert inputs_for(task, 50) == inputs_for(task, 50)
    assert inputs_for(task, 50) != inputs_for(task, 50, seed=1)


def test_a_program_that_fits_the_examples_and_not_the_contract_is_told_with_the_input() -> None:
    task = task_of(TASK)
    lucky = parse_expression("reverse (sort (take (k * k) (reverse (sort xs))))", ["k", "xs"])
    checked = check_program(task, lucky, generated=200)
    assert checked.failures
    assert "length result == k" in checked.failures[0]
    assert checked.agreed is not None
    assert checked.agreed < 200
    assert "more)" in checked.sentence()


def test_a_program_that_does_not_fit_an_example_is_a_failure() -> None:
    task = task_of(TASK)
    checked = check_program(task, parse_expression("xs", ["k", "xs"]), generated=0)
    assert "the example 1, [3, 1] -> [3] gives another result" in checked.failures[0]
    assert checked.generated == 0


def test_errors_count_where_the_task_says_what_it_requires() -> None:
    text = "task biggest (xs: list) -> int\n{}example [3, 1] -> 3\nexample [4] -> 4\n"
    program = parse_expression("maximum xs", ["xs"])
    silent = check_program(task_of(text.format("")), program)
    assert silent.errs
    assert not silent.failures
    assert "errors on" in silent.sentence()
    said = check_program(task_of(text.format("requires 0 < length xs\n")), program)
    assert not said.errs
    assert not said.failures
    wrong = check_program(task_of(text.format("requires 0 <= length xs\n")), program)
    assert wrong.failures


def test_requirements_that_nothing_meets_end_the_generating() -> None:
    task = task_of("task none (xs: list) -> list\nrequires length xs < 0\nexample [1] -> [1]\n")
    assert inputs_for(task, 5) == []
