"""Judges: what each takes for right, and that nothing but what is said ever scores."""

from __future__ import annotations

import importlib.metadata
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import ClewError, UsageError
from clew.traces.evalset import Question
from clew.traces.generators import find_generator
from clew.traces.judges import JUDGES, answer_of, choice_in, find_judge, number_in, steps_of
from clew.traces.schema import InvalidError


def question(expected, prompt="?", section=None):
    return Question(id="q", prompt=prompt, expected_answer=expected, section=section)


def judged(name, expected, text):
    return find_judge(name).judge(question(expected), text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Reasoning:\n1. a\nAnswer: 432", "432"),
        ("Answer: 1\nno, wait\nAnswer:  2 \nand so on", "2"),
        ("Answer:", ""),
        ("The Answer: 3", None),
        ("432", None),
        ("Answer: x\r\n", "x"),
    ],
)
def test_the_last_line_that_begins_with_answer_counts(text, answer):
    assert answer_of(text) == answer


def test_an_answer_of_several_lines_is_read_as_long_as_the_expected_one():
    assert judged("answer", "a\nb", "Answer: a\nb") == 1
    assert judged("answer", "a\nb", "Answer: a\nc") == 0
    assert judged("answer", "a", "Answer: a\nb") == 1


def test_exact_is_the_whole_text():
    assert judged("exact", "432", " 432\n") == 1
    assert judged("exact", "432", "Answer: 432") == 0
    assert judged("answer", "432", "Answer: 432") == 1
    assert judged("answer", "432", "432") == 0


@pytest.mark.parametrize(
    ("expected", "said", "right"),
    [
        ("1234.5", "$1,234.50", True),
        ("-3", "−3 apples", True),
        ("1e3", "1000", True),
        (".5", "0.50", True),
        ("3", "3.", True),
        ("3", "3 or 4", False),
        ("3", "three", False),
        ("3", "", False),
        ("3", "3.0001", False),
        ("3", "nan", False),
        ("1", "1e999", False),
    ],
)
def test_numbers_are_compared_by_their_value(expected, said, right):
    assert judged("numeric", expected, f"Answer: {said}") == float(right)


def test_a_tolerance_is_part_of_the_name():
    assert judged("numeric:0.01", "3", "Answer: 3.01") == 1
    assert judged("numeric:0.01", "3", "Answer: 3.011") == 0
    for wrong in ("numeric:", "numeric:x", "numeric:-1", "numeric:nan"):
        with pytest.raises(UsageError, match="The tolerance"):
            find_judge(wrong)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3))
def test_every_decimal_is_read_back(number):
    assert number_in(f"it is {number}") == number
    assert number_in(f"{number:,}") == number


@pytest.mark.parametrize("said", ["B", "b", "(B)", "B.", "B) Paris", "**B**", "option B", "Answer B: Paris", "[b]"])
def test_a_choice_is_read_from_however_it_is_written(said):
    assert choice_in(said) == "B"


@pytest.mark.parametrize("said", ["", "Paris", "A dog barks", "B or C", "12", "because"])
def test_what_names_no_choice_chooses_nothing(said):
    assert choice_in(said) is None


def test_a_choice_is_judged():
    assert judged("choice", "B", "Answer: (b) Paris") == 1
    assert judged("choice", "B", "Answer: C") == 0
    with pytest.raises(InvalidError, match="no letter of a choice"):
        judged("choice", "Paris", "Answer: B")


def test_the_expected_answer_must_fit_the_judge():
    with pytest.raises(InvalidError, match="no single number"):
        judged("numeric", "many", "Answer: 3")
    blank = Question.model_construct(id="q", prompt="?", expected_answer=" ", section=None)
    for judge in JUDGES.values():
        with pytest.raises(InvalidError, match="has no expected answer"):
            judge.judge(blank, "Answer: 3")


def told(prompt, steps, answer):
    numbered = "".join(f"{number}. {step}\n" for number, step in enumerate(steps, start=1))
    return f"Reasoning:\n{numbered}Answer: {answer}"


