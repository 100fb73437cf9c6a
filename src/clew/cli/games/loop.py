"""`clew loop ENV`: self-play, training, gate and evaluation on one machine, in one command that can be stopped and
called again.

The actors and the learner are processes of their own (`clew actor`, `clew train`): they share the database and the
model files, and nothing else. This process starts them, watches them, and evaluates at the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pydantic

from clew import recipes
from clew.cli import flags
from clew.core import files
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED, ClewError, UsageError
from clew.core.supervisor import Child, Supervisor
from clew.recipes import base as recipe_module
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.familiar import translated_for_loop
from clew.runs.folder import list_runs
from clew.runs.metrics import print_json

STATE = "loop.json"
_HELP = """usage: clew loop GAME [--folder data] [--minutes 60] [--field value ...]

Self-play, training, gate and evaluation of a game on this machine. Ctrl-C and kill -9 lose nothing: the same command
goes on where it was.

games: tictactoe, connect4, othello; or the path of a recipe of the objective alphazero.

`clew loop GAME --help` lists all flags."""


class LoopOptions(flags.Options):
    """Where the loop keeps its files, how long it goes on, and how many processes it starts."""

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
    """Run `clew loop`."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(_HELP)
        return EXIT_DONE
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("clew loop needs a game: clew loop tictactoe. `clew loop tictactoe --help` lists the flags.")
    env_id, *rest = arguments
    recipe, options = _parse(env_id, rest)
    return _Loop(recipe, options).run()


def _parse(env_id: str, arguments: list[str]) -> tuple[AlphaZeroRecipe, LoopOptions]:
    """The recipe of the game with flags laid over it, its files in the loop's folder, and the loop's own options."""
    known = recipes.presets()
    loaded = recipes.load(env_id if env_id in known or env_id.endswith((".yaml", ".yml")) else "alphazero")
    if not isinstance(loaded, AlphaZeroRecipe):
        raise UsageError(
            f"'{env_id}' is no game: `clew loop` takes tictactoe, connect4, othello or a recipe of alphazero."
        )
    if loaded.name == "alphazero":
        from clew.games.rules import find_game

        loaded = _changed(loaded, name=find_game(env_id).env_id, data={"env_id": env_id})
    create: Any = pydantic.create_model
    kind = create("Loop", __base__=LoopOptions, recipe=(AlphaZeroRecipe, loaded), __doc__=__doc__)
    training = loaded.training
    translated = translated_for_loop(arguments, peak=training.learning_rate, lowest=training.min_learning_rate)
    parsed: Any = flags.parse(kind, translated, program=f"clew loop {env_id}", default=kind(recipe=loaded))
    recipe: AlphaZeroRecipe = parsed.recipe
    steps = parsed.steps or recipe.training.checkpoint_every
    gate = parsed.steps or recipe.training.evaluate_every
    total = parsed.iterations * steps if parsed.iterations else recipe.training.max_steps
    defaults, folder = AlphaZeroRecipe(), parsed.folder
    files_of_loop = {
        "db": recipe.data.db if recipe.data.db != defaults.data.db else str(folder / "replay.db"),
        "model_dir": _unless(recipe.outputs.model_dir, defaults.outputs.model_dir, folder / "models"),
        "stats": _unless(recipe.outputs.stats, defaults.outputs.stats, folder / "stats.json"),
    }
    recipe = _changed(
        recipe,
        training={"max_steps": total, "checkpoint_every": steps, "evaluate_every": gate},
        data={"db": files_of_loop["db"]},
        outputs={"model_dir": files_of_loop["model_dir"], "stats": files_of_loop["stats"]},
    )
    return recipe, parsed


def _unless(value: str, default: str, otherwise: Path) -> str:
    return value if value != default else str(otherwise)


def _changed(recipe: AlphaZeroRecipe, **changes: Any) -> AlphaZeroRecipe:
    values = recipe.model_dump()
    for name, change in changes.items():
        values[name] = values[name] | change if isinstance(change, dict) else change
    return recipe_module.validate(AlphaZeroRecipe, values, "clew loop")


