"""Recipes: a class for each objective, a YAML file for each thing that can be trained, and the table of families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import UsageError, nearest
from clew.recipes import base
from clew.recipes.base import Recipe
from clew.recipes.families import find_family, known


def presets() -> dict[str, Path]:
    """The YAML files that ship with Clew, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def recipe_class(objective: str) -> type[Recipe]:
    """The recipe class of an objective. Raises `UsageError` for an unknown one."""
    found: type[Recipe] = find_family(objective).part("recipe")
    return found


def load(target: str) -> Recipe:
    """Load a recipe: the name of a shipped one, the path of a YAML file, or the name of an objective (its defaults).

    Raises `UsageError` naming what is unknown and the nearest that is known.
    """
    shipped = presets()
    if target in shipped or target.endswith((".yaml", ".yml")) or files.is_file(Path(target)):
        path = shipped.get(target, Path(target))
        values = base.read_yaml(path)
        if "objective" not in values:
            values = _recognised(values, path)
        return read(values, str(path))
    if target in known():
        return base.validate(recipe_class(target), {}, target)
    names = [*shipped, *known()]
    raise UsageError(
        f"There is no recipe '{target}'.{nearest(target, names)} Shipped recipes: {', '.join(shipped)}. "
        "A recipe of your own is a path that ends in .yaml."
    )


def laid_over(recipe: Recipe, path: Path) -> Recipe:
    """`recipe` with what the YAML file at `path` sets. Raises `UsageError`, also for a recipe of another objective."""
    values = base.read_yaml(path)
    objective = values.get("objective", recipe.objective)
    if objective != recipe.objective:
        raise UsageError(f"{path} is a recipe of {objective}, which cannot be laid over one of {recipe.objective}.")
    found = read({**values, "objective": objective}, str(path))
    return base.changed(recipe, _set(found), str(path))


def _set(section: base.Section, prefix: str = "") -> dict[str, Any]:
    """What was set in a section, and is no default: value by dotted key."""
    found: dict[str, Any] = {}
    for name in section.model_fields_set:
        value = getattr(section, name)
        if isinstance(value, base.Section):
            found |= _set(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _recognised(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The recipe of an earlier tool, which names no objective, with its objective and all that it means.

    Raises `UsageError` for a recipe of none.
    """
    for name, family in known().items():
        if family.familiar and family.part("familiar").recognises(values):
            return {"objective": name, **family.part("familiar").completed(values, str(path))}
    raise UsageError(f"{path}: the key 'objective' is missing: one of {', '.join(known())}.")


def read(values: dict[str, Any], where: str) -> Recipe:
    """Make the recipe that plain `values` describe; `where` names them in an error.

    A key may stand in its section, or at the top where only one section has it; the keys of the earlier tools of
    the family are read as their flags are. Raises `UsageError`.
    """
    family = find_family(str(values["objective"]))
    kind: type[Recipe] = family.part("recipe")
    if family.familiar:
        values = family.part("familiar").nested(values, where)
    flat = {name: value for name, value in values.items() if name not in kind.model_fields}
    if not flat:
        return base.validate(kind, values, where)
    if family.familiar:
        flat = family.part("familiar").keys(flat, base.validate(kind, {}, where).training)
    settled = {name: value for name, value in values.items() if name in kind.model_fields}
    places = base.places(kind)
    for name, value in flat.items():
        section, _, field = places.get(name, name).rpartition(".")
        if not section:
            settled[name] = value  # unknown: the check names the nearest key
            continue
        within = settled.get(section, {})
        if not isinstance(within, dict) or field in within:
            raise UsageError(f"{where}: '{name}' stands twice: at the top, and as '{section}.{field}'.")
        settled[section] = {**within, field: value}
    return base.validate(kind, settled, where)
