"""Games: rules, search, self-play, replay, arena, solvers. The host and the evidence of policy/value nets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clew.core.compiled import forget_stale_code

if TYPE_CHECKING:
    from clew.games.checking import Finding as Finding
    from clew.games.checking import check as check
    from clew.games.game import Game as Game
    from clew.games.rules import find_game as find_game

__all__ = ["Finding", "Game", "check", "find_game"]

_WHERE = {"Finding": "checking", "Game": "game", "check": "checking", "find_game": "rules"}

forget_stale_code(Path(__file__).parent)


def __getattr__(name: str) -> Any:
    # The rules take numba with them, which who only reads a database can do without.
    if name not in _WHERE:
        raise AttributeError(f"module 'clew.games' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"clew.games.{_WHERE[name]}"), name)
