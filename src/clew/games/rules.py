"""Which games there are: those that ship, those of installed packages, and files of one's own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from clew.core import files
from clew.core.errors import UsageError, nearest
from clew.games.connect4 import CONNECT_FOUR
from clew.games.game import Game
from clew.games.othello import OTHELLO
from clew.games.own_file import game_in, load_file
from clew.games.states import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, GameInfo, States
from clew.games.tictactoe import TICTACTOE

__all__ = [
    "DRAW",
    "ENTRY_POINTS",
    "FIRST_WINS",
    "GAMES",
    "ONGOING",
    "SECOND_WINS",
    "Game",
    "GameInfo",
    "States",
    "env_id_of",
    "find_game",
    "known_game",
]

ENTRY_POINTS = "clew.games"
"""Group of the entry points by which an installed package names its games: each a `Game`, or a module with one."""

GAMES: dict[str, Game] = {game.env_id: game for game in (TICTACTOE, CONNECT_FOUR, OTHELLO)}
"""The games that ship, by env_id."""

Game.solved = tuple(name for name, game in GAMES.items() if game.solver_named is not None)

_loaded: dict[str, Game] = {}
"""Games of files and packages that this process has met, by env_id: rows and models name a game so."""


def find_game(name: str) -> Game:
    """The game called `name`: a shipped one, one of an installed package, or one in a file (`my_game.py`, a path).

    Raises `UsageError` naming the nearest for an unknown one, or what is wrong with the file.
    """
    found = known_game(name)
    if found is not None:
        return found
    file = f" Its file is named with its ending: {name}.py." if files.is_file(Path(f"{name}.py")) else ""
    known = [*GAMES, *_installed()]
    raise UsageError(
        f"There is no game '{name}'.{file or nearest(name, known)} Games with rules here: {', '.join(known)}; or a "
        "file of your own, my_game.py."
    )


def known_game(name: str) -> Game | None:
    """`find_game`, or None where the rules of a game of this name are not here.

    Raises `UsageError` for a file that is named and holds no game.
    """
    if name in GAMES:
        return GAMES[name]
    if is_file(name):
        return _remembered(load_file(Path(name)))
    if name in _loaded:
        return _loaded[name]
    for point in _installed_as(name):
        try:
            found = point.load()
        except Exception as error:
            raise UsageError(
                f"The game '{name}' of an installed package ({point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}."
            ) from error
        return _remembered(found if isinstance(found, Game) else game_in(found, point.value))
    return None


def is_file(name: str) -> bool:
    """Whether `name` means a file with a game in it."""
    return name.endswith(".py")


def env_id_of(name: str) -> str:
    """What rows and models call the game that is named: its own name where `name` is a file, else `name` itself."""
    return find_game(name).env_id if is_file(name) else name


def _remembered(game: Game) -> Game:
    if game.env_id in GAMES:
        raise UsageError(f"The game '{game.env_id}' ships with Clew: give yours another name.")
    _loaded[game.env_id] = game
    return game


def _installed() -> list[str]:
    return [point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]


def _installed_as(name: str) -> Iterable[importlib.metadata.EntryPoint]:
    return importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
