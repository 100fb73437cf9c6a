"""`clew resume`: which run it takes, and what it says of it."""

from __future__ import annotations

import json

import pytest

from clew.cli.main import main
from small_runs import flags, write_corpus


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    corpus = write_corpus(folder / "corpus")
    for name in ("alpha", "beta"):
        arguments = flags(data_dir=corpus, runs_dir=folder / "runs", name=name, max_steps=4)
        assert main(["train", "next_token", *arguments]) == 0
    return folder / "runs"


def resumed(capfd, *arguments):
    capfd.readouterr()
    assert main(["resume", *map(str, arguments), "--json"]) == 0
    said = capfd.readouterr()
    return json.loads(said.out.splitlines()[-1]), said.err


def test_a_run_is_taken_by_name_or_by_folder(runs, capfd):
    alpha = next(runs.glob("alpha-*"))
    for name in ("alpha", alpha.name, alpha):
        outcome, _ = resumed(capfd, name, "--runs-dir", runs)
        assert outcome["run"].endswith(alpha.name)


def test_without_a_name_it_is_the_newest(runs, capfd):
    path = next(runs.glob("alpha-*")) / "run_manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created_at": "2099-01-01T00:00:00+00:00"}))
    outcome, _ = resumed(capfd, "--runs-dir", runs)
    assert outcome["run"] == str(path.parent)


def test_it_says_where_it_takes_up(runs, capfd):
    _, said = resumed(capfd, "beta", "--runs-dir", runs, "--checkpoint", "best")
    assert "is finished already, at step 4" in said


def test_what_changed_since_is_said(runs, capfd):
    run = next(runs.glob("beta-*"))
    path = run / "run_manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"device": manifest["device"] | {"threads": 64}}))
    state = run / "checkpoints" / "step_00000004" / "state.json"
    saved = json.loads(state.read_text())
    saved["progress"]["ended"] = None
    state.write_text(json.dumps(saved))
    _, said = resumed(capfd, "beta", "--runs-dir", runs)
    assert "resumes at step_00000004" in said
    assert "note: not bit for bit as before, since it changed: threads 64 -> 1" in said


def test_there_being_no_run_is_said(tmp_path, capfd):
    assert main(["resume", "--runs-dir", str(tmp_path)]) == 2
    assert "There are no runs in" in capfd.readouterr().err
