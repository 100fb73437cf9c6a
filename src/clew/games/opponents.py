"""Games, models and players as command lines name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clew.core import files
from clew.core.errors import UsageError

if TYPE_CHECKING:
    from clew.bundle.policy_value import PolicyValueModel
    from clew.games.players import Player
    from clew.games.rules import Game, GameInfo
    from clew.games.search import SearchSettings

OPPONENTS = "random, perfect, mcts:N (N simulations a move without a net), or a model's file (PATH.onnx)"


def game_to_play(env_id: str, db: str | None = None) -> Game:
    """The rules of a game by its name or file; where the database `db` describes the game, its sizes must be theirs.

    A database that is not there is passed over. Raises `UsageError` for a game whose rules are not known here.
    """
    from clew.games.rules import GAMES, find_game, is_file, known_game

    named = find_game(env_id) if is_file(env_id) else known_game(env_id)
    asked = env_id if named is None else named.env_id
    described: dict[str, GameInfo] = {}
    name = ""
    if db is not None and exists(db):
        from clew.games.replay import Replay

        with Replay.open(db) as replay:
            described, name = replay.metadata(), replay.name
    if named is None and asked in described:
        raise UsageError(
            f"{name} describes the game '{env_id}', but its rules are not known here, so that it cannot be played. "
            f"Games with rules here: {', '.join(GAMES)}. Where they are in a file, name that: --env-id my_game.py."
        )
    game = named or find_game(env_id)
    if asked in described:
        found = described[asked]
        if (found.obs_size, found.num_actions) != (game.obs_size, game.num_actions):
            raise UsageError(
                f"{name} describes {asked} with observations of {found.obs_size} numbers and {found.num_actions} "
                f"actions, where its rules here have {game.obs_size} and {game.num_actions}: its rows are of another "
                "game. Name another database, or another --env-id."
            )
    return game


def exists(db: str) -> bool:
    """Whether there is such a database; of a server it is taken for granted."""
    from clew.games.replay import is_file

    return not is_file(db) or files.exists(Path(db.removeprefix("sqlite:///")))


def default_opening_plies(game: Game, *, perfect: bool = False) -> int:
    """Random moves that tell games of players without chance apart, and leave enough of a game to be played.

    `perfect`: the perfect player takes part.
    """
    return (perfect and game.solved_from) or game.opening_plies


def load_model(path: Path, game: Game, *, threads: int) -> PolicyValueModel:
    """The model in `path`. Raises `BundleError` where it is missing, broken, or of another game."""
    from clew.bundle.policy_value import PolicyValueModel

    model = PolicyValueModel(path, threads=threads)
    model.check_fits(game.env_id, obs_size=game.obs_size, num_actions=game.num_actions)
    return model


def model_player(
    path: Path,
    game: Game,
    *,
    simulations: int,
    settings: SearchSettings | None = None,
    temperature: float = 0.0,
    threads: int = 1,
    name: str | None = None,
) -> Player:
    """The model in `path` as a player: its policy alone, or with a search of `simulations` a move."""
    from clew.games.players import net_player

    return net_player(
        game,
        load_model(path, game, threads=threads).evaluate,
        simulations=simulations,
        settings=settings,
        temperature=temperature,
        name=name or player_name(path.name, simulations),
    )


def player_name(model: str, simulations: int) -> str:
    """What reports call a model that searches or does not."""
    return f"{model} with {simulations} simulations" if simulations else model


def opponent_named(
    text: str,
    game: Game,
    *,
    simulations: int,
    settings: SearchSettings | None = None,
    temperature: float = 0.0,
    threads: int = 1,
) -> Player:
    """The player that `text` names; a model plays as the evaluated one does. Raises `UsageError` or `BundleError`."""
    from clew.games.players import mcts_player, perfect_player, random_player

    if text == "random":
        return random_player(game)
    if text == "perfect":
        return perfect_player(game)
    kind, _, number = text.partition(":")
    if kind == "mcts":
        if not number.isdecimal() or int(number) < 1:
            raise UsageError(f"'{text}' does not say how many simulations: write mcts:200, say.")
        return mcts_player(game, int(number))
    if text.endswith(".onnx"):
        return model_player(
            Path(text), game, simulations=simulations, settings=settings, temperature=temperature, threads=threads
        )
    raise UsageError(f"There is no opponent '{text}'. Opponents: {OPPONENTS}.")
