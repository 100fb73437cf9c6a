"""A game of one's own in a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from clew.core.errors import UsageError
from clew.games.game import Game

NAME = "GAME"
"""What a module calls its game, where it has more than one."""

_modules: dict[tuple[Path, int], ModuleType] = {}


def load_file(path: Path) -> Game:
    """The game in a Python file; a file that did not change is run once.

    Raises `UsageError` with file and line for one that is missing, fails, or holds no game.
    """
    try:
        changed = path.stat().st_mtime_ns
        resolved = path.resolve(strict=True)
    except OSError as error:
        raise UsageError(f"There is no file {path} with a game ({error.strerror}).") from error
    if (resolved, changed) not in _modules:
        _modules[resolved, changed] = _run(path, resolved)
    return game_in(_modules[resolved, changed], str(path))


def game_in(module: Any, where: str) -> Game:
    """The game of a module: `GAME`, or the only `Game` in it. Raises `UsageError`."""
    named = getattr(module, NAME, None)
    if isinstance(named, Game):
        return named
    found = list({id(value): value for value in vars(module).values() if isinstance(value, Game)}.values())
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{where} holds {len(found)} games: call the one that is meant {NAME}.")
    raise UsageError(f'{where} holds no game: write {NAME} = Game("my_game", width, height, legal, play) in it.')


def _run(path: Path, resolved: Path) -> ModuleType:
    name = f"clew_game_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # As Python does for a script: what lies beside the file can be imported by it.
    sys.path.insert(0, str(resolved.parent))
    try:
        spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"{path}:{_line(error, resolved)}: {type(error).__name__}: {_told(error)}.") from error
    finally:
        sys.path.remove(str(resolved.parent))
    return module


def _line(error: BaseException, path: Path) -> int:
    """The line of `path` where it failed."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return (lines or [1])[-1] or 1


def _told(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split())[:300].rstrip(".") or "no message"
