"""`clew traces generate` and `clew evalset validate`: files, sentences and exit codes."""

from __future__ import annotations

import json

import pytest

from clew.cli.main import main
from clew.traces.evalset import read_evalset
from clew.traces.generators import GENERATORS
from clew.traces.jsonl import read_traces
from clew.traces.store import TraceStore


def test_without_a_name_the_generators_are_listed(capsys):
    assert main(["traces", "generate", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [each["name"] for each in json.loads(lines[-1])] == list(GENERATORS)
    assert any(line.startswith("arithmetic: ") for line in lines)


def test_a_file_of_traces_is_the_same_for_the_same_seed_and_can_be_imported(tmp_path, capsys):
    first, again, other = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    for path, seed in ((first, 3), (again, 3), (other, 4)):
        command = ["traces", "generate", "arithmetic", "--count", "50", "--seed", str(seed), "--output", str(path)]
        assert main(command) == 0
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    traces = list(read_traces(first))
    assert len(traces) == 50
    assert "50 traces of arithmetic, seed 3" in capsys.readouterr().out
    db = str(tmp_path / "traces.db")
    assert main(["traces", "import", str(first), "--db", db]) == 0
    with TraceStore.open(db) as store:
        assert store.count() == 50


def test_traces_go_into_a_database(tmp_path, capsys):
    db = str(tmp_path / "traces.db")
    assert main(["traces", "generate", "high_card_duel", "--count", "6", "--seed", "42", "--db", db, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["traces"] == 6
    with TraceStore.open(db) as store:
        cards = {stored.trace.meta["my_card"] for stored in store.page(100, 0)}
    assert cards == {"TS", "2H", "AH", "QC", "3C", "9S"}


def test_an_eval_set_of_a_held_out_level_validates(tmp_path, capsys):
    path = tmp_path / "harder.jsonl"
    command = ["traces", "generate", "arithmetic", "--questions", "--level", "harder", "--count", "20"]
    assert main([*command, "--output", str(path)]) == 0
    assert {question.difficulty for question in read_evalset(path)} == {"harder"}
    assert main(["evalset", "validate", str(path), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{path}: 20 questions, every one with an answer, ids unique." in lines
    told = json.loads(lines[-1])
    assert told["questions"] == 20
    assert told["difficulty"] == {"harder": 20}
    assert sum(told["category"].values()) == 20


def test_an_eval_set_tells_of_prompts_that_come_twice(tmp_path, capsys):
    path = tmp_path / "e.jsonl"
    path.write_text("".join(f'{{"id": "{name}", "prompt": "p", "expected_answer": "x"}}\n' for name in "abc"))
    assert main(["evalset", "validate", str(path)]) == 0
    assert "2 ask what an earlier line asks" in capsys.readouterr().out


def test_a_bad_eval_set_is_a_sentence_with_its_place(tmp_path, capsys):
    path = tmp_path / "e.jsonl"
    path.write_text('{"id": "a", "prompt": "p"}\n')
    assert main(["evalset", "validate", str(path)]) == 1
    assert f"{path}:1: expected_answer is missing." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["arithmatic", "--output", "OUT"], "Did you mean 'arithmetic'?", 2),
        (["arithmetic", "--level", "9-digit", "--output", "OUT"], "has no level '9-digit'", 2),
        (["arithmetic", "--level", "harder", "--output", "OUT"], "nothing of it is for training", 2),
        (["arithmetic", "--level", "1-digit", "--count", "999", "--output", "OUT"], "Ask for no more than 140.", 1),
        (["arithmetic", "--count", "0", "--output", "OUT"], "greater than or equal to 1", 2),
        (["arithmetic", "--output", "OUT", "--db", "OUT"], "one of the two", 2),
        (["arithmetic", "--questions", "--db", "OUT"], "Questions go into a file", 2),
        (["arithmetic", "--split", "test", "--output", "OUT"], "--split", 2),
        (["high_card_duel", "--questions", "--output", "OUT"], "would measure nothing", 1),
    ],
)
def test_what_cannot_be_made_is_a_sentence_and_leaves_no_file(tmp_path, capsys, arguments, says, code):
    out = tmp_path / "out.jsonl"
    assert main(["traces", "generate", *[str(out) if each == "OUT" else each for each in arguments]]) == code
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_traces_go_into_the_database_that_the_other_commands_read_where_nothing_else_is_said(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["traces", "generate", "arithmetic", "--count", "3"]) == 0
    capsys.readouterr()
    assert main(["traces", "list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["traces"]) == 3


def test_a_foreign_file_is_not_replaced(tmp_path, capsys):
    path = tmp_path / "diary.txt"
    path.write_text("my diary\n")
    for more in ([], ["--questions"]):
        assert main(["traces", "generate", "arithmetic", "--count", "2", "--output", str(path), *more]) == 2
        assert "so it is not replaced" in capsys.readouterr().err
    assert path.read_text() == "my diary\n"
