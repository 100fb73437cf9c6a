"""What a learner does beside the loop: waits for rows, takes them in, cleans up, publishes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from clew.core.errors import EXIT_USAGE, ClewError
from clew.core.waiting import Pauses
from clew.games.replay import Replay, ReplayUnavailableError, find_info, open_replay, without_password
from clew.games.rules import GameInfo
from clew.objectives.alphazero.feed import ReplayFeed
from clew.objectives.alphazero.gate import Champion
from clew.objectives.alphazero.publishing import LearnerFiles
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.training.devices import Placement
from clew.training.fit import Evaluation, Progress


class GaveUpWaitingError(ClewError):
    """The database did not come to hold what training needs within the time that the recipe gives it."""

    exit_code = EXIT_USAGE


def wait_for_game(recipe: AlphaZeroRecipe) -> GameInfo:
    """Wait until the database is there, and read what it says of the game. Raises `GaveUpWaitingError` in the end."""
    data = recipe.data
    pause = Pauses(data.wait_interval, data.max_wait)
    while True:
        try:
            with open_replay(data.db) as replay:
                return find_info(replay, data.env_id)
        except ReplayUnavailableError as error:
            if not pause.take():
                raise GaveUpWaitingError(f"{error} It was waited for {data.max_wait:g} s (--max-wait).") from error


class Learner:
    """What a learner does beside the loop: waits for rows, takes them in, cleans up, publishes."""

    def __init__(
        self,
        recipe: AlphaZeroRecipe,
        info: GameInfo,
        feed: ReplayFeed,
        champion: Champion,
        *,
        publish: Callable[[LearnerFiles, Progress], None],
        replay: Replay | None,
        files: LearnerFiles | None,
        placement: Placement,
    ) -> None:
        self._recipe, self._info, self._feed, self._champion = recipe, info, feed, champion
        self._publish, self._replay, self._files, self._placement = publish, replay, files, placement
        self._pause = Pauses(recipe.data.wait_interval, recipe.data.max_wait)
        self._away = False
        # The leader's, since it may have looked anew before another process reads what earlier lives have left.
        self._lived_to = placement.share(feed.lived_to)

    def ready(self, step: int) -> bool:
        """Whether there are rows enough for `step`; the leader looks, and all do as it says."""
        feed, data = self._feed, self._recipe.data
        if step < self._lived_to or (step == self._lived_to and self._enough(step)):
            return True
        changed, enough = False, False
        if self._replay is not None:
            if step % data.refresh_every == 0 or not self._enough(step):
                changed = self._take_in(step)
            enough = self._enough(step)
        changed, enough = self._placement.share((changed, enough))
        if changed:
            self._pause.reset()
            if self._replay is None:
                feed.follow()
        if enough:
            self._pause.reset()
            return True
        if not self._pause.take():
            mark = feed.at(step)
            broken = mark.broken if mark else 0
            told = f" {broken:,} rows are broken: `clew replay check` names them." if broken else ""
            raise GaveUpWaitingError(
                f"No new row of {self._info.env_id} came to {without_password(data.db)} within "
                f"{data.max_wait:g} s, and {feed.training.last:,} rows are too few for step {step + 1}.{told} Are "
                "the actors running? `clew resume` goes on from the last checkpoint."
            )
        return False

    def began(self, progress: Progress) -> None:
        """Bring the files that other programs read to where the run stands."""
        if self._files:
            self._files.began(progress)
            if not self._files.latest.is_file():
                # The net as it begins: actors that search with it make better rows than random play.
                self._publish(self._files, progress)

    def logged(self, row: dict[str, Any], progress: Progress) -> None:
        """Keep statistics, and delete rows that no window reaches any more."""
        recipe = self._recipe
        if self._files:
            self._files.logged(row, progress, rows=self._feed.training.last)
        every = recipe.data.replay_cleanup_interval
        if every and recipe.data.replay_window and progress.step % every == 0 and self._replay is not None:
            self._replay.delete_older(self._info.env_id, recipe.data.replay_window)

    def evaluated(self, evaluation: Evaluation, progress: Progress) -> None:
        """Add the games of an evaluation to the statistics."""
        if self._files:
            self._files.evaluated(self._champion.last_record, progress)

    def saved(self, progress: Progress, *, regular: bool) -> None:
        """Publish the net of a checkpoint, and the champion where it changed."""
        if self._files and regular:
            self._publish(self._files, progress)

    def _take_in(self, step: int) -> bool:
        """Take in new rows; a database that is away for a while is told of once, and training goes on."""
        try:
            changed = self._feed.take_in(step)
        except ReplayUnavailableError as error:
            if not self._away:
                self._say(f"{error} Training goes on with the rows at hand.")
            self._away = True
            return False
        if self._away:
            self._say(f"{without_password(self._recipe.data.db)} is there again.")
        self._away = False
        for fault in self._feed.faults:
            self._say(fault)
        return changed

    def _say(self, text: str) -> None:
        if self._recipe.outputs.log_level in ("DEBUG", "INFO", "WARNING"):
            print(text, file=sys.stderr, flush=True)

    def _enough(self, step: int) -> bool:
        recipe = self._recipe
        mark, batch, limit = self._feed.at(step), recipe.training.batch_size, recipe.data.max_reuse
        if mark is None or mark.training < batch:
            return False
        iteration = step // recipe.training.checkpoint_every + 1
        return mark.episodes >= recipe.data.episodes * iteration and (
            limit == 0 or (step + 1) * batch <= limit * mark.training
        )
