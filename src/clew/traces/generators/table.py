"""The table of generators. One is added with a line; its module is imported when it is asked for."""

from __future__ import annotations

from clew.core.errors import UsageError, nearest
from clew.core.named import named
from clew.traces.generators.base import Generator

GENERATORS: dict[str, str] = {
    "arithmetic": "clew.traces.generators.arithmetic:ARITHMETIC",
    "tictactoe": "clew.traces.generators.positions:TICTACTOE",
    "connect4": "clew.traces.generators.positions:CONNECT4",
    "rewriting": "clew.traces.generators.rewriting:REWRITING",
    "high_card_duel": "clew.traces.generators.high_card_duel:HIGH_CARD_DUEL",
}
"""Name -> "module:attribute" of its `Generator`."""


def find_generator(name: str) -> Generator:
    """The generator called `name`. Raises `UsageError` naming the nearest for an unknown one."""
    if name not in GENERATORS:
        raise UsageError(
            f"There is no generator '{name}'.{nearest(name, list(GENERATORS))} Known: {', '.join(GENERATORS)}."
        )
    found: Generator = named(GENERATORS[name])
    return found
