"""The preference recipe: the playbook's keys, recognised without an objective, every one with its effect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clew import recipes
from clew.cli.main import main
from clew.core.errors import UsageError
from clew.recipes.preference import PreferenceRecipe

OURS = Path(__file__).parents[2] / "recipes" / "preference.yaml"
CONTRACT = {
    "seed": 9876,
    "training": {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.01,
        "beta": 0.1,
        "checkpoint_dir": "data/processed/checkpoints/preference",
    },
}


def test_the_recipe_in_the_repository_has_the_contracts_keys_and_values():
    assert yaml.safe_load(OURS.read_text()) == CONTRACT


def test_every_key_of_it_takes_effect(tmp_path):
    recipe = recipes.load(str(OURS))
    assert isinstance(recipe, PreferenceRecipe)
    assert (recipe.seed, recipe.beta, recipe.loss) == (9876, 0.1, "dpo")
    training = recipe.training
    assert (training.max_epochs, training.batch_size, training.learning_rate) == (2, 8, 0.01)
    assert recipe.reporting.checkpoint_dir == "data/processed/checkpoints/preference"
    values = {"seed": 7, "training": {**CONTRACT["training"], "beta": 0.5, "epochs": 3}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(values))
    own = recipes.load(str(tmp_path / "own.yaml"))
    assert (own.seed, own.beta, own.training.max_epochs) == (7, 0.5, 3)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"training": {**CONTRACT["training"], "bta": 1}}))
    with pytest.raises(UsageError, match=r"unknown key 'training.bta'. Did you mean 'beta'\?"):
        recipes.load(str(tmp_path / "own.yaml"))


def test_a_kept_likelihood_is_off_until_asked_for_and_no_matter_of_a_reward_model():
    assert PreferenceRecipe().rpo_alpha == 0
    with pytest.raises(ValueError, match="rpo_alpha means nothing"):
        PreferenceRecipe(loss="reward", rpo_alpha=1.0)


def test_it_runs_as_it_stands_and_says_what_came_of_it(tmp_path, monkeypatch, capfd):
    """Made smaller by flags; what is learnt is measured by the benchmark and told in the docs."""
    monkeypatch.chdir(tmp_path)
    small = ["--pairs", "64", "--epochs", "1", "--threads", "1", "--compile", "no"]
    assert main(["train", str(OURS), *small]) == 0
    out, err = capfd.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert summary["epochs"] == 1
    assert summary["mean_loss"] > 0
    assert 0 <= summary["mean_accuracy"] <= 1
    assert 0 <= summary["held_out"]["validation_accuracy"] <= 1
    assert summary["checkpoint"].startswith("data/processed/checkpoints/preference/")
    state = json.loads((Path(summary["checkpoint"]) / "state.json").read_text())
    assert state["objective"]["reference_sha256"]
    assert (Path(summary["checkpoint"]) / "optimizer.safetensors").is_file()
    kept = yaml.safe_load((Path(summary["run"]) / "recipe.yaml").read_text())
    assert (kept["beta"], kept["data"]["pairs"]) == (0.1, 64)
    for line in err.splitlines():
        assert isinstance(json.loads(line), dict), "stderr is read by programs"
