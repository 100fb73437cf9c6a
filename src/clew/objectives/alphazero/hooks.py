"""What a learner does beside the loop: waits for rows and takes them in, lets nets play for the champion's place, and
publishes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core import files
from clew.core.waiting import Pauses
from clew.games.evidence import TO_CLEAR, GaveUpWaitingError
from clew.games.replay import Replay, ReplayUnavailableError, without_password
from clew.games.rules import GameInfo
from clew.models.policy_value import PolicyValueNet
from clew.objectives.alphazero.feed import ReplayFeed
from clew.objectives.alphazero.gate import Champion
from clew.objectives.alphazero.publishing import LearnerFiles
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.runs.progress import Evaluation, Progress
from clew.training.devices import Placement
from clew.training.objective import Hook

Observations = Callable[[], NDArray[np.float32]]


class TakingIn(Hook):
    """Waits for rows, takes them in, and deletes those that no window reaches any more."""

    def __init__(
        self,
        recipe: AlphaZeroRecipe,
        info: GameInfo,
        feed: ReplayFeed,
        *,
        replay: Replay | None,
        folder: Path,
        placement: Placement,
    ) -> None:
        self._recipe, self._info, self._feed = recipe, info, feed
        self._replay, self._to_clear, self._placement = replay, folder / TO_CLEAR, placement
        self._pause = Pauses(recipe.data.wait_interval, recipe.data.max_wait)
        self._away = False
        # The leader's, since it may have looked anew before another process reads what earlier lives have left.
        self._lived_to = placement.share(feed.lived_to)

    def on_begin(self, progress: Progress) -> None:
        """Clear the game's rows where the recipe says so: once, when the run begins."""
        if self._replay is not None and self._to_clear.is_file():
            self._replay.clear(self._info.env_id)
            self._to_clear.unlink()

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

    def on_log(self, row: Mapping[str, Any], progress: Progress) -> None:
        """Delete rows that no window reaches any more."""
        data = self._recipe.data
        every = data.replay_cleanup_interval
        if every and data.replay_window and progress.step % every == 0 and self._replay is not None:
            self._replay.delete_older(self._info.env_id, data.replay_window)

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


class Gate(Hook):
    """At each evaluation the net plays the champion, and takes its place where it is better."""

    name = "champion"

    def __init__(self, champion: Champion, net: PolicyValueNet, observations: Observations, placement: Placement):
        self._champion, self._net, self._observations = champion, net, observations
        self._placement = placement

    def evaluate(self, progress: Progress) -> Mapping[str, float]:
        """The figures of the games."""
        return self._champion.challenge(self._net, progress.step, self._observations, self._placement)

    def state(self) -> dict[str, Any]:
        """Who is champion, and the games so far."""
        return self._champion.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._champion.restore(dict(state))


class Publishing(Hook):
    """Writes the files that other programs read, in the leading process."""

    def __init__(
        self,
        files: LearnerFiles,
        champion: Champion,
        net: PolicyValueNet,
        observations: Observations,
        feed: ReplayFeed,
    ) -> None:
        self._files, self._champion, self._net, self._observations = files, champion, net, observations
        self._feed = feed

    def on_begin(self, progress: Progress) -> None:
        """Bring the files to where the run stands."""
        self._files.began(progress, self._champion.records)
        if not files.is_file(self._files.latest):
            # The net as it begins: actors that search with it make better rows than random play.
            self._publish(progress)

    def on_log(self, row: Mapping[str, Any], progress: Progress) -> None:
        """Keep statistics."""
        self._files.logged(dict(row), progress, rows=self._feed.training.last)

    def on_evaluation(self, evaluation: Evaluation, progress: Progress) -> None:
        """Add the games of an evaluation to the statistics."""
        self._files.evaluated(self._champion.last_record, progress)

    def on_save(self, progress: Progress, *, regular: bool) -> None:
        """Publish the net of a checkpoint, and the champion where it changed."""
        if regular:
            self._publish(progress)

    def _publish(self, progress: Progress) -> None:
        self._files.publish(self._net, self._observations(), progress, self._champion)
