"""Starting and resuming: nothing that is there is lost, evidence may move, weights are those that were named."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from clew.core.errors import CheckpointError, ClewError, UsageError
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.training import devices
from clew.training.launch import resume, train
from small_runs import outcome, small_recipe, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A run of 12 steps with the checkpoints of steps 6, 8 and 12. Copy it before changing it."""
    return quietly(small_recipe(corpus), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    return open_run(shutil.copytree(finished.folder, tmp_path / finished.folder.name))


def quietly(recipe, runs_dir):
    return train(recipe, runs_dir, say=lambda text: None, shows=False)[0]


def resumed(run, **settings):
    return resume(run, say=lambda text: None, shows=False, **settings)


def content(run):
    """What must not change when a command refuses: all but the lines of the clock."""
    left_out = ("timing.jsonl", "stats.json", "run_manifest.json", ".lock")
    return {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file() and path.name not in left_out}


def test_without_its_pointer_the_newest_checkpoint_is_found_and_nothing_starts_anew(run):
    whole = outcome(run.folder)
    shutil.rmtree(run.checkpoints / "step_00000012")
    (run.checkpoints / "latest.json").unlink()
    assert resumed(run).step == 12
    assert outcome(run.folder) == whole
    assert {path.name for path in run.checkpoints.glob("step_*")} == {
        "step_00000006",
        "step_00000008",
        "step_00000012",
    }


def test_a_newest_checkpoint_that_is_damaged_is_passed_over_where_no_pointer_names_it(run):
    (run.checkpoints / "latest.json").unlink()
    path = run.checkpoints / "step_00000012" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert find_checkpoint(run.checkpoints).name == "step_00000008"


def test_with_every_checkpoint_damaged_it_refuses_and_deletes_nothing(run):
    (run.checkpoints / "latest.json").unlink()
    for path in run.checkpoints.glob("step_*/model.safetensors"):
        path.write_bytes(b"damaged")
    before = content(run)
    with pytest.raises(CheckpointError, match=r"None of the checkpoints in .* is whole"):
        resumed(run)
    assert content(run) == before


@pytest.mark.parametrize("which", ["²", "step_²", "1" * 5000, "-1", "../other", "x" * 300])
def test_a_checkpoint_of_an_odd_name_is_none(run, which):
    with pytest.raises(CheckpointError, match=r"names no checkpoint: write latest, best or a step.*6, 8, 12"):
        resumed(run, checkpoint=which)


def test_evidence_that_moved_is_named_in_its_family_s_word(run, corpus, tmp_path):
    moved = shutil.copytree(corpus, tmp_path / "moved")
    assert resumed(run, checkpoint="8", moved={"data_dir": str(moved)}).step == 12
    with pytest.raises(UsageError, match=r"is of next_token, whose recipe has no db: .* said with --data-dir"):
        resumed(run, moved={"db": "replay.db"})


def test_a_parent_is_found_once_though_it_goes_on_training(finished, corpus, tmp_path):
    parent = open_run(shutil.copytree(finished.folder, tmp_path / "parent"))
    best = json.loads((parent.checkpoints / "best.json").read_text())["folder"]
    child = quietly(
        small_recipe(corpus, start_from=str(parent.folder), max_steps=2, learning_rate=1e-30), tmp_path / "r"
    )
    assert child.manifest["parent"] == str(parent.checkpoints / best)
    # The best of the parent is another one now; a child that had no checkpoint yet still starts from what it named.
    others = [path for path in parent.checkpoints.glob("step_*") if path.name != best]
    pointer = {"folder": others[0].name, "step": int(others[0].name[5:])}
    (parent.checkpoints / "best.json").write_text(json.dumps(pointer))
    for path in [*child.checkpoints.iterdir()]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    resumed(open_run(child.folder))
    held, named = (
        load_file(folder / "model.safetensors")
        for folder in (find_checkpoint(child.checkpoints), parent.checkpoints / best)
    )
    assert all(torch.allclose(held[name], named[name], atol=1e-6) for name in named)
    # What was named is no longer there: that is said, and nothing else is taken in its place.
    shutil.rmtree(parent.checkpoints / best)
    shutil.copytree(others[0], parent.checkpoints / best)
    for path in [*child.checkpoints.iterdir()]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError, match="are no longer those that the run was made to start from"):
        resumed(open_run(child.folder))


def test_a_backend_that_is_not_there_is_told_before_any_work(corpus, tmp_path):
    with pytest.raises(UsageError, match=r"There is no backend 'torhc'\. Did you mean 'torch'"):
        train(small_recipe(corpus), tmp_path / "runs", backend="torhc")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("variable", "flag", "threads"),
    [("3", 0, 3), ("3", 2, 2), ("", 2, 2), ("many", 1, 1)],
)
def test_the_recipe_s_threads_win_over_the_environment_s(corpus, monkeypatch, variable, flag, threads):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        with devices.placement(small_recipe(corpus, threads=flag).training):
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert os.environ["OMP_NUM_THREADS"] == variable


def test_a_run_that_is_not_whole_stays_as_it_is(run):
    (run.folder / "recipe.yaml").write_text("objective: next_token\nseed: 1\n")
    before = content(run)
    with pytest.raises(ClewError, match="was edited after the run began"):
        resumed(run)
    assert content(run) == before
