"""Recipes that ship with Clew: a class for each objective, a YAML file for each thing that can be trained."""

from __future__ import annotations

import importlib
from pathlib import Path

from clew.core.errors import UsageError, nearest
from clew.recipes import base as recipe
from clew.recipes.base import Recipe

OBJECTIVES = {
    "next_token": "clew.recipes.next_token:NextTokenRecipe",
    "alphazero": "clew.recipes.alphazero:AlphaZeroRecipe",
}
"""Objective -> its recipe class. The objective itself is `clew.objectives.<objective>`."""


def presets() -> dict[str, Path]:
    """The YAML files that ship with Clew, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def recipe_class(objective: str) -> type[Recipe]:
    """The recipe class of an objective. Raises `UsageError` for an unknown one."""
    if objective not in OBJECTIVES:
        raise UsageError(
            f"There is no objective '{objective}'.{nearest(objective, list(OBJECTIVES))} "
            f"Known: {', '.join(OBJECTIVES)}."
        )
    module, _, name = OBJECTIVES[objective].partition(":")
    found: type[Recipe] = getattr(importlib.import_module(module), name)
    return found


def load(target: str) -> Recipe:
    """Load a recipe: the name of a shipped one, the path of a YAML file, or the name of an objective (its defaults).

    Raises `UsageError` naming what is unknown and the nearest that is known.
    """
    shipped = presets()
    if target in shipped or target.endswith((".yaml", ".yml")) or Path(target).is_file():
        path = shipped.get(target, Path(target))
        values = recipe.read_yaml(path)
        if "objective" not in values:
            raise UsageError(f"{path}: the key 'objective' is missing: one of {', '.join(OBJECTIVES)}.")
        return recipe.validate(recipe_class(str(values["objective"])), values, str(path))
    if target in OBJECTIVES:
        return recipe.validate(recipe_class(target), {}, target)
    known = [*shipped, *OBJECTIVES]
    raise UsageError(
        f"There is no recipe '{target}'.{nearest(target, known)} Shipped recipes: {', '.join(shipped)}. "
        "A recipe of your own is a path that ends in .yaml."
    )
