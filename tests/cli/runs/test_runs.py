"""`clew runs list|show|compare`: a line a run, one run whole, and what differs between two."""

from __future__ import annotations

import json

import pytest

from clew.cli.main import main
from small_runs import flags, losses, metrics, write_corpus


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in width and seed."""
    folder = tmp_path_factory.mktemp("work")
    corpus = write_corpus(folder / "corpus")
    for name, changed in (("narrow", {"d_model": 8}), ("wide", {"d_model": 16, "seed": 2})):
        arguments = flags(data_dir=corpus, runs_dir=folder / "runs", name=name, **changed)
        assert main(["train", "next_token", *arguments]) == 0
    return folder / "runs"


def asked(capsys, *arguments):
    capsys.readouterr()
    assert main(["runs", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_list_has_a_line_a_run_oldest_first(runs, capsys):
    listed = json.loads(asked(capsys, "list", "--runs-dir", runs, "--json"))
    assert {row["run"].split("-")[0] for row in listed} == {"narrow", "wide"}
    for row in listed:
        scores = [each["evaluation"] for each in metrics(runs / row["run"]) if "evaluation" in each]
        assert (row["status"], row["step"], row["objective"]) == ("finished", 12, "next_token")
        assert row["best"] == min(score["validation_bits_per_byte"] for score in scores)
    table = asked(capsys, "list", "--runs-dir", runs)
    assert len(table.splitlines()) == 3
    assert "finished" in table


def test_an_empty_folder_says_how_to_start(tmp_path, capsys):
    assert "clew train" in asked(capsys, "list", "--runs-dir", tmp_path)
    assert json.loads(asked(capsys, "list", "--runs-dir", tmp_path, "--json")) == []


def test_a_run_that_says_it_runs_and_that_no_process_holds_was_killed(runs, capsys):
    path = next(runs.glob("wide-*")) / "run_manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace('"finished"', '"running"'))
    try:
        rows = json.loads(asked(capsys, "list", "--runs-dir", runs, "--json"))
    finally:
        path.write_text(whole)
    assert {row["run"].split("-")[0]: row["status"] for row in rows} == {"narrow": "finished", "wide": "killed"}


def test_one_run_is_shown_whole(runs, capsys):
    shown = json.loads(asked(capsys, "show", "wide", "--runs-dir", runs, "--json"))
    run = next(runs.glob("wide-*"))
    assert shown["recipe"]["model"]["d_model"] == 16
    assert shown["manifest"] == json.loads((run / "run_manifest.json").read_text())
    assert shown["newest_step"]["loss"] == losses(run)[-1]
    assert shown["checkpoints"] == ["step_00000006", "step_00000008", "step_00000012"]
    text = asked(capsys, "show", "wide", "--runs-dir", runs)
    assert "d_model: 16" in text
    assert "step_00000012" in text


def test_metrics_whose_last_line_is_torn_are_shown_without_it_and_others_are_named(runs, capsys):
    path = next(runs.glob("wide-*")) / "metrics.jsonl"
    whole = path.read_text()
    try:
        path.write_text(whole + '{"step": 13, "lo')
        shown = json.loads(asked(capsys, "show", "wide", "--runs-dir", runs, "--json"))
        assert shown["newest_step"]["step"] == 12
        path.write_text(whole.replace('{"step": 2,', '{"step" 2,'))
        assert main(["runs", "show", "wide", "--runs-dir", str(runs)]) == 1
        assert "metrics.jsonl:2: not a line of metrics" in capsys.readouterr().err
    finally:
        path.write_text(whole)


def test_a_comparison_names_what_differs_and_draws_the_curves(runs, tmp_path, capsys):
    plot = tmp_path / "curves.png"
    found = json.loads(asked(capsys, "compare", "narrow", "wide", "--runs-dir", runs, "--plot", plot, "--json"))
    assert found["recipe_differences"] == {"name": ["narrow", "wide"], "seed": [42, 2], "model.d_model": [8, 16]}
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")
    assert plot.stat().st_size > 5000
    assert "model.d_model" in asked(capsys, "compare", "narrow", "wide", "--runs-dir", runs, "--plot", plot)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["compare", "wide"], 2, "needs two runs or more"),
        (["show", "wied"], 2, "There is no run 'wied'"),
        (["shwo"], 2, "Did you mean 'show'?"),
        (["compare", "wide", "narrow", "--plot", "/dev/null/x.png"], 1, "Could not write /dev/null/x.png"),
    ],
)
def test_what_is_asked_wrongly_is_said(runs, capsys, arguments, code, said):
    extra = [] if arguments == ["shwo"] else ["--runs-dir", str(runs)]
    assert main(["runs", *arguments, *extra]) == code
    assert said in capsys.readouterr().err
