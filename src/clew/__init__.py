"""Clew trains the small models that guide a search and ships each one as a verified ONNX bundle.

    import clew

    run = clew.train("tactics", data_dir="data/proofs")
    folder, manifest = clew.export(run.folder)
    for each in clew.suggest(folder, "@G\\n    a * b = b * a\\n@P\\n"):
        print(each.text, each.probability)

Every name is imported when it is first used: `import clew` itself loads nothing. What a command does is one call here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Game",
    "Replay",
    "Search",
    "evaluate",
    "export",
    "load_bundle",
    "load_recipe",
    "loop",
    "play",
    "resume",
    "runs",
    "suggest",
    "synthesize",
    "train",
]

if TYPE_CHECKING:
    from clew import runs
    from clew.api import evaluate, load_recipe, loop, resume, train
    from clew.bundle.load import load_bundle
    from clew.bundle.suggest import suggest
    from clew.export import export
    from clew.games.game import Game
    from clew.games.replay.store import Replay
    from clew.games.search import Search
    from clew.games.table import play
    from clew.programs.synthesis import synthesize

_PLACES = {
    "Game": "clew.games.game:Game",
    "Replay": "clew.games.replay:Replay",
    "Search": "clew.games.search:Search",
    "evaluate": "clew.api:evaluate",
    "load_bundle": "clew.bundle.load:load_bundle",
    "load_recipe": "clew.api:load_recipe",
    "loop": "clew.api:loop",
    "play": "clew.games.table:play",
    "resume": "clew.api:resume",
    "suggest": "clew.bundle.suggest:suggest",
    "synthesize": "clew.programs.synthesis:synthesize",
    "train": "clew.api:train",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in ("export", "runs"):  # packages: the first can be called, the second holds what it lists
        return importlib.import_module(f"clew.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'clew' has no attribute '{name}'")
    from clew.core.named import named

    return named(_PLACES[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
