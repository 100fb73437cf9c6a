"""Arithmetic: answers against Python's own, and each way of being wrong is found."""

from __future__ import annotations

import re

import pytest

from clew.traces.generators.arithmetic import ARITHMETIC
from clew.traces.schema import InvalidError


def contents(prompt):
    return [text for _, text in ARITHMETIC.solve(prompt).steps]


def test_answers_are_those_of_python():
    for level in (*ARITHMETIC.levels, ARITHMETIC.frontier, ARITHMETIC.harder):
        for trace in ARITHMETIC.traces(13, 0, level, "evaluation"):
            first, *rest = re.findall(r"[+-]? ?\d+", trace.prompt)
            total = int(first)
            for each in rest:
                total += int(each.replace(" ", ""))
                assert total >= 0
            assert int(trace.final_answer) == total


def test_a_sum_carries():
    assert contents("What is 47 + 385?") == ["47+385: 7+5=12 so 2", "4+38+1: 4+8+1=13 so 32", "0+3+1: 0+3+1=4 so 432"]


def test_a_difference_borrows_and_the_answer_has_no_leading_zeros():
    solution = ARITHMETIC.solve("What is 105 - 98?")
    assert contents("What is 105 - 98?") == [
        "105-98: 15-8=7 so 7",
        "10-9-1: 10-9-1=0 so 07",
        "1-0-1: 1-0-1=0 so 007",
    ]
    assert solution.answer == "7"


@pytest.mark.parametrize(
    ("prompt", "at", "wrong", "says"),
    [
        ("What is 47 + 385?", 0, "47+385: 7+5=13 so 3", "the sum 13 is wrong"),
        ("What is 47 + 385?", 0, "47+385: 7+5=12 so 3", "3 is written"),
        ("What is 47 + 385?", 0, "47+385: 4+3=7 so 7", "are not the digits"),
        ("What is 47 + 385?", 0, "47-385: 7-5=2 so 2", "is taken where 47.385 is left"),
        ("What is 47 + 385?", 1, "4+38: 4+8=12 so 22", "a carry is due"),
        ("What is 47 + 385?", 1, "4+39+1: 4+9+1=14 so 42", "is taken where 4.38 is left"),
        ("What is 47 + 385?", 1, "4+38+1: 4+8+1=13 so 33", "33 is written"),
        ("What is 105 - 98?", 0, "105-98: 5-8=3 so 3", "are not the digits"),
        ("What is 105 - 98?", 1, "10-9: 0-9=9 so 97", "a borrow is due"),
        ("What is 12 + 3?", 1, "1+0+1: 1+0+1=2 so 25", "no carry is due"),
    ],
)
def test_what_is_wrong_with_a_step_is_said(prompt, at, wrong, says):
    steps = contents(prompt)
    steps[at] = wrong
    faults = ARITHMETIC.check_steps(prompt, steps, ARITHMETIC.solve(prompt).answer)
    assert any(re.search(says, fault) for fault in faults), faults
    assert faults[0].startswith(f"Step {at + 1}")


def test_the_answer_must_follow_from_the_steps():
    steps = contents("What is 47 + 385?")
    assert ARITHMETIC.check_steps("What is 47 + 385?", steps, "433") == [
        "The answer is '433' and the steps come to 432."
    ]


def test_any_digit_changed_in_any_step_is_found():
    for prompt in ("What is 47 + 385?", "What is 902 - 78?", "What is 999 + 1?", "What is 18 + 91 - 77?"):
        steps, answer = contents(prompt), ARITHMETIC.solve(prompt).answer
        for at, step in enumerate(steps):
            for place, sign in enumerate(step):
                if sign.isdigit():
                    other = step[:place] + str((int(sign) + 1) % 10) + step[place + 1 :]
                    assert ARITHMETIC.check_steps(prompt, [*steps[:at], other, *steps[at + 1 :]], answer)


def test_both_orders_of_a_sum_are_in_one_split():
    assert ARITHMETIC.key("What is 12 + 345?") == ARITHMETIC.key("What is 345 + 12?")
    assert ARITHMETIC.key("What is 345 - 12?") != ARITHMETIC.key("What is 345 + 12?")


@pytest.mark.parametrize("prompt", ["What is 3 - 5?", "What is 03 + 5?", "What is 3 * 5?", "What is 1 - 2 + 3?"])
def test_what_it_does_not_ask_is_refused(prompt):
    with pytest.raises(InvalidError, match="is no question of arithmetic"):
        ARITHMETIC.solve(prompt)


def test_a_level_is_how_many_numbers_of_how_many_digits():
    for level, shapes in (
        ("1-digit", {(1, 1)}),
        ("2-digit", {(1, 2), (2, 2)}),
        ("3-digit", {(1, 3), (2, 3), (3, 3)}),
        ("3-numbers", {(1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2), (1, 1, 3), (1, 2, 3), (2, 2, 3)}),
        ("between", {(1, 3, 3), (2, 3, 3)}),
        ("harder", {(3, 3, 3)}),
    ):
        questions = ARITHMETIC.questions(13 if level == "1-digit" else 150, 0, level)
        assert {tuple(sorted(map(len, re.findall(r"\d+", each.prompt)))) for each in questions} == shapes
    categories = {question.category for question in ARITHMETIC.questions(50, 0)}
    assert categories == {"addition", "subtraction", "mixed"}


def test_one_problem_is_asked_in_one_way_and_all_ways_come_up():
    prompts = [question.prompt for question in ARITHMETIC.questions(100, 0, "harder")]
    assert {re.sub(r"\d+( [+-] \d+)+", "...", prompt) for prompt in prompts} == {
        "What is ...?",
        "Compute ....",
        "How much is ...?",
        "Please work out ....",
        "Tell me what ... comes to.",
    }
    assert ARITHMETIC.key("Compute 12 + 345.") == ARITHMETIC.key("What is 345 + 12?")


def test_three_numbers_go_on_with_the_total_of_two():
    prompt = "What is 18 + 91 - 77?"
    assert contents(prompt) == [
        "18+91: 8+1=9 so 9",
        "1+9: 1+9=10 so 109",
        "109-77: 9-7=2 so 2",
        "10-7: 10-7=3 so 32",
        "1-0-1: 1-0-1=0 so 032",
    ]
    assert ARITHMETIC.solve(prompt).answer == "32"
    assert ARITHMETIC.key(prompt) == ARITHMETIC.key("What is 91 - 77 + 18?")
    skipped = ["18+91: 8+1=9 so 9", "1+9: 1+9=10 so 109"]
    assert ARITHMETIC.check_steps(prompt, skipped, "109") == [
        "The steps end before all digits are done: 109-77 is left."
    ]


def test_there_are_as_many_prompts_as_counted_one_by_one():
    for level, low, high in (("1-digit", 0, 10), ("2-digit", 10, 100)):
        listed = ARITHMETIC.every(level)
        counted = sum(1 for a in range(high) for b in range(high) if max(a, b) >= low)
        counted += sum(1 for a in range(low, high) for b in range(high) if b <= a)
        assert len(set(listed)) == len(listed) == counted == ARITHMETIC.most(level)


def test_a_conversation_is_short_enough_for_a_small_context():
    for level, most in ((None, 240), ("between", 245), ("harder", 256)):
        for trace in ARITHMETIC.traces(200, 0, level, "evaluation"):
            steps = "".join(f"{number}. {step.content}\n" for number, step in enumerate(trace.steps, start=1))
            text = f"user\n{trace.prompt}\nmodel\nReasoning:\n{steps}Answer: {trace.final_answer}"
            assert len(text) + 4 <= most  # and four marks of turns