class _Loop:
    def __init__(self, recipe: AlphaZeroRecipe, options: LoopOptions) -> None:
        self._recipe, self._options = recipe, options
        self._runs = options.folder / "runs"
        self._state_path = options.folder / STATE
        self._seconds_before = 0.0
        self._run: str | None = None

    def run(self) -> int:
        options, recipe = self._options, self._recipe
        self._read_state()
        self._make_database()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
        actors = options.actors or max(1, cores - 1)
        _say(
            f"{recipe.data.env_id}: {recipe.training.max_steps:,} steps in iterations of "
            f"{recipe.training.checkpoint_every:,}, {actors} actor{'s' if actors > 1 else ''} and a learner; "
            f"files in {options.folder}"
        )
        began = time.monotonic()
        limit = options.minutes * 60 - self._seconds_before if options.minutes else None
        with Supervisor() as supervisor:
            learner = supervisor.start(Child("learner", self._learner_command(), restarts=0))
            try:
                # Actors would fill the window with random games in the seconds before the first model is there.
                while learner.running and not self._model.is_file():
                    time.sleep(0.1)
                for number in range(actors if learner.running else 0):
                    supervisor.start(Child(f"actor {number}", self._actor_command(number), restarts=5))
                while learner.running:
                    time.sleep(0.2)
                    supervisor.look_after()
                    if limit is not None and time.monotonic() - began > limit:
                        _say("the time is up: the learner saves its last checkpoint")
                        learner.ask_to_end()
                        learner.wait()
            except KeyboardInterrupt:
                _say("stopping: the learner saves a checkpoint, then all processes end")
                learner.ask_to_end()
                learner.wait()
                supervisor.end_all()
                self._write_state(began)
                _say(f"stopped; go on with the same command, in the same folder ({options.folder})")
                return EXIT_INTERRUPTED
            finally:
                self._write_state(began)
            over = limit is not None and learner.code == EXIT_INTERRUPTED
        if learner.code not in (EXIT_DONE, None) and not over:
            if learner.code == EXIT_INTERRUPTED:
                return EXIT_INTERRUPTED
            raise ClewError(
                f"The learner ended with exit code {learner.code}; what it said stands above. The database and the "
                "last checkpoint are whole: mend the cause and give the same command again."
            )
        return self._evaluate(time.monotonic() - began)

    @property
    def _model(self) -> Path:
        return Path(self._recipe.outputs.model_dir) / "latest.onnx"

    def _make_database(self) -> None:
        """Make the database and describe the game in it, so that the learner need not wait for an actor."""
        from clew.games.replay import open_replay
        from clew.games.rules import find_game

        game = find_game(self._recipe.data.env_id)
        with open_replay(self._recipe.data.db, create=True) as replay:
            replay.upsert_metadata(game)

    def _actor_command(self, number: int) -> list[str]:
        recipe = self._recipe
        command = ["actor", "--env-id", recipe.data.env_id, "--db", recipe.data.db, "--seed", str(recipe.seed)]
        command += ["--model", str(self._model), "--log-every", "60"]
        command += ["--name", f"loop-{number}-{os.getpid()}"]
        for name, value in recipe.actor.model_dump().items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                command.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                command += [f"--{flag}", str(value)]
        return command

    def _learner_command(self) -> list[str]:
        if self._run is None:
            newest = list_runs(self._runs)
            self._run = str(newest[-1].folder) if newest and not self._options.start_anew else None
        if self._run is not None:
            return ["resume", self._run, "--runs-dir", str(self._runs)]
        path = self._options.folder / "recipe.yaml"
        files.write_text(path, recipe_module.to_yaml(self._recipe))
        return ["train", str(path), "--runs-dir", str(self._runs)]

    def _read_state(self) -> None:
        if self._options.start_anew or not self._state_path.is_file():
            return
        state = files.read_json(self._state_path, what="the state of a loop")
        if not isinstance(state, dict) or state.get("env_id") != self._recipe.data.env_id:
            raise UsageError(
                f"{self._state_path} is of another loop than one of {self._recipe.data.env_id}. Name another --folder."
            )
        self._seconds_before = float(state.get("seconds", 0.0))

    def _write_state(self, began: float) -> None:
        seconds = self._seconds_before + time.monotonic() - began
        files.write_json(self._state_path, {"env_id": self._recipe.data.env_id, "seconds": round(seconds, 1)})

    def _evaluate(self, seconds: float) -> int:
        """Play the last model against random play, and against the truth where it is known."""
        from clew.cli.games import evaluate as evaluate_games

        model = self._model
        outcome: dict[str, Any] = {
            "env_id": self._recipe.data.env_id,
            "model": str(model),
            "seconds": round(self._seconds_before + seconds, 1),
        }
        if self._options.evaluation_games and model.is_file():
            where = ["--model", str(model), "--db", self._recipe.data.db, "--env-id", self._recipe.data.env_id]
            evaluate_games.main([*where, "--games", str(self._options.evaluation_games)])
        if self._options.as_json:
            print_json(outcome)
        return EXIT_DONE


def _say(text: str) -> None:
    print(f"loop: {text}", file=sys.stderr, flush=True)
