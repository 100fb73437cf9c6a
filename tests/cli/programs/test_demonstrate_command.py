"""`clew programs demonstrate`: a file of demonstrations, held-out tasks, and what is wrong with a call."""

from __future__ import annotations

import json

from clew.cli.main import main
from clew.programs.behaviour import computes
from clew.programs.demonstrations import read


def run(capsys, *arguments):
    code = main(["programs", "demonstrate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_file_is_made_and_told_and_the_same_call_makes_the_same_bytes(tmp_path, capsys):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path in (first, second):
        call = ("-o", path, "--count", 12, "--seed", 3, "--grammar", "small", "--json")
        code, out, _ = run(capsys, *call)
        assert code == 0
    told = json.loads(out.splitlines()[-1])
    assert first.read_bytes() == second.read_bytes()
    assert (told["tasks"], told["grammar"]) == (12, "small")
    assert told["states"] == read(second).states > 24
    assert "12 tasks" in out


def test_held_out_tasks_are_not_among_the_demonstrations(tmp_path, capsys):
    held, trained = tmp_path / "held_out.jsonl", tmp_path / "demonstrations.jsonl"
    assert run(capsys, "-o", held, "--kind", "held_out", "--count", 10, "--grammar", "small")[0] == 0
    assert run(capsys, "-o", trained, "--count", 20, "--grammar", "small", "--exclude", held)[0] == 0
    ours, theirs = (computes(each.task for each in read(path).items) for path in (held, trained))
    assert len(ours) == 10
    assert not ours & theirs


def test_a_call_that_is_wrong_is_a_sentence_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    for arguments, said in (
        (("-o", out, "--count", 0), "count"),
        (("-o", out, "--grammar", "huge"), "huge"),
        (("-o", notes, "--count", 2, "--grammar", "small"), "is not replaced"),
        (("-o", out, "--exclude", tmp_path / "none.jsonl"), "no such file"),
        (("-o", out, "--exclude", notes), "notes.txt:1: the line is not valid JSON"),
        (("-o", tmp_path, "--count", 2, "--grammar", "small"), "is a folder"),
        (("--count", 2), "-o"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code in (1, 2)
        assert said in err, err
        assert "Traceback" not in err
    assert not out.exists()
    assert notes.read_text() == "mine"