def test_the_checker_takes_every_right_move_and_the_steps_must_be_right_too():
    game = find_generator("tictactoe")
    prompt = "Tic-tac-toe, X to move. Which cell?\nX12\nO45\nX7O"
    solution = game.solve(prompt)
    asked = question(solution.answer, prompt, "tictactoe")
    steps = [text for _, text in solution.steps]
    assert steps_of(told(prompt, steps, "2")) == steps
    for judge, text, score in (
        ("checker", told(prompt, steps, "2"), 1),
        ("checker", "Answer: 2", 1),
        ("checker", "Answer: 1", 0),
        ("checker", "2", 0),
        ("steps", told(prompt, steps, "2"), 1),
        ("steps", "Answer: 2", 0),
        ("steps", told(prompt, [*steps[:2], "1 wins", *steps[3:]], "2"), 0),
        ("steps", told(prompt, steps, "1"), 0),
    ):
        assert find_judge(judge).judge(asked, text) == score, (judge, text)
    several = question("1", "Simplify in a monoid: a * b * 1 * c", "rewriting")
    assert find_judge("answer").judge(several, "Answer: (a * (b * c))") == 0
    assert find_judge("checker").judge(several, "Answer: (a * (b * c))") == 1


def test_steps_that_do_not_count_are_no_steps():
    assert steps_of("Reasoning:\n1. a\n3. b\nAnswer: 1") == []
    assert steps_of("1. a\nAnswer: 1") == []
    assert steps_of("Reasoning:\nno number\nAnswer: 1") == []
    assert steps_of("Reasoning:\n1. a\nmore of a\n2. b\nAnswer: 1") == ["a\nmore of a", "b"]


@pytest.mark.parametrize("name", ["checker", "steps"])
def test_a_question_of_no_generator_cannot_be_checked(name):
    with pytest.raises(InvalidError, match="none of the generators"):
        find_judge(name).judge(question("1", section="poetry"), "Answer: 1")


@given(st.text(max_size=60), st.sampled_from(["exact", "answer", "numeric", "choice", "checker", "steps"]))
def test_whatever_is_written_scores_zero_unless_it_says_the_answer(text, name):
    expected = {"choice": "B", "numeric": "77771"}.get(name, "77771")
    asked = question(expected, "What is 77770 + 1?", "arithmetic")
    if expected not in text.upper():
        assert find_judge(name).judge(asked, text) == 0


def length_judge(question, text):
    """One for a word."""
    return float(len(text) == 4)


def hash_judge(question, text):
    return int(sha256(text.encode()).hexdigest(), 16)


def broken_judge(question, text):
    raise KeyError("x")


not_callable = 3


def test_a_judge_of_ones_own_is_named_by_module_and_attribute():
    own = find_judge("test_judges:length_judge")
    assert own.about == "One for a word."
    assert own.judge(question("x"), "four") == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("test_judges:nothing", "cannot be loaded: AttributeError"),
        ("no_such_module:judge", "cannot be loaded: ModuleNotFoundError"),
        ("test_judges:not_callable", "is no function"),
        ("exakt", r"There is no judge 'exakt'. Did you mean 'exact'\?"),
    ],
)
def test_a_judge_that_cannot_be_had_is_a_sentence(name, says):
    with pytest.raises(UsageError, match=says):
        find_judge(name)


def test_a_judge_that_fails_or_scores_beyond_its_range_is_a_sentence():
    with pytest.raises(ClewError, match="failed on the question 'q': KeyError"):
        find_judge("test_judges:broken_judge").judge(question("x"), "y")
    with pytest.raises(ClewError, match="not from 0 to 1"):
        find_judge("test_judges:hash_judge").judge(question("x"), "y")


def test_an_installed_package_brings_judges_by_entry_point(monkeypatch):
    point = importlib.metadata.EntryPoint("words", "test_judges:length_judge", "clew.judges")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == "clew.judges" else [])
    assert find_judge("words").judge(question("x"), "four") == 1
    with pytest.raises(UsageError, match=r"Known: .*words"):
        find_judge("other")
