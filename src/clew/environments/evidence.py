"""Environments as evidence: made once, looked at, and described, before a run folder is made for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gymnasium import Env

from clew.core import files
from clew.core.errors import UsageError
from clew.core.evidence import Evidence
from clew.environments import making
from clew.environments.probing import deterministic
from clew.environments.spaces import Actions, Observations
from clew.environments.trajectories import Steps, read_trajectories
from clew.environments.vector import Environments
from clew.recipes.ppo import PPORecipe


def prepare(recipe: PPORecipe) -> PreparedEnvironments:
    """Make one environment, look at its spaces, and see whether it can be rebuilt. Raises `ClewError`."""
    settings = recipe.environment
    making.registered(settings.id)

    def make() -> Env[Any, Any]:
        return making.make(settings)

    probe = Environments(make, 1, seed=recipe.seed, purpose="probe")
    try:
        probe.reset()
        actions, observations, name = probe.actions, probe.layout, probe.name
        about = dict(getattr(probe.unwrapped, "about", {}))
        _check_sizes(recipe, observations.size, actions.outputs, name)
        probe.state()  # one that gives a state that is no JSON is told now, not at the first checkpoint
        way = probe.way if probe.way == "state" or deterministic(make, seed=recipe.seed) else "none"
        masked = probe.masks is not None
    finally:
        probe.close()
    path = Path(recipe.data.path) if recipe.data.path else None
    steps = read_trajectories(path, observations.size, actions) if path else None
    return PreparedEnvironments(recipe, make, name, actions, observations, about, way, masked, steps)


@dataclasses.dataclass(frozen=True)
class PreparedEnvironments:
    """An environment that can be made, with what it takes and gives, or trajectories of it."""

    recipe: PPORecipe
    make: Callable[[], Env[Any, Any]]
    name: str
    actions: Actions
    observations: Observations
    about: dict[str, Any]
    """What the environment says of its observations and actions (`about`), for a bundle's hosts; JSON."""
    way: str
    """How a resumed run rebuilds the environments: "state", "replay", or "none"."""
    masked: bool
    steps: Steps | None
    """Stored trajectories, where the recipe names them."""

    @property
    def evidence(self) -> Evidence:
        """The environment by its name and spaces; or the file of trajectories."""
        if self.steps is not None:
            path = Path(self.recipe.data.path)
            return Evidence("trajectories", files.printable(path), files.sha256_of_file(path), key=self.name)
        settings = self.recipe.environment
        told = {
            "id": settings.id,
            "kwargs": settings.arguments,
            "observations": self.observations.size,
            "actions": self.actions.as_json(),
        }
        return Evidence("environment", settings.id, files.sha256_of(files.canonical_json(told)), key=self.name)

    def describe(self) -> Sequence[str]:
        """Spaces, count, and how a resumed run rebuilds the environments."""
        kind = self.actions.kind.replace("_", "-")
        sizes = "x".join(map(str, self.actions.sizes))
        masks = ", masked" if self.masked else ""
        line = f"{self.name}: observations of {self.observations.size} numbers, {kind} actions ({sizes}{masks})"
        if self.steps is not None:
            ends = int(self.steps.ends.sum())
            return [line, f"{self.recipe.data.path}: {len(self.steps):,} steps of {ends:,} trajectories"]
        ways = {
            "state": "a resumed run takes their states back",
            "replay": "a resumed run replays their episodes, to the same bits",
            "none": "they are not deterministic given their seed, so a resumed run begins new episodes and is not the "
            "same bit for bit",
        }
        return [line, f"{self.recipe.environment.count} environments in this process; {ways[self.way]}"]

    def keep(self, folder: Path) -> None:
        """Nothing: the recipe says it all."""


def _check_sizes(recipe: PPORecipe, size: int, outputs: int, name: str) -> None:
    for field, wanted, there in (
        ("input_dim", recipe.net.input_dim, size),
        ("action_dim", recipe.net.action_dim, outputs),
    ):
        if wanted and wanted != there:
            what = "observations" if field == "input_dim" else "actions"
            raise UsageError(
                f"net.{field} is {wanted}, but {what} of {name} are {there} numbers: leave net.{field} out, or name "
                "another environment."
            )
