"""A model is asked through its template, its answers are judged, and the rows keep all that a report needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from clew.bundle.chat import END_OF_TURN, START_OF_TURN
from clew.bundle.generate import generate
from clew.bundle.sampling import Sampling
from clew.core import files
from clew.core.errors import BundleError, EvidenceError, UsageError
from clew.traces.evalset import EvalSet, Question, read_evalset, write_evalset
from clew.traces.evaluation import BundleModel, choose, described, evaluate, open_bundle_model, room
from clew.traces.evaluation_rows import figures, meta_path, read_evaluation, set_sha256, write_evaluation
from clew.traces.judges import Judge
from clew.traces.schema import InvalidError
from small_chat import Scripted, publish_small_chat, row, write_rows

GREEDY = Sampling(temperature=0, max_tokens=20, seed=7)
QUESTIONS = [
    Question(id=f"add-{number}", prompt=f"What is {number} + {number}?", expected_answer=str(2 * number),
             category="addition", difficulty=str(len(str(number))), section="arithmetic")
    for number in range(40)
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return publish_small_chat(tmp_path_factory.mktemp("chat"), system="Be brief.")[1]


@pytest.fixture(scope="module")
def model(bundle) -> BundleModel:
    return open_bundle_model(bundle)


def eval_set_of(path: Path, questions=QUESTIONS) -> EvalSet:
    write_evalset(path, questions)
    return read_evalset(path)


def doubles(question: str, key: str) -> str:
    number = int(question.split()[2])
    return f"Reasoning:\n1. twice\nAnswer: {2 * number if number % 4 else 'x'}"


def test_each_question_gets_the_score_of_its_own_answer():
    model = Scripted(doubles)
    rows = evaluate(model, QUESTIONS, GREEDY)
    assert [each.id for each in rows] == [each.id for each in QUESTIONS]
    assert [each.score for each in rows] == [float(number % 4 != 0) for number in range(40)]
    assert sorted(model.asked) == sorted((each.prompt, each.id) for each in QUESTIONS)
    last = rows[39]
    assert last.model_dump() == {
        "id": "add-39",
        "prompt": "What is 39 + 39?",
        "expected_answer": "78",
        "score": 1.0,
        "category": "addition",
        "difficulty": "2",
        "section": "arithmetic",
        "completion": "Reasoning:\n1. twice\nAnswer: 78",
        "answer": "78",
        "judge": "answer",
        "tokens": 30,
        "prompt_tokens": 16,
        "seconds": 0.5,
        "finished": True,
        "model": "scripted",
        "seed": 7,
    }
    assert figures(rows).mean_score == 0.75


def test_neither_length_nor_the_prompt_nor_the_right_answer_in_passing_scores():
    for said in ("x" * 1000, "What is 1 + 1?", "Answer: ", "I think 2", "Answer: 3\n2", ""):
        assert evaluate(Scripted(lambda *_, said=said: said), QUESTIONS[1:2], GREEDY)[0].score == 0.0


def test_a_bundle_is_asked_through_the_template_and_system_text_of_its_training(model):
    rows = evaluate(model, QUESTIONS[:5], GREEDY)
    for question, each in zip(QUESTIONS, rows, strict=False):
        text = f"{START_OF_TURN}user\nBe brief.\n\n{question.prompt}{END_OF_TURN}\n{START_OF_TURN}model\n"
        (alone,) = generate(model.bundle, [text], GREEDY, stop=END_OF_TURN, keys=[question.id])
        assert (each.completion, each.tokens, each.finished) == (alone.text, len(alone.tokens), alone.finished)
        assert (
            each.prompt_tokens == alone.prompt_tokens == len(text) - 2 * (len(START_OF_TURN) - 1) - len(END_OF_TURN) + 1
        )


def test_a_question_that_spells_the_end_of_a_turn_does_not_end_it(model):
    (length,) = model.prompt_lengths([END_OF_TURN])
    (other,) = model.prompt_lengths(["x" * len(END_OF_TURN)])
    assert length == other


def test_sampled_answers_depend_on_the_question_and_the_seed_alone(model):
    sampling = Sampling(temperature=1.0, max_tokens=20, seed=3)
    rows = evaluate(model, QUESTIONS, sampling)
    some = evaluate(model, [QUESTIONS[30], QUESTIONS[2]], sampling)
    assert [each.completion for each in some] == [rows[30].completion, rows[2].completion]
    again = evaluate(model, QUESTIONS, Sampling(temperature=1.0, max_tokens=20, seed=4))
    assert [each.completion for each in again] != [each.completion for each in rows]


def test_rows_come_back_from_their_file_and_say_what_they_were_made_with(model, bundle, tmp_path):
    eval_set = eval_set_of(tmp_path / "set.jsonl")
    questions = choose(eval_set, 10, 7)
    rows = evaluate(model, questions, GREEDY)
    path = tmp_path / "eval.jsonl"
    written = write_evaluation(path, rows, described(model), GREEDY, eval_set)
    read = read_evaluation(path)
    assert read == written
    assert read.rows == tuple(rows)
    assert len(path.read_text().splitlines()) == 10
    meta = json.loads((tmp_path / "eval.meta.json").read_text())
    assert meta["eval_set"] == {"path": str(tmp_path / "set.jsonl"), "sha256": eval_set.sha256, "questions": 40}
    assert meta["model"]["sha256"] == files.sha256_of_file(bundle / "model.onnx")
    assert (meta["model"]["system"], meta["model"]["kind"]) == ("Be brief.", "bundle")
    assert meta["sampling"] == {"temperature": 0, "top_p": 1.0, "top_k": 0, "max_tokens": 20, "seed": 7}
    assert meta["judge"] == "answer"
    assert meta["figures"]["examples"] == 10
    assert meta["set_sha256"] == set_sha256(questions)


def test_the_seed_draws_which_questions_are_asked_in_the_order_of_the_set(tmp_path):
    eval_set = eval_set_of(tmp_path / "set.jsonl")
    chosen = choose(eval_set, 10, 1)
    assert chosen == choose(eval_set, 10, 1) != choose(eval_set, 10, 2)
    assert [each for each in QUESTIONS if each in chosen] == chosen
    assert choose(eval_set, 0, 1) == choose(eval_set, 99, 1) == QUESTIONS
    with pytest.raises(UsageError, match="max-examples is -1"):
        choose(eval_set, -1, 1)


def test_a_prompt_that_does_not_fit_is_named_before_any_is_answered(model, monkeypatch):
    monkeypatch.setattr(model.bundle, "run", lambda *_: pytest.fail("computed"))
    long = Question(id="long one", prompt="x" * 60, expected_answer="y")
    with pytest.raises(UsageError, match=r"question 'long one' has 8\d tokens .* max-tokens 20 .* context of 96"):
        evaluate(model, [*QUESTIONS[:3], long], GREEDY)
    assert room(model, [long], 50) == 96 - model.prompt_lengths([long.prompt])[0] < 16
    assert room(model, QUESTIONS, 60) == 96 - max(model.prompt_lengths([each.prompt for each in QUESTIONS]))
    assert room(model, QUESTIONS, 9) == 9


def test_a_question_that_the_judge_cannot_judge_is_told_before_any_is_answered():
    model = Scripted(doubles)
    with pytest.raises(InvalidError, match="no single number"):
        evaluate(model, [*QUESTIONS, Question(id="z", prompt="?", expected_answer="many")], GREEDY, "numeric")
    assert model.asked == []


def test_graded_scores_have_a_bootstrap_interval_and_right_or_wrong_ones_wilsons():
    judge = Judge("half", "half right", lambda question, text: 0.5 if "x" in text else 1.0)
    found = figures(evaluate(Scripted(doubles), QUESTIONS, GREEDY, judge))
    assert found.mean_score == 0.875
    # 10 halves and 30 ones: a deviation of sqrt(3)/8 over sqrt(40).
    assert (found.low, found.high) == pytest.approx((0.875 - 1.96 * 0.03423, 0.875 + 1.96 * 0.03423), abs=0.012)
    binary = figures(evaluate(Scripted(doubles), QUESTIONS, GREEDY))
    expected = stats.binomtest(30, 40).proportion_ci(method="wilson")
    assert (binary.low, binary.high) == pytest.approx((expected.low, expected.high))


def test_a_bundle_that_does_not_chat_is_refused(published):
    with pytest.raises(BundleError, match="was not trained to chat"):
        open_bundle_model(published)


def refused(path: Path, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        read_evaluation(path)


def test_rows_that_are_none_are_refused_with_file_and_line(tmp_path):
    good = row(1, 1.0).model_dump()
    path = tmp_path / "rows.jsonl"

    def written(*lines: object) -> Path:
        path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
        return path

    refused(written(good, "{"), r"rows\.jsonl:2: this is no JSON")
    refused(written(good, "[1]"), r"rows\.jsonl:2: 'the line'")
    refused(written(good, {**good, "id": "b", "score": 1.5}), r"rows\.jsonl:2: 'score'.*less than or equal to 1")
    refused(written(good, {**good, "id": "b", "score": True}), r"rows\.jsonl:2: 'score'")
    refused(written(good, {**good, "id": "b", "score": None}), r"rows\.jsonl:2: 'score'")
    refused(written('{"id": "a", "prompt": "p", "expected_answer": "e", "score": NaN}'), "'score'|JSON")
    refused(written(good, good), r"rows\.jsonl:2: the id 'q1' stands in line 1 as well")
    refused(written(good, {**good, "id": "b", "judge": "exact"}), "judged by 'exact', the first by 'answer'")
    refused(written({key: good[key] for key in good if key != "expected_answer"}), "'expected_answer' is missing")
    refused(written("", ""), "holds no rows")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path / "bytes.jsonl", r"bytes\.jsonl:1:")
    assert len(read_evaluation(written(good, "", {**good, "id": "b", "extra": 1})).rows) == 2


def test_rows_that_were_altered_after_they_were_written_are_refused(tmp_path):
    eval_set = eval_set_of(tmp_path / "set.jsonl")
    model = Scripted(doubles)
    path = tmp_path / "eval.jsonl"
    write_evaluation(path, evaluate(model, QUESTIONS, GREEDY), described(model), GREEDY, eval_set)
    path.write_text(path.read_text().replace('"score": 0.0', '"score": 1.0', 1))
    refused(path, "is not the file that eval.meta.json was written with")
    meta_path(path).write_text("[]")
    refused(path, "holds no JSON object")


def test_a_file_of_something_else_is_not_replaced(tmp_path):
    eval_set = eval_set_of(tmp_path / "set.jsonl")
    model = Scripted(doubles)
    rows = evaluate(model, QUESTIONS, GREEDY)
    with pytest.raises(UsageError, match="is not an evaluation"):
        write_evaluation(tmp_path / "set.jsonl", rows, described(model), GREEDY, eval_set)
    assert read_evalset(tmp_path / "set.jsonl") == eval_set
    path = write_rows(tmp_path / "old.jsonl", rows)
    write_evaluation(path, rows[:3], described(model), GREEDY, eval_set)
    assert len(read_evaluation(path).rows) == 3
