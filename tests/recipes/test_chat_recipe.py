"""The recipe of fine-tuning: keys and flags of fine-tuning scripts as they stand, and mistakes in them."""

from __future__ import annotations

import pytest

from clew import recipes
from clew.cli.runs.train import parse
from clew.core.errors import UsageError
from clew.recipes.base import Training
from clew.recipes.chat import ChatRecipe
from clew.training.schedules import factor

THEIRS = """
model: {name: base, max_length: 256}
training:
  num_steps: 7
  learning_rate: 2.0e-5
  per_device_batch_size: 4
  gradient_accumulation_steps: 2
  optimizer: adamw
  weight_decay: 0.02
  lr_scheduler: linear
  warmup_steps: 3
  logging_steps: 2
  save_steps: 4
  seed: 7
system_instruction: Think.
data: {format: tunix_sft, shuffle: true, shuffle_seed: 5}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "theirs.yaml").write_text(THEIRS)
    return tmp_path / "theirs.yaml"


def expected():
    return ChatRecipe.model_validate(
        {
            "seed": 7,
            "system_instruction": "Think.",
            "model": {"base_model": "base", "max_length": 256},
            "training": {
                "max_steps": 7, "learning_rate": 2e-5, "batch_size": 8, "accumulation": 2, "weight_decay": 0.02,
                "schedule": "linear", "warmup_steps": 3, "log_every": 2, "checkpoint_every": 4,
            },
            "data": {"format": "tunix_sft", "shuffle_seed": 5},
        }
    )  # fmt: skip


def test_a_recipe_of_a_fine_tuning_script_is_read_as_it_stands(path):
    assert recipes.load(str(path)) == expected()


def test_it_is_laid_over_the_shipped_one_and_flags_over_both(path, tmp_path):
    recipe, options = parse("sft", ["--config", str(path), "--data", "f.jsonl", "--output", str(tmp_path / "run")])
    assert recipe.data.path == "f.jsonl"
    assert options.output == tmp_path / "run"
    assert recipe.model_copy(update={"data": expected().data}) == expected()
    flags = ["--num-steps", "9", "--save-steps=3", "--per-device-batch-size", "3", "--model", "folder"]
    recipe, _ = parse("sft", [f"--config={path}", *flags, "--max-samples", "12", "--system-instruction", "Be quick."])
    assert (recipe.training.max_steps, recipe.training.checkpoint_every) == (9, 3)
    # --config was not read when the flags were: the rows of a device times the parts of the recipe.
    assert (recipe.training.batch_size, recipe.training.accumulation) == (6, 2)
    assert (recipe.model.base_model, recipe.data.max_samples) == ("folder", 12)
    assert recipe.system_instruction == "Be quick."


def test_the_shipped_recipe_has_the_defaults_of_the_contract():
    shipped = recipes.load("sft")
    assert shipped == ChatRecipe()
    plan = shipped.training
    assert (plan.max_steps, plan.learning_rate, plan.batch_size, plan.accumulation) == (50, 1e-5, 1, 1)
    assert (plan.optimizer, plan.weight_decay, plan.schedule, plan.warmup_steps) == ("adamw", 0.01, "linear", 5)
    assert (plan.log_every, plan.checkpoint_every, shipped.seed, shipped.model.max_length) == (10, 50, 42, 512)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("num_steps: 7 -> num_stepz: 7", "unknown key 'training.num_stepz'. Did you mean 'num_steps'"),
        ("max_length: 256 -> max_lenght: 256", "unknown key 'model.max_lenght'. Did you mean 'max_length'"),
        ("num_steps: 7 -> max_steps: 3\n  num_steps: 7", "'num_steps' and 'max_steps' mean the same"),
        ("per_device_batch_size: 4 -> per_device_batch_size: 0", "a whole number of at least 1"),
        ("per_device_batch_size: 4 -> batch_size: 4", "stands twice"),
        ("lr_scheduler: linear -> lr_scheduler: cubic", "'training.schedule' is 'cubic'"),
        ("format: tunix_sft -> format: csv", "'data.format' is 'csv'"),
        ("seed: 7 -> seed: true", "a number is due"),
    ],
)
def test_a_mistake_in_it_is_told(tmp_path, changed, told):
    before, after = changed.split(" -> ")
    (tmp_path / "theirs.yaml").write_text(THEIRS.replace(before, after))
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        recipes.load(str(tmp_path / "theirs.yaml"))


def test_a_recipe_of_nothing_known_still_says_that_the_objective_is_missing(tmp_path):
    (tmp_path / "none.yaml").write_text("name: x\n")
    with pytest.raises(UsageError, match="the key 'objective' is missing"):
        recipes.load(str(tmp_path / "none.yaml"))


def test_a_recipe_of_another_objective_is_not_laid_over(tmp_path):
    (tmp_path / "other.yaml").write_text("objective: next_token\n")
    with pytest.raises(UsageError, match="a recipe of next_token, which cannot be laid over one of chat"):
        parse("sft", ["--config", str(tmp_path / "other.yaml")])


def test_the_linear_schedule_is_that_of_transformers():
    from torch import nn, optim
    from transformers import get_linear_schedule_with_warmup

    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, 5, 50)
    ours = Training(schedule="linear", warmup_steps=5, min_learning_rate=0.0)
    for step in range(50):
        optimizer.step()
        # Theirs takes its first step at a rate of 0 and reaches the peak one step later.
        expected = theirs.get_last_lr()[0] if step >= 5 else (step + 1) / 5
        assert factor(ours, step, 50) == pytest.approx(expected)
        theirs.step()
