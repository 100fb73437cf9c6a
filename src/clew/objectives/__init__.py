"""Objectives: what "better" means. One file each: model, batches, loss, evaluation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from clew.recipes.base import Recipe
from clew.runs.folder import Evidence
from clew.training.devices import Placement
from clew.training.fit import Objective


class Prepared(Protocol):
    """Evidence that was read and found good, before a run folder is made for it."""

    evidence: Evidence

    def describe(self) -> list[str]:
        """Lines for the user: how much there is, how it was split, what leaks."""

    def keep(self, folder: Path) -> None:
        """Write into a new run folder what the run must keep (a tokenizer)."""

    def objective(self, folder: Path, placement: Placement) -> Objective:
        """Make the objective of the run in `folder`."""


def prepare(recipe: Recipe) -> Prepared:
    """Read and check the evidence that `recipe` names. Raises `ClewError` before anything is written."""
    module: Any = importlib.import_module(f"clew.objectives.{recipe.objective}")
    read: Callable[[Recipe], Prepared] = module.prepare
    return read(recipe)
