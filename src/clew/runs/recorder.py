"""What a run says of itself while it runs: metrics.jsonl, timing.jsonl, stats.json, and the terminal.

metrics.jsonl is a function of the recipe and the evidence: no clock stands in it, so a resumed run writes the same
bytes as one that was never stopped. What the clock says (elapsed seconds, items a second) goes to timing.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from clew.core import files
from clew.core.errors import CheckpointError, ClewError
from clew.runs.folder import STATS, TIMING, Run
from clew.runs.history import METRICS, History, MetricsFile
from clew.runs.screen import JsonLines, Screen, Shows

_STATS_PAUSE = 0.5
"""Seconds between two writings of stats.json: a step may take less than the disk does."""


class Recorder:
    """Writes the metrics of one run; `offset` is where metrics.jsonl stands when a checkpoint is made."""

    def __init__(self, run: Run, *, planned_steps: int, items: str, shows: Shows = True) -> None:
        self._run = run
        self._planned_steps = planned_steps
        self._items = items
        self._screen = JsonLines() if shows == "json" else Screen(planned_steps) if shows else None
        self._metrics = _append(run.folder / METRICS)
        self._timing = _append(run.folder / TIMING)
        self._elapsed_before = _cut_timing(run.folder / TIMING, None)
        self._began = time.monotonic()
        self._last: tuple[float, int] | None = None
        self._history = History(whole=200)
        self._evaluations: list[dict[str, Any]] = []
        self._newest: dict[str, Any] = {}
        self._stats_written = 0.0
        self._stats_due = False

    @property
    def elapsed(self) -> float:
        """Seconds spent training, over all resumptions."""
        return self._elapsed_before + time.monotonic() - self._began

    def check(self, offset: int) -> list[dict[str, Any]]:
        """The rows of the first `offset` bytes of metrics.jsonl. Raises `CheckpointError` when they are not whole."""
        path = self._run.folder / METRICS
        size = path.stat().st_size
        if size < offset:
            raise CheckpointError(
                f"{path} has {size} bytes, fewer than the {offset} it had when the checkpoint was made: it was cut "
                "or replaced. Restore it, or start a new run from the weights with --start-from."
            )
        try:
            return MetricsFile(path).read(offset)
        except ClewError as error:
            raise CheckpointError(str(error)) from error

    def rewind(self, offset: int, step: int = 0) -> None:
        """Cut the files back to where the checkpoint of `step` stood, metrics.jsonl at `offset` bytes; 0: start over.

        Raises `CheckpointError`, with the files as they were, when what is to stay is not whole.
        """
        rows = self.check(offset)
        path = self._run.folder / METRICS
        with files.sentences_for(path, "cut"), path.open("rb+") as file:
            file.truncate(offset)
        self._elapsed_before = _cut_timing(self._run.folder / TIMING, step)
        for row in rows:
            if "evaluation" in row:
                self._evaluations.append(row)
            else:
                self._history.append(row)

    def offset(self) -> int:
        """Flush metrics.jsonl to the disk and return its length in bytes."""
        with files.sentences_for(Path(self._metrics.name), "write"):
            self._metrics.flush()
            os.fsync(self._metrics.fileno())
            return os.fstat(self._metrics.fileno()).st_size

    def step(self, row: Mapping[str, Any], items_seen: int) -> None:
        """Record one logged step: `row` holds step, loss and its parts, learning_rate, grad_norm."""
        self._write(self._metrics, row)
        now = time.monotonic()
        rate = None
        if self._last is not None and now > self._last[0]:
            rate = (items_seen - self._last[1]) / (now - self._last[0])
        self._last = (now, items_seen)
        timing = {"step": row["step"], "elapsed": round(self.elapsed, 3), f"{self._items}_per_second": rate}
        self._write(self._timing, timing)
        self._history.append(dict(row))
        self._newest = {**row, **timing, f"{self._items}_seen": items_seen}
        self._stats_due = True
        if now - self._stats_written >= _STATS_PAUSE:
            self._write_stats()
        if self._screen:
            self._screen.step(row, rate, self._items)

    def evaluation(self, step: int, figures: Mapping[str, float], *, improved: bool) -> None:
        """Record one evaluation."""
        row = {"step": step, "evaluation": dict(figures), "improved": improved}
        self._write(self._metrics, row)
        self._evaluations.append(row)
        self._newest = {**self._newest, "step": step}
        self._write_stats()
        if self._screen:
            self._screen.evaluation(step, figures, improved)

    def say(self, text: str) -> None:
        """Show a line to the user, above the progress bar."""
        if self._screen:
            self._screen.say(text)

    def close(self) -> None:
        """Write what is still due, close the files and take the progress bar off the terminal."""
        with contextlib.suppress(OSError, ClewError):  # a full disk was reported by the write that met it
            if self._stats_due:
                self._write_stats()
        for file in (self._metrics, self._timing):
            with contextlib.suppress(OSError):
                file.close()
        if self._screen:
            self._screen.close()

    def _write(self, file: TextIO, row: Mapping[str, Any]) -> None:
        with files.sentences_for(Path(file.name), "write"):
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()

    def _write_stats(self) -> None:
        self._stats_due, self._stats_written = False, time.monotonic()
        files.write_json(
            self._run.folder / STATS,
            {
                **self._newest,
                "total_steps": self._planned_steps,
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                "last_evaluation": self._evaluations[-1] if self._evaluations else None,
                "evaluations": self._evaluations,
                "history": self._history.points(),
            },
        )


def _append(path: Path) -> TextIO:
    with files.sentences_for(path, "open"):
        return path.open("a", encoding="utf-8", newline="\n")


def _cut_timing(path: Path, step: int | None) -> float:
    """Take off the end of timing.jsonl what is torn and what is of a later step than `step` (None: of no later step
    is known); return the seconds that the rest has come to."""
    with files.sentences_for(path, "read"), path.open("rb+") as file:
        lines = file.read().split(b"\n")[:-1]
        elapsed = 0.0
        while lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
                newest = json.loads(lines[-1])
                told = float(newest["elapsed"])
                if math.isfinite(told) and (step is None or int(newest["step"]) <= step):
                    elapsed = told
                    break
            lines.pop()
        file.truncate(sum(len(line) + 1 for line in lines))
    return elapsed
