"""`clew loop RECIPE`: the loop of the recipe's family."""

from __future__ import annotations

from clew import recipes
from clew.core.errors import EXIT_DONE, UsageError
from clew.recipes.families import Family, find_family, known

_HELP = """usage: clew loop RECIPE [--folder data] [--minutes 60] [--field value ...]

The loop of the recipe's family: evidence is made with the model, the model learns from it, and again. Of a game that is
self-play, training, gate and evaluation; of traces generate, train, evaluate, report and gate, then rounds on the
model's own answers; of programs demonstrate, imitate, evaluate, then rounds on what the model solves. Ctrl-C and
kill -9 lose nothing: the same command goes on where it was.

RECIPE: tictactoe, connect4, othello, arithmetic, synthesis; the path of a recipe (YAML); or of a file with a game of
your own (my_game.py).

`clew loop RECIPE --help` lists all flags."""


def main(arguments: list[str]) -> int:
    """Run `clew loop`."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(_HELP)
        return EXIT_DONE
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("clew loop needs a recipe: clew loop tictactoe. `clew loop tictactoe --help` lists the flags.")
    code: int = _family(arguments[0]).part("loop")(arguments)
    return code


def _family(target: str) -> Family:
    """The family of the recipe that `target` names; of a target that is no recipe, the one whose loop takes such."""
    if target in recipes.presets() or target.endswith((".yaml", ".yml")):
        return find_family(recipes.load(target).objective)
    return next(family for family in known().values() if family.loops_over)
