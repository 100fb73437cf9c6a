"""`clew loop GAME`: self-play, training, gate and evaluation on one machine, in one command that can be stopped and
called again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pydantic

from clew import recipes
from clew.cli import flags
from clew.cli.output import print_json
from clew.cli.runs.train import with_flags
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED
from clew.recipes import base
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.familiar import SELF_PLAY_LOOP
from clew.runs.progress import InterruptedRunError


class LoopOptions(flags.Options):
    """Self-play, training, gate and evaluation of a game on this machine. Ctrl-C and kill -9 lose nothing: the same
    command goes on where it was."""

    folder: Path = Path("data")
    """Folder of the database, the models, the statistics and the runs."""
    iterations: int = pydantic.Field(default=0, ge=0)
    """Iterations: each is self-play, `steps` of training, and the gate. 0: as the recipe says."""
    steps: int = pydantic.Field(default=0, ge=0)
    """Training steps of an iteration. 0: as the recipe says."""
    minutes: float = pydantic.Field(default=0.0, ge=0)
    """Stop after this long, over all calls, even if iterations are left. 0: no limit."""
    actors: int = pydantic.Field(default=0, ge=0)
    """Actor processes. 0: the machine's cores but one."""
    evaluation_games: int = pydantic.Field(default=100, ge=0)
    """Games against random play at the end."""
    start_anew: bool = False
    """Begin a new run even if the folder holds one to go on with; the database stays."""
    as_json: flags.Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew loop` for a game."""
    target, *rest = arguments
    recipe, options, given = _parse(target, rest)

    from clew.games.loop import Plan, check_unchanged, latest_model, loop
    from clew.games.rules import env_id_of

    plan = Plan(options.folder, options.minutes, options.actors, options.start_anew)
    if (run := plan.run_to_go_on_with()) is not None:
        check_unchanged(recipe, run, given)
    try:
        seconds = loop(recipe, plan)
    except InterruptedRunError as stopped:
        print(f"loop: {stopped}", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    model = latest_model(recipe)
    outcome: dict[str, Any] = {
        "env_id": env_id_of(recipe.data.env_id),
        "model": str(model),
        "seconds": round(seconds, 1),
    }
    if options.evaluation_games and model.is_file():
        from clew.games.evaluation import evaluate

        report = evaluate(model, env_id=recipe.data.env_id, db=recipe.data.db, games=options.evaluation_games)
        outcome["evaluation"] = report.values
        print(report.page, file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(outcome)
    return EXIT_DONE


def _parse(target: str, arguments: list[str]) -> tuple[AlphaZeroRecipe, LoopOptions, dict[str, str]]:
    """The recipe with its files in the loop's folder, the loop's own options, and what the user gave: key -> flag."""
    from clew.games.loop import iterations_given, recipe_for, settled

    loaded = recipe_for(target)
    parsed, options = with_flags(loaded, arguments, LoopOptions, program=f"clew loop {target}", familiar=SELF_PLAY_LOOP)
    assert isinstance(parsed, AlphaZeroRecipe)
    recipe = settled(parsed, options.folder, iterations=options.iterations, steps=options.steps)
    given = SELF_PLAY_LOOP.as_typed(
        flags.given(AlphaZeroRecipe, SELF_PLAY_LOOP.flags(arguments, loaded.training)), arguments
    )
    if target.endswith((".yaml", ".yml")):
        written = base.flattened(recipes.load(target).model_dump(exclude_unset=True))
        given = {key: f"{key} in {target}" for key in written} | given
    given |= iterations_given(options.iterations, options.steps)
    return recipe, options, given
