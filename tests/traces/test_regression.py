"""The leaderboard, and the gate: question by question, on the same questions, by a stated rule."""

from __future__ import annotations

import json

import pytest

from clew.core.errors import UsageError
from clew.traces.evaluation_rows import Evaluation
from clew.traces.paired import change_between
from clew.traces.regression import (
    check,
    find_baseline,
    find_evaluation,
    leaderboard,
    record,
    set_baseline,
    summary,
)
from clew.traces.schema import ConflictError, InvalidError, NotFoundError
from clew.traces.store import TraceStore
from small_chat import row, write_rows

OLD = [1.0] * 60 + [0.0] * 40


def evaluation(scores, model="old", **values):
    rows = tuple(row(number, score, model=model, **values) for number, score in enumerate(scores))
    return Evaluation(rows, {}, f"{model}.jsonl")


@pytest.fixture
def store(tmp_path):
    with TraceStore.open(tmp_path / "traces.db") as opened:
        yield opened


@pytest.fixture
def main(store):
    return set_baseline(store, "main", record(store, evaluation(OLD)).id)


def test_the_leaderboard_has_the_best_first_with_its_interval(store):
    for scores, model in ((OLD, "middle"), ([1.0] * 100, "best"), ([0.0] * 100, "worst")):
        record(store, evaluation(scores, model))
    record(store, evaluation([1.0] * 5, "elsewhere"))
    found = leaderboard(store)
    assert [each.name for each in found] == ["best", "elsewhere", "middle", "worst"]
    same_set = leaderboard(store, eval_set_sha256=found[0].eval_set_sha256)
    assert [each.name for each in same_set] == ["best", "middle", "worst"]
    middle = summary(same_set[1])
    assert (middle["mean_score"], middle["examples"], middle["judge"]) == (0.6, 100, "answer")
    assert (middle["low"], middle["high"]) == pytest.approx((0.502, 0.691), abs=1e-3)
    assert "scores" not in json.dumps(middle)
    assert leaderboard(store, limit=1, offset=1)[0].name == "elsewhere"


def test_an_equal_model_passes_every_rule(store, main):
    for rule in ("significant", "mean", "noninferior"):
        verdict = check(store, "main", evaluation(OLD, "new"), rule=rule)
        assert verdict.passed
        assert verdict.change.change == 0.0
        assert "passed: new against the baseline 'main' on 100 questions: +0.0 points" in verdict.sentence


def test_a_shown_fall_fails_and_one_that_may_be_chance_fails_by_the_stricter_rules_alone(store, main):
    collapsed = evaluation([1.0] * 30 + [0.0] * 70, "collapsed")
    for rule in ("significant", "mean", "noninferior"):
        assert not check(store, "main", collapsed, rule=rule).passed
    # One better and three worse: two points down, an interval that holds 0.
    chance = evaluation([0.0] * 3 + [1.0] * 57 + [1.0] + [0.0] * 39, "chance")
    verdicts = {rule: check(store, "main", chance, rule=rule) for rule in ("significant", "mean", "noninferior")}
    assert {rule: verdict.passed for rule, verdict in verdicts.items()} == {
        "significant": True,
        "mean": False,
        "noninferior": False,
    }
    change = verdicts["mean"].change
    assert change == change_between(OLD, [each.score for each in chance.rows])
    assert (change.better, change.worse, round(change.change, 9)) == (1, 3, -0.02)
    assert check(store, "main", chance, rule="mean", tolerance=0.02).passed
    assert not check(store, "main", chance, rule="mean", tolerance=0.019).passed
    assert check(store, "main", chance, rule="noninferior", tolerance=0.07).passed
    assert not check(store, "main", collapsed, tolerance=0.1).passed
    assert check(store, "main", collapsed, tolerance=0.5).passed


def test_questions_are_paired_by_id_and_not_by_position(store, main):
    turned = evaluation(OLD, "new")
    turned = Evaluation(tuple(reversed(turned.rows)), {}, "new.jsonl")
    assert check(store, "main", turned, rule="noninferior").change.same == 100


