"""The recipe of PPO: every key of it and of the playbook is used, and what does not fit is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clew import recipes
from clew.cli.main import main
from clew.core.errors import UsageError
from clew.recipes.ppo import PPORecipe
from small_policies import CORRIDOR, flags
from small_runs import metrics, only_run

PLAYBOOK = Path(__file__).parents[2] / "recipes" / "rl.yaml"


def changed(tmp_path: Path, **keys: object) -> Path:
    """The playbook's recipe with other values at dotted keys."""
    values = yaml.safe_load(PLAYBOOK.read_text())
    for dotted, value in keys.items():
        section, key = dotted.split("__")
        values.setdefault(section, {})[key] = value
    path = tmp_path / "rl.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_playbook_s_keys_are_the_contract_s_and_mean_something(tmp_path):
    recipe = recipes.load(str(PLAYBOOK))
    assert isinstance(recipe, PPORecipe)
    assert recipe.seed == 2468
    assert (recipe.environment.count, recipe.rollout.rollout_steps) == (4, 6)
    assert (recipe.training.max_epochs, recipe.training.batch_size, recipe.ppo.advantage_rows) == (2, 8, 8)
    assert (recipe.rollout.gamma, recipe.rollout.gae_lambda) == (0.99, 0.95)
    assert (recipe.ppo.clip_coef, recipe.ppo.value_coef, recipe.ppo.entropy_coef) == (0.2, 0.5, 0.01)
    assert recipe.training.learning_rate == 0.005
    assert recipe.reporting.checkpoint_dir == "data/processed/checkpoints/rl"
    smaller = recipes.load(str(changed(tmp_path, training__minibatch_size=4)))
    assert isinstance(smaller, PPORecipe)
    assert (smaller.training.batch_size, smaller.ppo.advantage_rows) == (4, 8)


def test_the_playbook_s_recipe_runs_and_reports_itself_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(PLAYBOOK), "--device", "cpu", "--threads", "1"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["epochs"] == 2
    assert summary["steps"] == 6
    assert Path(summary["checkpoint"]).parents[1].parent == Path("data/processed/checkpoints/rl")
    assert {json.loads(line)["event"] for line in said.err.splitlines()} >= {"note", "step", "evaluation"}
    run = only_run(tmp_path / "data/processed/checkpoints/rl")
    first = metrics(run)[0]
    assert first["clip_fraction"] == 0.0
    assert first["environment_steps"] == 24
    model = json.loads((Path(summary["checkpoint"]) / "state.json").read_text())["model"]
    assert (model["input_dim"], model["hidden"], model["action_dim"]) == (32, [64], 8)
    before = {path.name: path.read_bytes() for path in Path(summary["checkpoint"]).glob("*.safetensors")}
    assert main(["train", str(PLAYBOOK), "--device", "cpu", "--threads", "1", "--runs-dir", "again"]) == 0
    again = next(Path("again").glob("*/checkpoints/step_00000006"))
    assert {path.name: path.read_bytes() for path in again.glob("*.safetensors")} == before, "the seed is honoured"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--batch-size", "65"], "a rollout of 4 environments and 16 steps has 64 rows"),
        (["--advantage-rows", "24"], "ppo.advantage_rows is 24: a multiple of the batch size 16"),
        (["--kwargs", "[1]"], "a JSON object is due"),
        (["--id", "CartPole-v99"], "There is no environment CartPole-v99"),
        (["--id", "no_such_module:Thing-v0"], "the module no_such_module, which cannot be imported"),
        (["--kwargs", '{"wheels": 4}'], "could not be made with"),
        (["--input-dim", "5"], "net.input_dim is 5, but observations of CartPole-v1 are 4 numbers"),
        (["--action-dim", "3"], "net.action_dim is 3, but actions of CartPole-v1 are 2 numbers"),
        (["--fused", "yes", "--layer-norm"], "training.fused is yes, but"),
        (["--target-kl", "0.1", "--accumulation", "2"], "ppo.target_kl looks at whole minibatches"),
        (["--id", CORRIDOR, "--kwargs", '{"actions": "text"}'], "for which there is no policy"),
        (["--id", CORRIDOR, "--kwargs", '{"fault": "raises"}'], "the floor gave way"),
        (["--id", CORRIDOR, "--kwargs", '{"fault": "nan"}'], "gave NaN or infinity as its reward"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ppo", *flags(max_steps=16), *given]) in (1, 2)
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert "Traceback" not in error
    assert "bug" not in error


def test_a_key_of_the_playbook_that_is_none_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"unknown key 'training.clip_coeff'. Did you mean 'clip_coef'"):
        recipes.load(str(changed(tmp_path, training__clip_coeff=0.1)))
    with pytest.raises(UsageError, match="mean the same"):
        recipes.load(str(changed(tmp_path, ppo__advantage_rows=8)))


def test_presets_say_what_they_train():
    assert recipes.load("cartpole").environment.id == "CartPole-v1"
    assert recipes.load("pendulum").environment.id == "Pendulum-v1"
    guide = recipes.load("guide").model
    assert recipes.load("synthesis_ppo").net.hidden == (guide.hidden_dim,) * guide.layers
