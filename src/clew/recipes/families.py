"""The table of families. A family is added with one line; nowhere else stands a list of them.

A family's parts are named "module:attribute" and imported when they are asked for, so that `clew --help`, an actor or
a host loads nothing that it does not use. An installed package adds a family by an entry point of the group
`clew.families` that names a `Family`.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import Any

from clew.core.errors import UsageError, nearest
from clew.core.named import named

ENTRY_POINTS = "clew.families"


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a family gives the house; what is empty, it does not have."""

    objective: str
    """What "better" means; the key of the table, and the recipe's field of that name."""
    recipe: str
    """Its `Recipe` class."""
    prepare: str
    """`prepare(recipe) -> Prepared`: reads and checks the evidence. No torch, no side effect."""
    make: str
    """`make(prepared, folder, placement) -> Objective`: the objective of the run in `folder`."""
    model: str = ""
    """What its checkpoints call the model that they hold, where that is not the objective."""
    place: str = ""
    """The recipe's key that says where the evidence lies, such as "data.db"."""
    exporter: str = ""
    """`export(source, folder, format) -> manifest`: a checkpoint becomes a verified bundle in `folder`."""
    evaluator: str = ""
    """`evaluate(bundle, **settings) -> report`: what the bundle is worth on held-out evidence."""
    evaluates: tuple[str, str, str] | None = None
    """Its `clew evaluate NAME`: the name, what runs it, a line of help. None: `clew evaluate OBJECTIVE BUNDLE`."""
    loop: str = ""
    """`main(arguments) -> int` of `clew loop` for its recipes."""
    loops_over: str = ""
    """What a target of `clew loop` that is no recipe may name instead (a game)."""
    familiar: str = ""
    """Flags and keys of earlier tools, a `clew.recipes.familiar.Familiar`."""
    summary: str = "clew.runs.summary:of_last_epoch"
    """`summary(run, progress, recipe) -> figures`: what a recipe that reports by program prints in the end."""
    begin: str = ""
    """`begin(run, recipe, say)`: before the first step, such as an evaluation of what training begins with."""
    finish: str = ""
    """`finish(run, recipe, say)`: after the last step, such as an export and an evaluation. Both run again in a run
    that was killed in them, and find what is done already."""

    def part(self, name: str) -> Any:
        """Import the part called `name`. Raises `UsageError` for one that the family does not have."""
        spelled: str = getattr(self, name)
        if not spelled:
            raise UsageError(f"The objective {self.objective} has no {name}.")
        return named(spelled)


_SHIPPED = (
    Family(
        objective="next_token",
        recipe="clew.recipes.next_token:NextTokenRecipe",
        prepare="clew.proofs.evidence:prepare",
        make="clew.objectives.next_token:NextToken",
        model="gpt",
        place="data.data_dir",
        exporter="clew.export.publish:export_gpt",
        evaluator="clew.proofs.evaluation.report:evaluate",
        evaluates=(
            "proofs",
            "clew.cli.proofs.evaluate",
            "bits per byte, next lines found, and what guidance is worth to the prover",
        ),
    ),
    Family(
        objective="alphazero",
        recipe="clew.recipes.alphazero:AlphaZeroRecipe",
        prepare="clew.games.evidence:prepare",
        make="clew.objectives.alphazero:AlphaZero",
        model="policy_value",
        place="data.db",
        exporter="clew.export.policy_value:export_policy_value",
        evaluator="clew.games.evaluation:evaluate",
        evaluates=(
            "games",
            "clew.cli.games.evaluate",
            "games against random, perfect or searching players, or another model",
        ),
        loop="clew.cli.games.loop:main",
        loops_over="game",
        familiar="clew.recipes.familiar:SELF_PLAY",
    ),
    Family(
        objective="chat",
        recipe="clew.recipes.chat:ChatRecipe",
        prepare="clew.traces.evidence:prepare",
        make="clew.objectives.chat:make",
        model="gpt",
        place="data.path",
        exporter="clew.export.chat:export_chat",
        evaluates=("traces", "clew.cli.traces.evaluate", "answers to an eval set, judged: any model that chats"),
        loop="clew.cli.traces.loop:main",
        familiar="clew.recipes.chat:SFT",
        begin="clew.export.chat_run:begin",
        finish="clew.export.chat_run:finish",
    ),
    Family(
        objective="imitation",
        recipe="clew.recipes.imitation:ImitationRecipe",
        prepare="clew.programs.evidence:prepare",
        make="clew.objectives.imitation:make",
        model="guide",
        place="data.path",
        exporter="clew.export.guide:export_guide",
        evaluator="clew.programs.evaluation:evaluate",
        evaluates=("programs", "clew.cli.programs.evaluate", "how much shorter the search for programs gets"),
        loop="clew.cli.programs.loop:main",
        familiar="clew.recipes.imitation:PLAYBOOK",
    ),
    Family(
        objective="ppo",
        recipe="clew.recipes.ppo:PPORecipe",
        prepare="clew.environments.evidence:prepare",
        make="clew.objectives.ppo:make",
        model="guide",
        place="data.path",
        exporter="clew.export.guide:export_guide",
        evaluator="clew.environments.evaluation:evaluate",
        evaluates=("ppo", "clew.cli.environments.evaluate", "episodes of a policy in its environment"),
        familiar="clew.recipes.ppo:PLAYBOOK",
    ),
    Family(
        objective="preference",
        recipe="clew.recipes.preference:PreferenceRecipe",
        prepare="clew.traces.preferences.evidence:prepare",
        make="clew.objectives.preference:make",
        model="gpt",
        place="data.path",
        exporter="clew.export.preference:export_preference",
        familiar="clew.recipes.preference:PLAYBOOK",
    ),
)

FAMILIES: dict[str, Family] = {family.objective: family for family in _SHIPPED}
"""Objective -> its family: those that ship with Clew. `known` adds those of installed packages."""


@cache
def _installed() -> dict[str, Family]:
    found = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        family = point.load()
        if not isinstance(family, Family):
            raise UsageError(f"The entry point {point.value} of the group {ENTRY_POINTS} names no clew Family.")
        found[family.objective] = family
    return found


def known() -> dict[str, Family]:
    """Every family, by its objective."""
    return {**_installed(), **FAMILIES}


def find_family(objective: str) -> Family:
    """The family of an objective. Raises `UsageError` naming the nearest for an unknown one."""
    families = known()
    if objective not in families:
        raise UsageError(
            f"There is no objective '{objective}'.{nearest(objective, list(families))} Known: {', '.join(families)}."
        )
    return families[objective]
