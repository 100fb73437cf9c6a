"""`clew actor`: plays against itself and writes the games into a replay database. Needs no torch."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from clew import recipes
from clew.cli.flags import Json, Options, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError
from clew.core.stopping import stop_requested
from clew.core.waiting import Pauses
from clew.recipes.alphazero import Actor, AlphaZeroRecipe

if TYPE_CHECKING:
    from clew.games.replay import Replay, Transition


class ActorOptions(Options):
    """Play games against oneself with the newest model, and write them into a replay database."""

    recipe: Path | None = None
    """A recipe of the objective alphazero: game, database, model, seed and how to play are as it says, where no flag
    beside it says otherwise."""
    env_id: str = "tictactoe"
    """The game: tictactoe, connect4, othello, or a file of your own, my_game.py."""
    db: str = "data/replay.db"
    """The database: path of an SQLite file, or a postgresql:// URL. Made when it is not there."""
    model: Path = Path("data/models/latest.onnx")
    """The model; loaded anew when the file changes. While there is none, moves are random."""
    episodes: int = pydantic.Field(default=0, ge=0)
    """Games after which the actor ends; 0: it goes on until it is stopped."""
    name: str = ""
    """Beginning of the ids of this actor's rows; by default GAME-HOST-PID, so that no two write the same."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the net; 0: all cores."""
    play: Actor = Actor()
    """How it plays."""
    seed: int = 42
    """All draws are functions of this, the actor's name and start, and the episode."""
    max_wait: float = pydantic.Field(default=300.0, ge=0)
    """Seconds that a finished game is kept while the database is full, locked or gone; then the actor gives up."""
    log_every: float = pydantic.Field(default=10.0, gt=0)
    """Seconds between lines of progress."""
    as_json: Json = False
    """Print the outcome as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew actor`."""
    options = _parse(arguments)

    from clew.bundle.policy_value import HotModel
    from clew.core.randomness import key
    from clew.games.replay import Replay
    from clew.games.rules import find_game
    from clew.games.self_play import SelfPlay

    game = find_game(options.env_id)
    name, began = options.name or f"{game.env_id}-{socket.gethostname()}-{os.getpid()}", int(time.time())
    how = options.play
    lanes = min(how.lanes, options.episodes) if options.episodes else how.lanes
    play = SelfPlay(
        game,
        how.model_copy(update={"lanes": lanes}),
        actor=name,
        began=began,
        seed=key(options.seed, name, began) % 2**63,
    )
    hot = HotModel(
        options.model,
        env_id=game.env_id,
        obs_size=game.obs_size,
        num_actions=game.num_actions,
        threads=options.threads,
    )
    plays_with = "no model yet: random moves"
    episodes, shown, since = 0, time.monotonic(), time.monotonic()
    with stop_requested() as stop, Replay.open(options.db, create=True) as replay:
        replay.upsert_metadata(game)
        while not stop.is_set() and not (options.episodes and episodes >= options.episodes):
            problem = hot.problem
            if hot.refresh():
                iteration = hot.model.iteration if hot.model else 0
                play.simulations = how.simulations_at(iteration)
                plays_with = f"model of iteration {iteration}, {play.simulations} simulations a move"
            elif hot.problem and hot.problem != problem:
                kept = "The model before it stays in service." if hot.model else "Moves are random until it is whole."
                _say(f"{name}: {hot.problem} {kept}")
            evaluate = hot.model.evaluate if hot.model else None
            for episode in play.step(evaluate, timestamp=int(time.time())):
                if options.episodes and episodes == options.episodes:
                    break
                _write(episode, replay, stop, options.max_wait)
                episodes += 1
            if time.monotonic() - shown >= options.log_every:
                shown = time.monotonic()
                _say(f"{name}: {episodes:,} games, {play.moves / (shown - since):,.0f} positions/s; {plays_with}")
    _say(f"{name}: {episodes:,} games written to the database")
    if options.as_json:
        seconds = time.monotonic() - since
        print_json({"episodes": episodes, "moves": play.moves, "seconds": round(seconds, 3)})
    return EXIT_INTERRUPTED if stop.is_set() else EXIT_DONE


def _parse(arguments: list[str]) -> ActorOptions:
    """The flags, laid over the recipe that they name."""
    options = parse(ActorOptions, arguments, program="clew actor")
    if options.recipe is None:
        return options
    recipe = recipes.load(str(options.recipe))
    if not isinstance(recipe, AlphaZeroRecipe):
        raise UsageError(
            f"{options.recipe} is a recipe of the objective {recipe.objective}: an actor takes one of alphazero."
        )
    told = ActorOptions(
        env_id=recipe.data.env_id,
        db=recipe.data.db,
        model=Path(recipe.outputs.model_dir) / "latest.onnx",
        seed=recipe.seed,
        play=recipe.actor,
    )
    return parse(ActorOptions, arguments, program="clew actor", default=told)


def _write(episode: list[Transition], replay: Replay, stop: threading.Event, patience: float) -> None:
    """Write one episode; while the database cannot take it for a reason that may pass, keep it and try again."""
    from clew.games.replay import ReplayUnavailableError

    pauses, told = Pauses(10.0, patience, first=0.5, sleep=stop.wait), False
    while True:
        try:
            replay.append(episode)
        except ReplayUnavailableError as error:
            if patience and not told:
                _say(f"{error} The game is kept; writing it is tried again for {patience:g} s (--max-wait).")
            told = True
            if stop.is_set() or not pauses.take():
                raise
        else:
            if told:
                _say(f"The database takes games again; {episode[0].episode_id} is written.")
            return


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
