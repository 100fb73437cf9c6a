"""The loop of a game on one machine: self-play, training, gate and evaluation, in turns that can be broken off and
gone on with.

The actors and the learner are processes of their own (`clew actor`, `clew train`): they share the database and the
model files, and nothing else. This process starts them, watches them, and evaluates at the end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew import recipes
from clew.core import files
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED, ClewError, UsageError
from clew.core.supervisor import Child, Supervisor
from clew.databases import split_password
from clew.games.replay import Replay
from clew.games.rules import env_id_of, find_game, is_file
from clew.recipes import base
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.runs.folder import Run, list_runs
from clew.runs.progress import InterruptedRunError

STATE, RECIPE = "loop.json", "recipe.yaml"
_HEADING = "# Written by clew loop for its learner and its actors."
_OF_STEPS = ("training.checkpoint_every", "training.evaluate_every", "training.max_steps")


def _say(text: str) -> None:
    print(f"loop: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Plan:
    """Where a loop keeps its files, how long it goes on, and how many processes it starts."""

    folder: Path = Path("data")
    minutes: float = 0.0
    """Over all calls; 0: until the recipe's steps are taken."""
    actors: int = 0
    """0: the machine's cores but one."""
    start_anew: bool = False
    """Begin a new run even if the folder holds one to go on with; the database stays."""

    @property
    def runs(self) -> Path:
        """Folder of the learner's runs."""
        return self.folder / "runs"

    def run_to_go_on_with(self) -> Run | None:
        """The newest run of the folder, unless a new one is wanted."""
        found = [] if self.start_anew else list_runs(self.runs)
        return found[-1] if found else None


def recipe_for(target: str) -> AlphaZeroRecipe:
    """The recipe that `target` means: a preset, a YAML file, a game, or a file with a game of the user's own."""
    if target in recipes.presets() or target.endswith((".yaml", ".yml")):
        loaded = recipes.load(target)
        if not isinstance(loaded, AlphaZeroRecipe):
            raise UsageError(f"'{target}' is a recipe of {loaded.objective}, not of a game.")
        return loaded
    game = find_game(target)
    # A run that is resumed from another folder must find the file of its game.
    named = str(Path(target).resolve()) if is_file(target) else target
    return base.changed(AlphaZeroRecipe(), {"name": game.env_id, "data.env_id": named}, "clew loop")


def settled(recipe: AlphaZeroRecipe, folder: Path, *, iterations: int = 0, steps: int = 0) -> AlphaZeroRecipe:
    """`recipe` with its files in the loop's folder, where it names no others, and with its steps in iterations.

    `steps`: training steps of an iteration, `iterations` how many there are; 0: as the recipe says.
    """
    plain = AlphaZeroRecipe()
    each = steps or recipe.training.checkpoint_every
    changes: dict[str, Any] = {
        "training.max_steps": iterations * each if iterations else recipe.training.max_steps,
        "training.checkpoint_every": each,
        "training.evaluate_every": steps or recipe.training.evaluate_every,
    }
    for key, name in (("data.db", "replay.db"), ("outputs.model_dir", "models"), ("outputs.stats", "stats.json")):
        if base.at(recipe, key) == base.at(plain, key):
            changes[key] = str(folder / name)
    return base.changed(recipe, changes, "clew loop")


def iterations_given(iterations: int, steps: int) -> dict[str, str]:
    """Which keys of the recipe a number of iterations and of steps an iteration sets, and how the user calls them."""
    told = {"iterations": (iterations, ("training.max_steps",)), "steps": (steps, _OF_STEPS)}
    return {key: f"--{name} {value}: {key}" for name, (value, keys) in told.items() if value for key in keys}


def check_unchanged(recipe: AlphaZeroRecipe, run: Run, given: Mapping[str, str]) -> None:
    """Raise `UsageError` where what is `given` (dotted key -> how the user calls it) differs from the run's recipe."""
    begun = run.read_recipe(AlphaZeroRecipe)
    wanted = recipe.without_secrets()
    differing = [
        f"{called} is {base.at(wanted, key)}, and the run has {base.at(begun, key)}"
        for key, called in given.items()
        if base.at(wanted, key) != base.at(begun, key)
    ]
    if differing:
        raise UsageError(
            f"The run that would go on, {run.folder}, was begun with other settings: {'; '.join(differing)}. Leave "
            "that out to go on with the run as it is, or begin a new run with --start-anew (the database stays)."
        )


