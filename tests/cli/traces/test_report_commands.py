"""`clew evaluate traces`, `clew report` and its commands, from the call to the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.traces.evalset import Question, write_evalset
from clew.traces.evaluation_rows import read_evaluation
from small_chat import publish_small_chat, row, write_rows


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return publish_small_chat(tmp_path_factory.mktemp("chat"))[1]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    questions = [Question(id=f"q{n}", prompt=f"What is {n} + 1?", expected_answer=str(n + 1)) for n in range(12)]
    write_evalset(tmp_path / "set.jsonl", questions)
    for name, right in (("old", 8), ("new", 10), ("bad", 0)):
        rows = [row(n, float(n < right), model=name) for n in range(12)]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_bundle_is_evaluated_into_rows_and_the_leaderboard(here, bundle, capsys):
    call = ["evaluate", "traces", "--model", str(bundle), "--eval-set", "set.jsonl", "--output", "eval.jsonl"]
    assert main([*call, "--max-examples", "5", "--max-tokens", "16", "--db", "t.db", "--json"]) == 0
    told = last_json(capsys)
    evaluation = read_evaluation(here / "eval.jsonl")
    assert len(evaluation.rows) == told["figures"]["examples"] == 5
    assert (told["judge"], told["sampling"]["seed"], told["sampling"]["temperature"]) == ("answer", 42, 0.0)
    assert {each.expected_answer for each in evaluation.rows} <= {str(n + 1) for n in range(12)}
    assert main(["report", "leaderboard", "--db", "t.db", "--json"]) == 0
    (entry,) = last_json(capsys)
    assert (entry["examples"], entry["mean_score"]) == (5, told["figures"]["mean_score"])
    assert main([*call, "--max-examples", "5", "--max-tokens", "16"]) == 0
    again = read_evaluation(here / "eval.jsonl")
    assert [each.completion for each in again.rows] == [each.completion for each in evaluation.rows]


def test_the_report_is_written_with_its_json_and_picture(here, capsys):
    call = ["report", "--before", "old.jsonl", "--after", "new.jsonl", "--output", "out/delta_report.md"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "+16.7 points" in said
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "delta_report.json",
        "delta_report.md",
        "delta_report.png",
    ]
    assert main([*call, "--json"]) == 0
    told = last_json(capsys)
    assert (told["summary"]["better"], told["summary"]["worse"], told["summary"]["p_value"]) == (2, 0, 0.5)


def test_the_gate_passes_and_fails_by_its_exit_code(here, capsys):
    assert main(["report", "baseline", "main", "old.jsonl", "--db", "t.db"]) == 0
    assert "main: old, 0.6667 on 12 questions" in capsys.readouterr().out
    assert main(["report", "check", "main", "new.jsonl", "--db", "t.db"]) == 0
    assert "passed: new against the baseline 'main'" in capsys.readouterr().out
    assert main(["report", "check", "main", "bad.jsonl", "--db", "t.db", "--json"]) == 1
    assert last_json(capsys)["verdict"] == "fail"
    assert main(["report", "record", "new.jsonl", "--name", "second", "--db", "t.db"]) == 0
    capsys.readouterr()
    assert main(["report", "leaderboard", "--db", "t.db"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("Z")[-1].split()[-1] for line in lines[1:]] == ["second", "'main'"]
    assert main(["report", "baseline", "--db", "t.db", "--json"]) == 0
    assert [each["name"] for each in last_json(capsys)] == ["main"]


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (["report", "--before", "old.jsonl", "--after", "none.jsonl"], 1, "There is no such file"),
        (["report", "--before", "old.jsonl", "--after", "set.jsonl"], 1, "'score' is missing"),
        (["report", "--before", "old.jsonl", "--after", "new.jsonl", "--output", "a.txt"], 2, "Call it *.md"),
        (["report", "leaderbord"], 2, "Did you mean 'leaderboard'?"),
        (["report", "check", "main", "new.jsonl", "--db", "none.db"], 1, "none.db"),
        (["report", "baseline", "main", "nothing", "--db", "t.db"], 1, "neither a file"),
        (["evaluate", "traces", "--eval-set", "old.jsonl", "--output", "e.jsonl"], 1, "old.jsonl:1"),
        (["evaluate", "traces", "--eval-set", "set.jsonl", "--output", "set.jsonl"], 2, "is not an evaluation"),
        (["evaluate", "traces", "--eval-set", "set.jsonl", "--output", "e.jsonl", "--judge", "exakt"], 2, "'exact'?"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(here, capsys, call, code, said):
    assert main(call) == code
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert not (here / "delta_report.md").exists()
    assert not (here / "e.jsonl").exists()


def test_evaluations_of_different_questions_are_not_compared(here, capsys):
    write_rows(here / "other.jsonl", [row(number, 1.0) for number in range(3, 15)])
    assert main(["report", "--before", "old.jsonl", "--after", "other.jsonl"]) == 1
    assert "3 only in the first (q0, q1, q2); 3 only in the second (q12, q13, q14)" in capsys.readouterr().err
