"""clew feedback: ratings typed or piped, resumed, as pairs; pairs by a checker."""

from __future__ import annotations

import io
import json

import pytest

from clew.cli.main import main
from clew.traces.preferences.pairs import read_pairs
from clew.traces.store import TraceStore


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": "What is 1 + 1?", "answers": ["two", "three", "2"]},
        {"prompt": "What is 2 + 2?", "answers": ["four\x1b[2J", "five"]},
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def typed(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


def rate(*flags):
    return main(["feedback", "rate", "answers.jsonl", "--db", "traces.db", *flags])


def test_ratings_are_piped_in_kept_at_once_and_gone_on_with(place, monkeypatch, capsys):
    typed(monkeypatch, "a\nnonsense\n=\n")  # the input ends within the session
    assert rate("--by", "ada") == 0
    out = capsys.readouterr().out
    assert "'nonsense' is none of a, b, =, s, u, q." in out
    assert "2 ratings kept; 2 are left to rate" in out
    assert "\x1b" not in out, "what is rated must not speak to the terminal"
    typed(monkeypatch, "b\nb\nb\nb\nb\n")
    assert rate("--by", "ada", "--json") == 0
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert outcome["rated"] == 2
    assert outcome["left"] == 0
    typed(monkeypatch, "q\n")
    assert rate("--by", "grace") == 0
    assert "0 ratings kept; 4 are left" in capsys.readouterr().out, "another rater has rated nothing yet"


def test_a_rating_that_is_taken_back_is_gone(place, monkeypatch, capsys):
    typed(monkeypatch, "u\na\nu\nb\nq\n")
    assert rate() == 0
    out = capsys.readouterr().out
    assert "There is no rating to take back." in out
    with TraceStore.open("traces.db") as store:
        (only,) = store.ratings()
    assert only.rating.preferred == "second"


def test_the_preferred_answer_is_chosen_in_whatever_order_it_was_shown(place, monkeypatch, capsys):
    answers = {"two": 3, "2": 2, "three": 1, "four\x1b[2J": 2, "five": 1}
    while True:
        typed(monkeypatch, "q\n")
        rate("--seed", "5")
        shown = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
        if not shown:
            break
        first, second = (text.partition(": ")[2].replace("?", "\x1b") for text in shown[:2])
        typed(monkeypatch, ("a" if answers[first] > answers[second] else "b") + "\n")
        assert rate("--seed", "5", "--most", "1") == 0
        capsys.readouterr()
    assert main(["feedback", "pairs", "--db", "traces.db", "-o", "pairs.jsonl"]) == 0
    made = [(pair.chosen, pair.rejected) for pair in read_pairs(place / "pairs.jsonl")]
    assert sorted(made) == sorted([("two", "three"), ("two", "2"), ("2", "three"), ("four\x1b[2J", "five")])


def test_scores_from_1_to_5_make_pairs_of_answers_with_different_means(place, monkeypatch, capsys):
    typed(monkeypatch, "5\n1\n5\n0\n3\n3\n")
    assert rate("--scale", "5") == 0
    assert "'0' is none of 1, 2, 3, 4, 5" in capsys.readouterr().out
    assert main(["feedback", "pairs", "--db", "traces.db", "--output", "pairs.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["pairs"] == 2
    made = [(pair.chosen, pair.rejected) for pair in read_pairs(place / "pairs.jsonl")]
    assert made == [("two", "three"), ("2", "three")]
    assert main(["feedback", "list", "--db", "traces.db"]) == 0
    assert "5 ratings" in capsys.readouterr().out


def test_traces_of_one_prompt_are_rated_where_no_file_is_named(place, monkeypatch, capsys):
    rows = [
        {
            "trace_version": "1.0",
            "prompt": "1 + 1?",
            "final_answer": answer,
            "steps": [{"i": 0, "type": "s", "content": "so"}],
        }
        for answer in ("2", "3")
    ]
    (place / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["traces", "import", "traces.jsonl", "--db", "traces.db"]) == 0
    typed(monkeypatch, "a\n")
    assert main(["feedback", "rate", "--db", "traces.db"]) == 0
    assert "1 ratings kept; 0 are left" in capsys.readouterr().out


def test_without_ratings_no_file_is_written(place, capsys):
    typed_nothing = main(["feedback", "rate", "answers.jsonl", "--db", "traces.db", "--most", "1", "--scale", "7"])
    assert typed_nothing == 2
    with TraceStore.open("traces.db"):
        pass
    assert main(["feedback", "pairs", "--db", "traces.db", "-o", "pairs.jsonl"]) == 1
    assert "made no pair" in capsys.readouterr().err
    assert not (place / "pairs.jsonl").exists()


def test_a_file_that_is_no_pairs_is_not_replaced(place, capsys):
    (place / "pairs.jsonl").write_text("mine\n")
    assert main(["feedback", "check", "--checker", "arithmetic", "--count", "2", "-o", "pairs.jsonl"]) == 2
    assert (place / "pairs.jsonl").read_text() == "mine\n"


def test_a_checker_makes_pairs_and_judges_answers_of_a_file(place, capsys):
    assert main(["feedback", "check", "--count", "4", "-o", "made.jsonl"]) == 0
    made = list(read_pairs(place / "made.jsonl"))
    assert len(made) == 4
    rows = [{"prompt": pair.prompt, "answers": ["no program at all", pair.rejected, pair.chosen]} for pair in made]
    (place / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["feedback", "check", "--answers", "answers.jsonl", "--most", "9", "-o", "judged.jsonl"]
    assert main(command) == 0
    judged = {(pair.prompt, pair.chosen, pair.rejected) for pair in read_pairs(place / "judged.jsonl")}
    assert {(pair.prompt, pair.chosen, pair.rejected) for pair in made} <= judged
    capsys.readouterr()
    assert main([*command, "--model", "base"]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert main(["feedback", "check", "--checker", "arithmetics", "-o", "x.jsonl"]) == 2
    assert "Did you mean 'arithmetic'" in capsys.readouterr().err