def loop(recipe: AlphaZeroRecipe, plan: Plan, *, say: Callable[[str], None] = _say) -> float:
    """Play, train and let nets challenge one another until the recipe's steps are taken or the time is up.

    Goes on with the newest run of the plan's folder, whose own recipe then counts. Returns the seconds over all calls.
    Raises `InterruptedRunError` when it was stopped by the user, `ClewError` when a process failed.
    """
    run = plan.run_to_go_on_with()
    before = _seconds_before(recipe, plan)
    if run is not None:
        begun = run.read_recipe(AlphaZeroRecipe)
        recipe = base.changed(begun, {"data.db": recipe.data.db}, str(run.folder))
    _check_recipe(plan)
    _make_database(recipe)
    actors = plan.actors or max(1, _cores() - 1)
    say(
        f"{env_id_of(recipe.data.env_id)}: {recipe.training.max_steps:,} steps in iterations of "
        f"{recipe.training.checkpoint_every:,}, {actors} actor{'s' if actors > 1 else ''} and a learner; "
        f"files in {plan.folder}"
    )
    _write_recipe(recipe, plan)
    began = time.monotonic()
    limit = plan.minutes * 60 - before if plan.minutes else None
    # Passwords go to the processes in their environment: a command line is for all to see.
    _, password = split_password(recipe.data.db)
    with Supervisor({"PGPASSWORD": password} if password else {}) as supervisor:
        learner = supervisor.start(Child("learner", _learner_command(plan, run), restarts=0))
        try:
            # Actors would fill the window with random games in the seconds before the first model is there.
            while learner.running and not files.is_file(latest_model(recipe)):
                time.sleep(0.1)
            for number in range(actors if learner.running else 0):
                supervisor.start(Child(f"actor {number}", _actor_command(plan, number), restarts=5))
            while learner.running:
                time.sleep(0.2)
                supervisor.look_after()
                if limit is not None and time.monotonic() - began > limit:
                    say("the time is up: the learner saves its last checkpoint")
                    learner.ask_to_end()
                    learner.wait()
        except KeyboardInterrupt:
            say("stopping: the learner saves a checkpoint, then all processes end")
            learner.ask_to_end()
            learner.wait()
            supervisor.end_all()
            raise InterruptedRunError(
                f"stopped; go on with the same command, in the same folder ({plan.folder})"
            ) from None
        finally:
            seconds = before + time.monotonic() - began
            state = {"env_id": env_id_of(recipe.data.env_id), "seconds": round(seconds, 1)}
            files.write_json(plan.folder / STATE, state)
        over = limit is not None and learner.code == EXIT_INTERRUPTED
    if learner.code not in (EXIT_DONE, None) and not over:
        if learner.code == EXIT_INTERRUPTED:
            raise InterruptedRunError("the learner was stopped; go on with the same command.")
        raise ClewError(
            f"The learner ended with exit code {learner.code}; what it said stands above. The database and the "
            "last checkpoint are whole: mend the cause and give the same command again."
        )
    return before + time.monotonic() - began


def _check_recipe(plan: Plan) -> None:
    """Raise `UsageError` where the folder holds a recipe that is not this loop's: a user's, which stays."""
    # Loops of before wrote no heading, but left their state beside the recipe.
    if not files.is_file(plan.folder / STATE):
        files.check_output(plan.folder / RECIPE, files.text_output("the recipe of a loop", _HEADING))


def _write_recipe(recipe: AlphaZeroRecipe, plan: Plan) -> None:
    files.write_text(plan.folder / RECIPE, f"{_HEADING}\n{base.to_yaml(recipe)}")


def latest_model(recipe: AlphaZeroRecipe) -> Path:
    """The model file that the actors load."""
    return Path(recipe.outputs.model_dir) / "latest.onnx"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


def _make_database(recipe: AlphaZeroRecipe) -> None:
    """Make the database and describe the game in it, so that the learner need not wait for an actor."""
    with Replay.open(recipe.data.db, create=True) as replay:
        replay.upsert_metadata(find_game(recipe.data.env_id))


def _learner_command(plan: Plan, run: Run | None) -> list[str]:
    what = ["train", str(plan.folder / RECIPE)] if run is None else ["resume", str(run.folder)]
    return [*what, "--runs-dir", str(plan.runs)]


def _actor_command(plan: Plan, number: int) -> list[str]:
    name = f"loop-{number}-{os.getpid()}"
    return ["actor", "--recipe", str(plan.folder / RECIPE), "--name", name, "--log-every", "60"]


def _seconds_before(recipe: AlphaZeroRecipe, plan: Plan) -> float:
    """Seconds that earlier calls took. Raises `UsageError` when the folder is another loop's."""
    path = plan.folder / STATE
    if plan.start_anew or not path.is_file():
        return 0.0
    state = files.read_json(path, what="the state of a loop")
    env_id = env_id_of(recipe.data.env_id)
    if not isinstance(state, dict) or state.get("env_id") != env_id:
        raise UsageError(f"{path} is of another loop than one of {env_id}. Name another --folder.")
    seconds = state.get("seconds", 0.0)
    return float(seconds) if isinstance(seconds, int | float) else 0.0
