"""A checker's pairs: what it prefers is better by another judge, and the same seed makes the same pairs."""

from __future__ import annotations

import pytest

from clew.core.errors import EvidenceError, UsageError
from clew.programs.interpret import compile_program
from clew.programs.parse import parse_expression
from clew.programs.syntax import size
from clew.traces.evalset import Question
from clew.traces.generators.table import find_generator
from clew.traces.judges import answer_of
from clew.traces.preferences.checker import Asked, judge_of, make_pairs, make_questions, pairs_of_answers
from clew.traces.preferences.feedback import pairs_of_ratings
from clew.traces.preferences.programs import judge_program, score, task_of
from clew.traces.ratings import Choice, Scored, StoredRating
from clew.traces.schema import InvalidError

TASK = "task t (xs: list) -> list\nexample [3, 1] -> [1, 3]\nexample [2, 2, 1] -> [1, 2, 2]"


@pytest.mark.parametrize("name", ["arithmetic", "rewriting"])
def test_of_a_generators_pairs_one_is_right_and_the_other_is_not(name):
    source = find_generator(name)
    pairs = make_pairs(name, 20, 3)
    assert pairs == make_pairs(name, 20, 3)
    assert pairs != make_pairs(name, 20, 4)
    judge = judge_of(name)
    for pair in pairs:
        question = Question(id="q", prompt=pair.prompt, expected_answer="known", section=name)
        assert judge.judge(question, pair.chosen) == 1.0
        assert judge.judge(question, pair.rejected) == 0.0
        assert source.check_answer(pair.prompt, answer_of(pair.chosen))


def test_of_two_programs_the_preferred_one_is_right_shorter_or_faster():
    pairs = make_pairs("programs", 60, 1)
    assert pairs == make_pairs("programs", 60, 1)
    assert len({pair.prompt for pair in pairs}) == 60
    seen = set()
    for pair in pairs:
        task = task_of(pair.prompt)
        ran = []
        for text in (pair.chosen, pair.rejected):
            expr = parse_expression(text, ("xs",))
            program = compile_program(expr, task.inputs)
            outcomes = [program.run(example.arguments) for example in task.examples]
            right = all(each.value == example.result for each, example in zip(outcomes, task.examples, strict=True))
            ran.append((right, size(expr), sum(each.steps for each in outcomes)))
        (right, length, steps), (other_right, other_length, other_steps) = ran
        reason = pair.metadata["preferred"]
        seen.add(reason)
        assert right
        assert other_right == (reason != "correct")
        if reason == "shorter":
            assert length < other_length
        if reason == "faster":
            assert length == other_length
            assert steps < other_steps
    assert seen == {"correct", "shorter", "faster"}


@pytest.mark.parametrize(
    "text", ["sort", "sort ys", "length xs", "take 9", "", "sort xs)", "at 9 xs", "unique (sort xs)"]
)
def test_what_is_no_program_for_the_task_is_wrong_and_no_error(text):
    assert not judge_program(task_of(TASK), text).correct
    assert score(Question(id="q", prompt=TASK, expected_answer="?"), text) == 0.0


def test_a_shorter_program_has_a_higher_score_and_then_a_faster_one():
    question = Question(id="q", prompt=TASK, expected_answer="?")
    shortest, longer = score(question, "sort xs"), score(question, "sort (reverse xs)")
    assert 1 >= shortest > longer > 0.5
    task = "task t (xs: list) -> list\nexample [3, 1] -> [3]\nexample [2, 2, 1] -> [2, 2]"
    asked = Question(id="q", prompt=task, expected_answer="?")
    slow, fast = "reverse (drop 1 (reverse xs))", "take (length xs - 1) xs"
    verdicts = [judge_program(task_of(task), each) for each in (slow, fast)]
    assert [each.correct for each in verdicts] == [True, True]
    assert (verdicts[0].size, verdicts[1].size) == (5, 6)
    assert score(asked, slow) > score(asked, fast), "size comes before steps"
    with pytest.raises(InvalidError, match="no task for a program"):
        task_of("What is 1 + 1?")


def test_answers_that_are_worth_the_same_make_no_pair():
    (question,) = make_questions("arithmetic", 1, 0, "1-digit")
    judge = judge_of("arithmetic")
    (pair,) = make_pairs("arithmetic", 1, 0, "1-digit")
    question = question.model_copy(update={"prompt": pair.prompt})
    right, wrong = pair.chosen, pair.rejected
    assert pairs_of_answers([Asked(question, [right, right]), Asked(question, [wrong, "x"])], judge, 0) == []
    made = pairs_of_answers([Asked(question, [wrong, right, "x", ""])], judge, 0, most=5)
    assert {(each.chosen, each.rejected) for each in made} == {(right, wrong), (right, "x")}


def test_what_cannot_be_made_is_told():
    with pytest.raises(UsageError, match="Did you mean 'programs'"):
        make_pairs("program", 1, 0)
    with pytest.raises(UsageError, match="has no levels"):
        make_pairs("programs", 1, 0, "1-digit")
    with pytest.raises(EvidenceError, match="different prompts were asked for"):
        make_pairs("arithmetic", 10_000, 0, "1-digit")


def rating(**values):
    made = Scored(prompt="p", **values) if "score" in values else Choice(prompt="p", **values)
    return StoredRating("id", "now", made)


def test_more_raters_decide_a_draw_makes_no_pair_and_a_comparison_goes_before_scores():
    asked = {"first": "a", "second": "b"}
    votes = [rating(**asked, preferred="first", rater=name) for name in ("x", "y")]
    against = rating(first="b", second="a", preferred="first", rater="z")
    (pair,) = pairs_of_ratings([*votes, against])
    assert (pair.chosen, pair.rejected, pair.metadata) == ("a", "b", {"votes": 1})
    assert pairs_of_ratings([votes[0], against]) == []
    assert pairs_of_ratings([rating(**asked, preferred="equal")]) == []
    scores = [rating(answer=answer, score=score) for answer, score in (("a", 1), ("b", 5), ("c", 3))]
    made = [(each.chosen, each.rejected) for each in pairs_of_ratings([*votes, *scores])]
    assert made == [("a", "b"), ("b", "c"), ("c", "a")]
    assert len(pairs_of_ratings([*votes, *scores], most=1)) == 1
