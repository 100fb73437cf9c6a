"""PPO objectives of the small recipe, without a run folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from clew.cli.runs.train import parse
from clew.environments.evidence import prepare
from clew.objectives.ppo import PPO, make
from clew.recipes.ppo import PPORecipe
from clew.training.devices import Placement
from clew.training.optimizers import Optimizer
from clew.training.step import Step
from small_policies import flags

CPU = Placement(torch.device("cpu"), torch.float32)


def recipe(**changed: Any) -> PPORecipe:
    """The small recipe with `changed` laid over it."""
    found, _ = parse("ppo", flags(**changed))
    assert isinstance(found, PPORecipe)
    return found


def objective(**changed: Any) -> PPO:
    """The objective of the small recipe with `changed` laid over it."""
    return make(prepare(recipe(**changed)), Path(), CPU)


def take(made: PPO, count: int, first: int = 0) -> tuple[Optimizer, list[Step]]:
    """Take `count` optimiser steps from the step `first` on, and give the weights back."""
    optimizer, steps = Optimizer(made.model, made.recipe.training, made.trainable()), made.own_steps()
    steps.begin(optimizer)
    done = [steps.take(optimizer, step, 1.0, logs=True, stop=threading.Event()) for step in range(first, first + count)]
    steps.give_back(optimizer)
    return optimizer, done
