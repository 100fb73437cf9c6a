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


def test_figures_go_by_their_names_where_they_change_on_the_way(runs, tmp_path, capsys):
    """A net plays random play at first and the champion later; each rate stands under its own name."""
    run = next(runs.glob("wide-*"))
    path = run / "metrics.jsonl"
    whole = path.read_text()
    rows = [json.loads(line) for line in whole.splitlines()]
    first, second = (row for row in rows if "evaluation" in row)
    first["evaluation"] = {"recent_loss": 0.5, "win_rate_against_random": 0.75}
    second["evaluation"] = {"validation_loss": 0.25, "win_rate_against_best": 0.125}
    try:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        shown = asked(capsys, "show", "wide", "--runs-dir", runs)
        header, *lines = (
            line for line in shown.splitlines() if "win_rate" in line or line.strip().startswith(("6 ", "12 "))
        )
        assert header.split() == [
            "step", "recent_loss", "win_rate_against_random", "validation_loss", "win_rate_against_best"
        ]  # fmt: skip
        assert [line.split()[:3] for line in lines] == [["6", "0.5", "0.75"], ["12", "0.25", "0.125"]]
        asked(capsys, "compare", "narrow", "wide", "--runs-dir", runs, "--plot", tmp_path / "curves.png")
    finally:
        path.write_text(whole)


def test_the_best_is_the_score_that_early_stopping_watched(runs, capsys):
    path = next(runs.glob("wide-*/checkpoints/step_00000012")) / "state.json"
    whole = path.read_text()
    state = json.loads(whole)
    state["progress"] |= {"best_score": 0.0625, "best_step": 6}
    try:
        path.write_text(json.dumps(state))
        shown = json.loads(asked(capsys, "show", "wide", "--runs-dir", runs, "--json"))
    finally:
        path.write_text(whole)
    assert (shown["best"], shown["best_step"]) == (0.0625, 6)


def test_one_bad_run_folder_is_named_and_blocks_nothing(runs, capsys):
    bad = [runs / "one", runs / "two", runs / "three"]
    contents = ("{", json.dumps({"run_id": "x"}), None)
    good = next(runs.glob("wide-*"))
    for folder, content in zip(bad, contents, strict=True):
        folder.mkdir()
        manifest = content or (good / "run_manifest.json").read_text()
        (folder / "run_manifest.json").write_text(manifest)
        if content is None:
            (folder / "metrics.jsonl").write_text('{"loss": 1}\n')
    try:
        capsys.readouterr()
        assert main(["runs", "list", "--runs-dir", str(runs), "--json"]) == 0
        said = capsys.readouterr()
        assert {row["run"].split("-")[0] for row in json.loads(said.out)} == {"narrow", "wide"}
        assert said.err.count("left out: ") == 3
        assert "metrics.jsonl:1: not a line of metrics (it has no step)" in said.err
        assert main(["runs", "show", "wide", "--runs-dir", str(runs)]) == 0
    finally:
        for folder in bad:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


@pytest.mark.parametrize(
    "line",
    [
        "null", "1", "[1]", "{}", '{"step": 1, "loss": null}', '{"step": 1, "loss": NaN}', '{"step": true}',
        '{"step": 1, "evaluation": null}', '{"step": 1, "evaluation": {"score": "low"}}', "[" * 3000, "9" * 5000,
        '{"step": 1, "loss": 1e999}',
    ],
)  # fmt: skip
def test_a_line_that_is_none_of_metrics_gets_a_sentence(runs, tmp_path, capsys, line):
    path = next(runs.glob("wide-*")) / "metrics.jsonl"
    whole = path.read_text()
    try:
        path.write_text(line + "\n" + whole)
        for command in (["show", "wide"], ["compare", "narrow", "wide", "--plot", str(tmp_path / "x.png")]):
            assert main(["runs", *command, "--runs-dir", str(runs)]) == 1
            assert "metrics.jsonl:1: not a line of metrics" in capsys.readouterr().err
    finally:
        path.write_text(whole)


def test_what_looks_like_markup_is_a_value_like_any_other(runs, tmp_path, capsys):
    path = next(runs.glob("wide-*")) / "recipe.yaml"
    whole = path.read_text()
    try:
        path.write_text(whole.replace("name: wide", "name: '[red]wide'"))
        table = asked(capsys, "compare", "narrow", "wide", "--runs-dir", runs, "--plot", tmp_path / "x.png")
        assert "[red]wide" in table
    finally:
        path.write_text(whole)


def test_a_picture_replaces_no_file_of_another_kind(runs, tmp_path, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("keep me")
    assert main(["runs", "compare", "narrow", "wide", "--runs-dir", str(runs), "--plot", str(notes)]) == 2
    assert "notes.txt is there and is not a picture" in capsys.readouterr().err
    assert notes.read_text() == "keep me"
