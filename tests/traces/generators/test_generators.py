"""What every generator with levels keeps to: splits that never meet, the same bytes for a seed, steps that check."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clew.core.errors import UsageError
from clew.traces.generators import GENERATORS, find_generator, split_of
from clew.traces.schema import InvalidError

PUZZLES = [name for name in GENERATORS if name != "high_card_duel"]


def as_json(traces):
    return "".join(json.dumps(trace.model_dump(mode="json"), sort_keys=True) for trace in traces)


@pytest.fixture(params=PUZZLES)
def generator(request):
    return find_generator(request.param)


def test_a_seed_gives_the_same_bytes_in_another_process_which_needs_no_torch():
    program = (
        "import sys, json\nfrom clew.traces.generators import find_generator\n"
        f"for name in {PUZZLES}:\n"
        "    for trace in find_generator(name).traces(12, 5):\n"
        "        sys.stdout.write(json.dumps(trace.model_dump(mode='json'), sort_keys=True))\n"
        "assert 'torch' not in sys.modules\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout == "".join(as_json(find_generator(name).traces(12, 5)) for name in PUZZLES)


def test_a_longer_sequence_begins_with_the_shorter_one(generator):
    assert as_json(generator.traces(10, 1)) == as_json(list(generator.traces(40, 1))[:10])


def test_seeds_differ(generator):
    assert as_json(generator.traces(10, 1)) != as_json(generator.traces(10, 2))


def test_no_prompt_comes_twice_and_answers_vary(generator):
    traces = list(generator.traces(80, 0))
    assert len({trace.prompt for trace in traces}) == 80
    assert len({trace.final_answer for trace in traces}) >= 5


def test_training_and_evaluation_never_share_what_says_the_same(generator):
    trained = {generator.key(trace.prompt) for seed in (0, 1) for trace in generator.traces(80, seed)}
    asked = {generator.key(question.prompt) for seed in (0, 7) for question in generator.questions(25, seed)}
    harder = {generator.key(question.prompt) for question in generator.questions(20, 0, "harder")}
    assert not trained & (asked | harder)
    assert {split_of(key) for key in trained} == {"train"}
    assert {split_of(key) for key in asked} == {"evaluation"}


def test_every_answer_and_every_step_checks(generator):
    for level in (*generator.levels, generator.harder):
        for trace in generator.traces(12, 3, level, "evaluation"):
            steps = [step.content for step in trace.steps]
            assert generator.check_answer(trace.prompt, trace.final_answer)
            assert generator.check_steps(trace.prompt, steps, trace.final_answer) == []
            assert trace.meta["difficulty"] == level


def test_a_step_left_out_or_said_twice_and_another_answer_are_faults(generator):
    for trace in generator.traces(25, 4):
        steps = [step.content for step in trace.steps]
        # Of a derivation the last step is needed; what remains without another may be a derivation still.
        for place in range(len(steps) - 1 if generator.name == "rewriting" else 0, len(steps)):
            left_out = steps[:place] + steps[place + 1 :]
            assert generator.check_steps(trace.prompt, left_out, trace.final_answer), (trace, place)
        assert generator.check_steps(trace.prompt, [*steps, steps[-1]], trace.final_answer)
        assert generator.check_steps(trace.prompt, steps, "nonsense")
        assert generator.check_steps(trace.prompt, ["It is plain to see."], trace.final_answer)
        assert generator.check_steps(trace.prompt, [], trace.final_answer)
        assert not generator.check_answer(trace.prompt, "nonsense")


def test_the_harder_level_is_never_trained_on(generator):
    with pytest.raises(UsageError, match="The level harder is held out"):
        generator.traces(1, 0, "harder")
    assert "harder" not in {trace.meta["difficulty"] for trace in generator.traces(40, 0)}


def test_a_question_keeps_its_id_whatever_seed_it_came_up_with(generator):
    by_prompt = {}
    for seed in range(3):
        for question in generator.questions(12, seed, generator.levels[-1]):
            assert by_prompt.setdefault(question.prompt, question) == question
            assert question.section == generator.name
            assert question.expected_answer == generator.solve(question.prompt).answer
    assert len({question.id for question in by_prompt.values()}) == len(by_prompt)


def test_wrong_arguments_are_told_before_anything_is_made(generator):
    with pytest.raises(UsageError, match=r"has no level 'hardr'. Did you mean 'harder'\?"):
        generator.traces(1, 0, "hardr")
    with pytest.raises(UsageError, match="There is no split 'test'"):
        generator.traces(1, 0, None, "test")
    with pytest.raises(UsageError, match="Ask for at least one"):
        generator.questions(0, 0)


def test_a_prompt_of_another_kind_is_refused(generator):
    for prompt in (
        "",
        "What is love?",
        "\n\n\n",
        "Simplify in a group: ((",
        "Tic-tac-toe, X to move. Which cell?\nXXX",
    ):
        with pytest.raises(InvalidError, match="is no question of"):
            generator.check_answer(prompt, "1")
        with pytest.raises(InvalidError, match="is no question of"):
            generator.check_steps(prompt, ["1"], "1")


def test_more_prompts_than_there_are_is_a_sentence_with_the_number():
    for name, level, split in (("arithmetic", "1-digit", "train"), ("tictactoe", "5-empty", "evaluation")):
        generator = find_generator(name)
        with pytest.raises(InvalidError, match="Ask for no more than") as told:
            generator.traces(10**6, 0, level, split)
        there = int(str(told.value).split()[-1].rstrip(".").replace(",", ""))
        assert len({trace.prompt for trace in generator.traces(there, 0, level, split)}) == there
        with pytest.raises(InvalidError):
            generator.traces(there + 1, 0, level, split)


def test_an_unknown_generator_names_the_nearest():
    with pytest.raises(UsageError, match=r"There is no generator 'arithmetics'. Did you mean 'arithmetic'\?"):
        find_generator("arithmetics")
