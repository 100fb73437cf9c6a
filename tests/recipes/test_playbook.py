"""Recipes of the training playbook: recognised without an objective, read with all keys, refused in sentences."""

from pathlib import Path

import pytest
import yaml

from clew import recipes
from clew.core.errors import UsageError
from clew.recipes.familiar import PREFERENCE_MARKS, RL_MARKS, SUPERVISED_MARKS, Playbook
from clew.recipes.imitation import PLAYBOOK, ImitationRecipe

ROOT = Path(__file__).parents[2]
SUPERVISED = ROOT / "recipes" / "supervised.yaml"
CONTRACT = {
    "seed": 1337,
    "model": {"input_dim": 32, "hidden_dim": 64, "action_dim": 8},
    "dataset": {"num_samples": 64},
    "training": {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.01,
        "checkpoint_dir": "data/processed/checkpoints/supervised",
        "log_interval": 1,
    },
}
RL = {
    "seed": 2468,
    "dataset": {"num_trajectories": 4, "trajectory_length": 6},
    "training": {"epochs": 2, "batch_size": 8, "minibatch_size": 8, "gae_lambda": 0.95, "clip_coef": 0.2},
}
PREFERENCE = {"seed": 9876, "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "beta": 0.1}}


def written(folder, values):
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_recipe_in_the_repository_has_the_contracts_keys_and_values():
    assert yaml.safe_load(SUPERVISED.read_text()) == CONTRACT


def test_every_key_of_it_takes_effect():
    recipe = recipes.load(str(SUPERVISED))
    assert isinstance(recipe, ImitationRecipe)
    assert recipe.seed == 1337
    assert (recipe.model.input_dim, recipe.model.hidden_dim, recipe.model.action_dim) == (32, 64, 8)
    assert recipe.data.demonstrations == 64
    training = recipe.training
    assert (training.max_epochs, training.batch_size, training.learning_rate, training.log_every) == (2, 8, 0.01, 1)
    assert recipe.reporting.checkpoint_dir == "data/processed/checkpoints/supervised"
    assert recipe.reporting.structured


def test_the_three_kinds_are_told_apart_by_their_marks():
    kinds = (SUPERVISED_MARKS, RL_MARKS, PREFERENCE_MARKS)
    for values, own in ((CONTRACT, SUPERVISED_MARKS), (RL, RL_MARKS), (PREFERENCE, PREFERENCE_MARKS)):
        found = [
            Playbook({}, marks=marks, foreign=frozenset().union(*kinds) - marks).recognises(values) for marks in kinds
        ]
        assert found == [marks is own for marks in kinds]


def test_a_model_section_does_not_make_a_reinforcement_recipe_supervised():
    assert not PLAYBOOK.recognises({**RL, "model": CONTRACT["model"]})


def test_what_has_no_mark_is_asked_for_its_objective(tmp_path):
    with pytest.raises(UsageError, match="the key 'objective' is missing: one of"):
        recipes.load(written(tmp_path, {"seed": 1, "training": {"epochs": 2}}))


@pytest.mark.parametrize(
    ("section", "key", "said"),
    [
        ("training", "epoch", r"unknown key 'training.epoch'. Did you mean 'epochs'\?"),
        ("training", "learning_rte", r"unknown key 'training.learning_rte'. Did you mean 'learning_rate'\?"),
        ("dataset", "num_sample", r"unknown key 'dataset.num_sample'. Did you mean 'num_samples'\?"),
        ("model", "hiden_dim", r"unknown key 'model.hiden_dim'. Did you mean 'hidden_dim'\?"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path, section, key, said):
    values = {**CONTRACT, section: {**CONTRACT[section], key: 1}}
    with pytest.raises(UsageError, match=said):
        recipes.load(written(tmp_path, values))


def test_two_keys_that_mean_the_same_are_an_error(tmp_path):
    values = {**CONTRACT, "training": {**CONTRACT["training"], "max_epochs": 3}}
    with pytest.raises(UsageError, match="mean the same; give one of them"):
        recipes.load(written(tmp_path, values))


def test_own_keys_may_stand_among_familiar_ones(tmp_path):
    values = {**CONTRACT, "data": {"held_out_fraction": 0.5}, "weights": {"guard": 0.0}}
    recipe = recipes.load(written(tmp_path, values))
    assert recipe.data.held_out_fraction == 0.5
    assert recipe.data.demonstrations == 64
    assert recipe.weights.guard == 0.0


def test_familiar_flags_override_the_file():
    from clew.cli.runs.train import parse

    recipe, _ = parse(str(SUPERVISED), ["--epochs", "5", "--num-samples", "32", "--checkpoint-dir", "elsewhere"])
    assert recipe.training.max_epochs == 5
    assert recipe.data.demonstrations == 32
    assert recipe.reporting.checkpoint_dir == "elsewhere"


def test_a_section_that_is_no_mapping_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="'training'"):
        recipes.load(written(tmp_path, {**CONTRACT, "training": 3}))
