"""Progress on the terminal, or in a notebook."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

Shows = bool | Literal["json"]
"""Whether progress is shown; "json": to programs, a JSON object a line."""

_LINE_PAUSE = 0.25
"""Seconds between two lines about steps where there is no bar: a step may take microseconds."""


class Screen:
    """A progress bar with rate and time left on a terminal, plain lines otherwise. All of it on stderr."""

    def __init__(self, planned_steps: int) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._shown = 0.0
        self._planned = planned_steps
        self._began: tuple[float, int] | None = None
        self._bar: ProgressBar | None = None
        if self._console.is_terminal or self._console.is_jupyter:
            self._bar = ProgressBar(
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
        now = time.monotonic()
        if now - self._shown < _LINE_PAUSE and row["step"] < self._planned:
            return
        self._shown = now
        figures = "".join(f"{name} {row[name]:.4f}  " for name in ("loss",) if name in row)
        figures += f"lr {row['learning_rate']:.2e}" + (f"  {rate:,.0f} {items}/s" if rate else "")
        if self._bar:
            self._bar.update(self._task, completed=row["step"], figures=figures)
            return
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


class JsonLines:
    """A `Screen` for programs: each logged step and evaluation as a JSON object on a line of its own, on stderr."""

    def step(self, row: Mapping[str, Any], rate: float | None, items: str) -> None:
        """Tell of a logged step."""
        log_line("step", {**row, f"{items}_per_second": None if rate is None else round(rate, 1)})

    def evaluation(self, step: int, figures: Mapping[str, float], improved: bool) -> None:
        """Tell of an evaluation."""
        log_line("evaluation", {"step": step, **figures, "improved": improved})

    def say(self, text: str) -> None:
        """Tell a sentence."""
        log_line("note", {"text": text})

    def close(self) -> None:
        """Nothing is held."""


def log_line(event: str, fields: Mapping[str, Any]) -> None:
    """Print one line of a structured log on stderr."""
    print(json.dumps({"event": event, **fields}, ensure_ascii=False, allow_nan=False), file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
