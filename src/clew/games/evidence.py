"""A replay database as evidence: the game that it describes, while its rows are still being written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from clew.core import files
from clew.core.errors import EXIT_USAGE, ClewError
from clew.core.evidence import Evidence
from clew.core.waiting import Pauses
from clew.games.replay import Replay, ReplayUnavailableError, without_password
from clew.games.rules import GameInfo
from clew.games.symmetry import symmetries
from clew.recipes.alphazero import AlphaZeroRecipe

TO_CLEAR = "replay-to-clear"
"""In the folder of a run that is to begin with new rows alone, until the old ones are deleted."""


STATISTICS = files.json_output("the statistics of a self-play run", "step", "total_steps")
"""What a page polls; a recipe says where it is written."""


class GaveUpWaitingError(ClewError):
    """The database did not come to hold what training needs within the time that the recipe gives it."""

    exit_code = EXIT_USAGE


def prepare(recipe: AlphaZeroRecipe) -> PreparedReplay:
    """Wait for the database and read what it says of the game. Raises `ClewError`, exit code 2 after `max_wait`."""
    files.check_output(Path(recipe.outputs.stats), STATISTICS)
    info = _wait_for_game(recipe)
    symmetries(info, recipe.targets.symmetry)  # a choice that the game does not allow is told before a run is made
    return PreparedReplay(recipe, info)


@dataclasses.dataclass(frozen=True)
class PreparedReplay:
    """A database that is there, and the game that it describes."""

    recipe: AlphaZeroRecipe
    info: GameInfo

    @property
    def evidence(self) -> Evidence:
        """Kind and place of the database; the fingerprint is the game's, since rows are still being written."""
        described = {field.name: getattr(self.info, field.name) for field in dataclasses.fields(GameInfo)}
        return Evidence(
            kind="replay",
            path=without_password(self.recipe.data.db),
            sha256=files.sha256_of(files.canonical_json(described)),
        )

    def describe(self) -> list[str]:
        """What there is to train on so far."""
        with Replay.open(self.recipe.data.db) as replay:
            rows = replay.count(self.info.env_id)
        return [f"{without_password(self.recipe.data.db)}: {rows:,} rows of {self.info.display_name}"]

    def keep(self, folder: Path) -> None:
        """Note that the game's rows are to be deleted, where the recipe says so: not before the run is there."""
        if self.recipe.data.clear_replay:
            files.write_text(folder / TO_CLEAR, "The old rows are deleted when training begins.\n")


def _wait_for_game(recipe: AlphaZeroRecipe) -> GameInfo:
    """Wait until the database is there, and read what it says of the game. Raises `GaveUpWaitingError` in the end."""
    data = recipe.data
    pause = Pauses(data.wait_interval, data.max_wait)
    while True:
        try:
            with Replay.open(data.db) as replay:
                return replay.info(data.env_id)
        except ReplayUnavailableError as error:
            if not pause.take():
                raise GaveUpWaitingError(f"{error} It was waited for {data.max_wait:g} s (--max-wait).") from error
