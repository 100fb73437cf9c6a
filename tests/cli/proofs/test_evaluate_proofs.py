"""`clew evaluate proofs`: what it evaluates, what it writes, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clew.bundle.load import load_bundle
from clew.cli.main import main
from clew.core.errors import UsageError
from clew.proofs.corpus import read_corpus, split_by_theorem
from clew.proofs.evaluation.report import choose_files
from clew.proofs.evaluation.report import evaluate as report_of
from clew.proofs.files import Proof, render
from clew.proofs.terms import parse_equation
from clew.proofs.theorems import Theorem
from clew.proofs.theories import theory_named

STEPS = ("a + 0 = a", "0 + a = a")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Proof files that state theorems of Clew's own theories."""
    folder = tmp_path / "ours"
    folder.mkdir()
    for index in range(12):
        goal = parse_equation("a" + " + 0" * (index + 2) + " = 0 + a")
        stated = Theorem(f"group_{index}", theory_named("group"), ("a",), goal)
        text = render(stated.to_proof([parse_equation(step) for step in STEPS]))
        (folder / f"proof_{index:05d}.txt").write_text(text)
    return folder


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Proof files of another prover."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for index in range(6):
        proof = Proof(f"theorem t{index}(n: Nat) {{", f"    n < {index}", None, f"not n < {index}", ("n < n",))
        (folder / f"proof_{index:05d}.txt").write_text(render(proof))
    return folder


def evaluate(published, data_dir, *arguments) -> int:
    few = ["--max-tokens", "6", "--proposals", "3", "--seconds", "0.02"]
    return main(["evaluate", "proofs", str(published), "--data-dir", str(data_dir), *few, *arguments])


def test_the_report_is_written_as_json_and_as_a_page(published, ours, tmp_path, capsys):
    assert evaluate(published, ours, "--output", str(tmp_path / "report"), "--json") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == printed
    assert printed["bits_per_byte"]["files"] == printed["next_lines"]["goals"] == 12
    assert set(printed["next_lines"]["found"]) == {"1", "8"}
    assert printed["guidance"]["theorems"] == 12
    page = (tmp_path / "report" / "report.md").read_text()
    assert "all files: the bundle was not trained on this corpus" in page
    for words in ("bits per byte", "among 8 sampled first lines", "3 proposals", "0.02 s"):
        assert words in page


def test_a_limit_draws_files_for_the_slow_parts_alone(published, ours, capsys):
    assert evaluate(published, ours, "--limit", "4", "--json") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (printed["files"], printed["limited_from"]) == (4, 12)
    assert printed["bits_per_byte"]["files"] == 12
    assert printed["guidance"]["theorems"] == 4


def test_files_of_another_prover_get_no_search(published, foreign, capsys):
    assert evaluate(published, foreign) == 0
    assert "No proof search" in capsys.readouterr().out


def test_of_the_corpus_that_it_was_trained_on_only_the_held_out_part_counts(published, ours):
    bundle, corpus = load_bundle(published), read_corpus(ours)
    bundle.manifest = {
        "evidence": {"sha256": corpus.fingerprint},
        "recipe": {"seed": 5, "data": {"validation_fraction": 0.25}},
    }
    chosen = choose_files(bundle, ours, "auto")
    assert (
        chosen.indices == split_by_theorem(corpus, 0.25, 5).validation == choose_files(bundle, ours, "held_out").indices
    )
    assert chosen.leakage
    everything = choose_files(bundle, ours, "all")
    assert len(everything.indices) == 12
    assert "trained on among them" in everything.which


def test_the_held_out_part_of_an_unknown_corpus_is_not_guessed(published, ours):
    with pytest.raises(UsageError, match="is not the corpus that"):
        choose_files(load_bundle(published), ours, "held_out")


def test_an_empty_folder_is_said(published, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert evaluate(published, tmp_path / "empty") == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "empty") in error
    assert "bug" not in error


def test_a_report_replaces_a_report_and_nothing_else(published, ours, tmp_path, monkeypatch, capsys):
    output = tmp_path / "report"
    for seed in ("1", "2"):
        assert evaluate(published, ours, "--limit", "1", "--output", str(output), "--seed", seed) == 0
    assert json.loads((output / "report.json").read_text())["seed"] == 2
    (output / "report.md").write_text("# My own notes\n")
    monkeypatch.setattr("clew.proofs.evaluation.report.evaluate", None)  # it is said before anything is measured
    assert evaluate(published, ours, "--output", str(output)) == 2
    assert "report.md is there and is not a report" in capsys.readouterr().err
    assert (output / "report.md").read_text() == "# My own notes\n"


def test_a_report_does_not_go_into_a_file(published, ours, tmp_path, capsys):
    (tmp_path / "report").write_text("mine")
    assert evaluate(published, ours, "--output", str(tmp_path / "report")) == 1
    assert "A part of the path is a file" in capsys.readouterr().err


def test_python_gets_the_report_of_the_command(published, ours, capsys):
    assert evaluate(published, ours, "--limit", "2", "--seed", "3", "--json") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = report_of(load_bundle(published), ours, limit=2, seed=3, max_tokens=6, proposals=3, seconds=0.02)
    assert report.bits_per_byte.value == printed["bits_per_byte"]["value"]
    assert json.loads(json.dumps(report.as_json()["next_lines"])) == printed["next_lines"]
    assert report._repr_markdown_().startswith(f"# {published} on {ours}")


@pytest.mark.parametrize("recipe", [[], {"data": 3}, {"data": {"validation_fraction": "0.1"}, "seed": 1}, {"data": {}}])
def test_a_manifest_that_makes_no_sense_is_no_traceback(published, ours, recipe):
    bundle = load_bundle(published)
    bundle.manifest = {"evidence": {"sha256": read_corpus(ours).fingerprint}, "recipe": recipe}
    with pytest.raises(UsageError, match="held-out part is not"):
        choose_files(bundle, ours, "auto")
    bundle.manifest = {"evidence": ["x"], "recipe": recipe}
    assert len(choose_files(bundle, ours, "auto").indices) == 12
