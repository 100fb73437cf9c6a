"""`clew train` and `clew resume`: from a recipe to a finished run, and what is left behind."""

from __future__ import annotations

import json

import pytest

from clew.cli.main import main
from clew.recipes import presets
from clew.recipes.base import read_yaml
from clew.runs.checkpoints import find_checkpoint
from clew.training.checkpoint import read_checkpoint
from small_runs import flags, losses, metrics, only_run, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


@pytest.fixture
def trained(corpus, tmp_path, capfd):
    def train(runs="runs", **changed):
        assert (
            main(["train", "next_token", *flags(data_dir=corpus, runs_dir=tmp_path / runs, **changed), "--json"]) == 0
        )
        return only_run(tmp_path / runs), capfd.readouterr()

    return train


def test_a_run_leaves_all_that_it_promises(trained, corpus):
    run, said = trained()
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == [
        "checkpoints",
        "metrics.jsonl",
        "recipe.yaml",
        "reports",
        "run_manifest.json",
        "stats.json",
        "timing.jsonl",
        "tokenizer.json",
    ]
    manifest = json.loads((run / "run_manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["evidence"]["path"] == str(corpus)
    assert manifest["device"] | {"threads": 1} == {
        "device": "cpu",
        "name": "cpu",
        "precision": "float32",
        "processes": 1,
        "threads": 1,
        "compiled": False,
    }
    assert losses(run)[-1] < losses(run)[0]
    assert [row["step"] for row in metrics(run) if "evaluation" in row] == [6, 12]
    outcome = json.loads(said.out.splitlines()[-1])
    assert outcome["run"] == str(run)
    assert (outcome["status"], outcome["step"], outcome["best_step"]) == ("finished", 12, 12)
    stats = json.loads((run / "stats.json").read_text())
    assert (stats["step"], stats["total_steps"], stats["last_evaluation"]["step"]) == (12, 12, 12)


def test_it_says_what_it_read_and_what_leaks_before_it_trains(trained):
    _, said = trained()
    lines = said.err.splitlines()
    assert lines[0].startswith("30 proof files, ")
    assert "24 to train on, 6 held out by enclosing theorem" in lines[0]
    assert lines[1].startswith("of 6 held-out files share with a training file: the theorem's head line 0.0%")
    assert lines[2].startswith("run ")
    assert "6,320 parameters, 12 steps planned, cpu, float32, 1 threads" in lines[3]
    assert lines[4].startswith("step 1/12  loss ")


def test_the_same_recipe_gives_the_same_run(trained):
    one, _ = trained("one")
    two, _ = trained("two")
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    other, _ = trained("three", seed=1)
    assert (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes()


def test_micro_batches_change_nothing_but_rounding(trained):
    one, _ = trained("one")
    four, _ = trained("four", accumulation=4)
    assert losses(four) == pytest.approx(losses(one), abs=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_either_optimizer_resumes_from_the_middle_to_the_same_bytes(trained, optimizer):
    run, _ = trained(optimizer=optimizer)
    final = find_checkpoint(run / "checkpoints")
    before = {name: (final / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}
    before["metrics"] = (run / "metrics.jsonl").read_bytes()
    assert main(["resume", str(run), "--checkpoint", "8"]) == 0
    after = {name: (final / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}
    assert after | {"metrics": (run / "metrics.jsonl").read_bytes()} == before


def test_the_learning_rate_goes_on_falling_after_a_resume(trained):
    run, _ = trained()
    before = [row["learning_rate"] for row in metrics(run) if "loss" in row]
    assert main(["resume", str(run), "--checkpoint", "6"]) == 0
    after = [row["learning_rate"] for row in metrics(run) if "loss" in row]
    assert after == before
    assert after[6:] == sorted(after[6:], reverse=True)
    assert after[6] < max(after)


def test_a_run_starts_from_anothers_weights_and_names_it(trained, tmp_path):
    parent, _ = trained("parent")
    child, _ = trained("child", start_from=parent, learning_rate=1e-9, min_learning_rate=0, max_steps=1)
    best = find_checkpoint(parent / "checkpoints", "best")
    manifest = json.loads((child / "run_manifest.json").read_text())
    assert manifest["parent"] == str(best)
    ours, theirs = (read_checkpoint(path).model for path in (find_checkpoint(child / "checkpoints"), best))
    assert all((ours[name] - theirs[name]).abs().max() < 1e-6 for name in ours)


def test_what_to_start_from_must_be_a_checkpoint_or_a_run(corpus, tmp_path, capfd):
    arguments = flags(data_dir=corpus, runs_dir=tmp_path / "runs", start_from=tmp_path)
    assert main(["train", "next_token", *arguments]) == 1
    assert "this is neither a checkpoint folder nor a run folder" in capfd.readouterr().err


def test_the_resolved_recipe_trains_the_same_run_again(trained, tmp_path, capfd):
    run, _ = trained()
    assert main(["train", str(run / "recipe.yaml"), "--runs-dir", str(tmp_path / "again")]) == 0
    again = only_run(tmp_path / "again")
    assert read_yaml(again / "recipe.yaml") == read_yaml(run / "recipe.yaml")
    assert (again / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def test_samples_are_shown_at_each_evaluation(trained):
    _, said = trained(sample_tokens=12, sample_prompt="@G ")
    assert said.err.count("@G ") == 2


def test_the_overview_names_recipes_and_objectives(capsys):
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*presets(), "next_token", "torchrun"))
    assert main(["train"]) == 2
