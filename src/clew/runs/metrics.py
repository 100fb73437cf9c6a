"""What a run says of itself while it runs: metrics.jsonl, timing.jsonl, stats.json, and the terminal.

metrics.jsonl is a function of the recipe and the evidence: no clock stands in it, so a resumed run writes the same
bytes as one that was never stopped. What the clock says (elapsed seconds, items a second) goes to timing.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clew.core import files
from clew.core.errors import CheckpointError
from clew.runs.folder import METRICS, STATS, TIMING, Run

_HISTORY = 400
"""Points that stats.json keeps; older ones are thinned, never cut at the newest."""


class Recorder:
    """Writes the metrics of one run; `offset` is where metrics.jsonl stands when a checkpoint is made."""

    def __init__(self, run: Run, *, planned_steps: int, items: str, shows: bool = True) -> None:
        self._run = run
        self._planned_steps = planned_steps
        self._items = items
        self._screen = Screen(planned_steps) if shows else None
        self._metrics = _append(run.folder / METRICS)
        self._elapsed_before = _last_elapsed(run.folder / TIMING)
        self._timing = _append(run.folder / TIMING)
        self._began = time.monotonic()
        self._last: tuple[float, int] | None = None
        self._history: list[dict[str, Any]] = []
        self._evaluations: list[dict[str, Any]] = []
        self._newest: dict[str, Any] = {}

    @property
    def elapsed(self) -> float:
        """Seconds spent training, over all resumptions."""
        return self._elapsed_before + time.monotonic() - self._began

    def rewind(self, offset: int) -> None:
        """Cut metrics.jsonl back to `offset` bytes, where the checkpoint that is resumed stood; 0: start over."""
        path = self._run.folder / METRICS
        size = path.stat().st_size
        if size < offset:
            raise CheckpointError(
                f"{path} has {size} bytes, fewer than the {offset} it had when the checkpoint was made: it was cut "
                "or replaced. Restore it, or start a new run from the weights with --start-from."
            )
        with files.sentences_for(path, "cut"), path.open("rb+") as file:
            file.truncate(offset)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise CheckpointError(
                    f"{path}:{number}: not a line of metrics ({error}): the file was edited. Restore it, or start a "
                    "new run from the weights with --start-from."
                ) from error
            (self._evaluations if "evaluation" in row else self._history).append(row)

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
        if len(self._history) > 2 * _HISTORY:
            self._history = self._history[::2]
        self._newest = {**row, **timing, f"{self._items}_seen": items_seen}
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
        """Close the files and take the progress bar off the terminal."""
        for file in (self._metrics, self._timing):
            with contextlib.suppress(OSError):  # a full disk was reported by the write that met it
                file.close()
        if self._screen:
            self._screen.close()

    def _write(self, file: TextIO, row: Mapping[str, Any]) -> None:
        with files.sentences_for(Path(file.name), "write"):
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()

    def _write_stats(self) -> None:
        stride = max(1, len(self._history) // _HISTORY)
        files.write_json(
            self._run.folder / STATS,
            {
                **self._newest,
                "total_steps": self._planned_steps,
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                "last_evaluation": self._evaluations[-1] if self._evaluations else None,
                "evaluations": self._evaluations,
                "history": self._history[(len(self._history) - 1) % stride :: stride],
            },
        )


class Screen:
    """A progress bar with rate and time left on a terminal, plain lines otherwise. All of it on stderr."""

    def __init__(self, planned_steps: int) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._planned = planned_steps
        self._began: tuple[float, int] | None = None
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("train", total=planned_steps, figures="")
            self._bar.start()

    def step(self, row: Mapping[str, Any], rate: float | None, items: str) -> None:
        """Show a logged step."""
        figures = f"loss {row['loss']:.4f}  lr {row['learning_rate']:.2e}" + (
            f"  {rate:,.0f} {items}/s" if rate else ""
        )
        if self._bar:
            self._bar.update(self._task, completed=row["step"], figures=figures)
            return
        now = time.monotonic()
        left = ""
        if self._began is None:
            self._began = (now, row["step"])
        elif row["step"] > self._began[1]:
            seconds = (now - self._began[0]) / (row["step"] - self._began[1]) * (self._planned - row["step"])
            left = f"  {_duration(seconds)} left"
        self.say(f"step {row['step']}/{self._planned}  {figures}{left}")

    def evaluation(self, step: int, figures: Mapping[str, float], improved: bool) -> None:
        """Show an evaluation."""
        listed = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self.say(f"evaluation at step {step}: {listed}{'  (best so far)' if improved else ''}")

    def say(self, text: str) -> None:
        """Show a line."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _append(path: Path) -> TextIO:
    with files.sentences_for(path, "open"):
        return path.open("a", encoding="utf-8", newline="\n")


def _last_elapsed(path: Path) -> float:
    """Seconds that timing.jsonl has come to; a line that a kill cut short is taken off its end."""
    if not path.is_file():
        return 0.0
    with files.sentences_for(path, "read"), path.open("rb+") as file:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
    for line in reversed(whole.splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return float(json.loads(line)["elapsed"])
    return 0.0


def print_json(value: Any) -> None:
    """Print one JSON document as the last line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
