"""Rows that flow from a replay database into the windows of a run, and marks that say at which step they were there.

Actors write while the learner trains, so what there is to sample from at a step depends on the clock. Each time new
rows are taken in, a mark says from which step on; a resumed run goes by the marks as far as they reach, and so draws
the very batches that it drew before.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import CheckpointError
from clew.core.randomness import key
from clew.games.replay import Replay
from clew.games.replay.transitions import ROWS_AT_ONCE
from clew.games.replay.window import Window
from clew.games.rules import GameInfo
from clew.recipes.alphazero import ReplayData

MARKS = "marks.jsonl"


@dataclass(frozen=True)
class Mark:
    """From `step` on, the windows hold so many rows, taken from the database up to `position`."""

    step: int
    training: int
    held_out: int
    episodes: int
    broken: int
    position: Any


class ReplayFeed:
    """The windows of a run in `folder`, fed from `replay`; `replay` None: a process that only reads them."""

    def __init__(self, folder: Path, replay: Replay | None, info: GameInfo, data: ReplayData, seed: int) -> None:
        self._folder, self._replay, self._info, self._data, self._seed = folder, replay, info, data, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.marks = _read_marks(folder / MARKS, repair=replay is not None)
        self.lived_to = self.marks[-1].step if self.marks else -1
        """The last step for which an earlier life of this run looked; -1: this is the first.

        It took those before. This one it took if there was enough for it: it may have been waiting when it ended.
        """
        self.faults: list[str] = []
        """Sentences about the rows that the last look did not take in; the first few."""
        capacity = data.replay_window or None
        self.training = Window.open(folder / "training", info, capacity=capacity)
        self.held_out = Window.open(folder / "held_out", info, capacity=capacity)
        if replay is not None:
            # Rows that were taken in, but not marked before a kill, are taken in again.
            last = self.marks[-1] if self.marks else None
            self.training.truncate(last.training if last else 0)
            self.held_out.truncate(last.held_out if last else 0)

    def at(self, step: int) -> Mark | None:
        """The newest mark that stands at or before `step`."""
        return next((mark for mark in reversed(self.marks) if mark.step <= step), None)

    def take_in(self, step: int) -> bool:
        """Take in what the database has beyond the last mark, and mark it for `step`; return whether there was any."""
        assert self._replay is not None
        self.faults = []
        last = self.marks[-1] if self.marks else Mark(0, 0, 0, 0, 0, None)
        position, episodes, broken = last.position, last.episodes, last.broken
        before = (self.training.last, self.held_out.last, broken)
        while True:
            rows, position = self._replay.tail(self._info.env_id, position, ROWS_AT_ONCE)
            # Once an episode, not once a row: this is what takes longest here.
            held_out = {name: self._is_held_out(name) for name in {row.episode_id for row in rows}}
            for window, which in ((self.training, False), (self.held_out, True)):
                extended = window.extend([row for row in rows if held_out[row.episode_id] is which])
                broken += len(extended.broken)
                self.faults = [*self.faults, *extended.broken][:5]
            episodes += sum(row.done for row in rows)
            if len(rows) < ROWS_AT_ONCE:
                break
        if (self.training.last, self.held_out.last, broken) == before:
            # That there was nothing new is noted too, or a resumed run would find at this step what came later.
            if self.marks and step > last.step:
                self._append(replace(last, step=step), {"step": step})
            return False
        self._append(Mark(step, self.training.last, self.held_out.last, episodes, broken, position))
        return True

    def follow(self) -> None:
        """Read again what the leading process has taken in."""
        self.marks = _read_marks(self._folder / MARKS, repair=False)
        capacity = self._data.replay_window or None
        self.training = Window.open(self._folder / "training", self._info, capacity=capacity)
        self.held_out = Window.open(self._folder / "held_out", self._info, capacity=capacity)

    def _is_held_out(self, episode_id: str) -> bool:
        return key(self._seed, "held out", episode_id) % 10_000 < self._data.held_out_fraction * 10_000

    def _append(self, mark: Mark, line: dict[str, Any] | None = None) -> None:
        self.marks.append(mark)
        path = self._folder / MARKS
        with files.sentences_for(path, "write"), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line or asdict(mark)) + "\n")


def _read_marks(path: Path, *, repair: bool) -> list[Mark]:
    """The marks of the file; a line that a kill cut short is taken off its end."""
    if not path.is_file():
        return []
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if repair and len(whole) < len(content):
        with files.sentences_for(path, "cut"), path.open("rb+") as file:
            file.truncate(len(whole))
    try:
        marks: list[Mark] = []
        for line in whole.splitlines():
            values = json.loads(line)
            marks.append(replace(marks[-1], **values) if marks else Mark(**values))
        return marks
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not what the run wrote ({error}). Restore it, or start a new run.") from error
