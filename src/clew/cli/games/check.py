"""`clew games`: what there is to do with a game itself. `clew games check my_game.py`: does it keep to the protocol?"""

from __future__ import annotations

from dataclasses import asdict

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED

COMMANDS: Commands = {
    "check": ("clew.cli.games.check:check", "play random games of a game of your own and find what breaks its rules"),
}


class CheckOptions(Options):
    """Play random games of a game of your own, and find what breaks the rules of the protocol."""

    game: Positional[str]
    """The file of the game, my_game.py; or the name of one that ships or is installed."""
    games: int = pydantic.Field(default=50, ge=1)
    """Random games to play."""
    seed: int = 0
    """All draws are functions of this."""
    as_json: Json = False
    """Print the findings as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew games`."""
    return dispatch(COMMANDS, arguments, program="clew games", about="Games of your own.")


def check(arguments: list[str]) -> int:
    """Run `clew games check`: exit code 1 where something was found."""
    options = parse(CheckOptions, arguments, program="clew games check")

    from clew.games.checking import examine
    from clew.games.rules import find_game

    checked = examine(find_game(options.game), games=options.games, seed=options.seed)
    for finding in checked.findings:
        print(f"{finding.kind}: {finding.sentence}")
    said = f"{len(checked.findings)} findings" if checked.findings else "nothing wrong"
    print(f"{checked.game.display_name}: {said} in {checked.positions:,} positions of {checked.games} random games.")
    if options.as_json:
        print_json(
            {
                "env_id": checked.game.env_id,
                "games": checked.games,
                "positions": checked.positions,
                "findings": [asdict(finding) for finding in checked.findings],
            }
        )
    return EXIT_FAILED if checked.findings else EXIT_DONE