def test_the_baseline_is_kept_when_its_file_is_gone(store, tmp_path):
    path = write_rows(tmp_path / "old.jsonl", evaluation(OLD).rows)
    set_baseline(store, "main", find_evaluation(store, str(path)).id)
    path.unlink()
    with TraceStore.open(tmp_path / "traces.db") as again:
        assert not check(again, "main", evaluation([0.0] * 100, "new")).passed


def test_a_file_that_is_named_twice_is_recorded_once(store, tmp_path):
    path = write_rows(tmp_path / "old.jsonl", evaluation(OLD).rows)
    first = find_evaluation(store, str(path))
    assert find_evaluation(store, str(path)).id == find_evaluation(store, first.id).id == first.id
    other = write_rows(tmp_path / "other.jsonl", evaluation([0.0, *OLD[1:]]).rows)
    assert find_evaluation(store, str(other)).id != first.id
    assert len(leaderboard(store)) == 2


def test_other_questions_or_another_judge_are_refused(store, main):
    with pytest.raises(InvalidError, match=r"The baseline 'main' and new .* 1 only in the first \(q99\)"):
        check(store, "main", evaluation(OLD[:99], "new"))
    with pytest.raises(InvalidError, match="100 with another prompt"):
        check(store, "main", evaluation(OLD, "new", prompt="?"))
    with pytest.raises(InvalidError, match="100 with another expected answer"):
        check(store, "main", evaluation(OLD, "new", expected_answer="?"))
    with pytest.raises(InvalidError, match="judged by 'answer', new by 'exact'"):
        check(store, "main", evaluation(OLD, "new", judge="exact"))
    recorded = record(store, evaluation(OLD[:99], "new"))
    with pytest.raises(InvalidError, match="1 only in the first"):
        check(store, "main", recorded)


def test_what_is_not_there_is_named_with_what_is(store, main):
    with pytest.raises(NotFoundError, match=r"no baseline 'mian' .* Did you mean 'main'\? Known: main"):
        find_baseline(store, "mian")
    with pytest.raises(NotFoundError, match="no baseline"):
        check(store, "nothing", evaluation(OLD))
    with pytest.raises(NotFoundError, match=r"neither a file .* nor the id"):
        find_evaluation(store, "x" * 500)
    with pytest.raises(NotFoundError):
        set_baseline(store, "other", "no id")


def test_a_baseline_is_moved_only_by_request(store, main):
    other = record(store, evaluation([1.0] * 100, "new"))
    with pytest.raises(ConflictError, match="'main' is the evaluation"):
        set_baseline(store, "main", other.id)
    assert find_baseline(store, "main").evaluation.name == "old"
    assert set_baseline(store, "main", main.evaluation.id).evaluation == main.evaluation
    set_baseline(store, "main", other.id, replace=True)
    assert find_baseline(store, "main").evaluation.name == "new"


def test_settings_that_make_no_sense_are_said(store, main):
    with pytest.raises(UsageError, match=r"tolerance is -0\.1"):
        check(store, "main", evaluation(OLD), tolerance=-0.1)
    with pytest.raises(UsageError, match=r"no rule 'means'\. Did you mean 'mean'\?"):
        check(store, "main", evaluation(OLD), rule="means")
    for name in ("", "  ", "a\nb", "x" * 300):
        with pytest.raises(InvalidError):
            set_baseline(store, name, main.evaluation.id)


def test_a_verdict_as_json_says_all_of_it(store, main):
    told = json.loads(json.dumps(check(store, "main", evaluation([0.0] * 100, "new")).as_json()))
    assert (told["verdict"], told["passed"], told["baseline_model"], told["model"]) == ("fail", False, "old", "new")
    assert told["change"]["change"] == -0.6
    assert told["sentence"].startswith("FAILED: new against the baseline 'main'")
