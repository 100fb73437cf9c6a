"""metrics.jsonl as it is read back, and histories that stay short however long a run gets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core import files
from clew.core.errors import ClewError

METRICS = "metrics.jsonl"


@dataclass
class Metrics:
    """The logged steps and the evaluations of a run, in order."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Put a row where it belongs."""
        (self.evaluations if "evaluation" in row else self.steps).append(row)

    @property
    def newest_step(self) -> int:
        """The last step that any row is of; 0 where there is none."""
        return max((rows[-1]["step"] for rows in (self.steps, self.evaluations) if rows), default=0)


class MetricsFile:
    """Reads metrics.jsonl; each call of `read` gives what has come since the last."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._lines = path, 0, 0

    def read(self, stop: int | None = None) -> list[dict[str, Any]]:
        """The new whole lines, up to byte `stop`. Raises `ClewError` naming a line that is none of metrics."""
        if not self._path.is_file():
            return []
        with files.sentences_for(self._path, "read"), self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read() if stop is None else file.read(max(0, stop - self._offset))
        # What follows the last line's end is being written, or was cut short by a kill.
        content = content[: content.rfind(b"\n") + 1]
        rows = []
        for line in content.splitlines():
            self._lines += 1
            rows.append(self._row(line))
        self._offset += len(content)
        return rows

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line, parse_constant=_refuse)
            _check(row)
        except (ValueError, RecursionError) as error:
            raise ClewError(
                f"{self._path}:{self._lines}: not a line of metrics ({error}). Was the file edited? Restore it, or "
                "start a new run from the weights with --start-from."
            ) from error
        return dict(row)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _check(row: Any) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("step"), int) or isinstance(row["step"], bool):
        raise ValueError("it has no step")
    figures = row.get("evaluation", {name: value for name, value in row.items() if name != "improved"})
    if not isinstance(figures, dict):
        raise ValueError("its evaluation holds no figures")
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"its '{name}' is no number")


def read_metrics(folder: Path) -> Metrics:
    """The metrics of the run in `folder`. Raises `ClewError` naming a line that is none."""
    found = Metrics()
    for row in MetricsFile(folder / METRICS).read():
        found.add(row)
    return found


def as_arrays(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Each figure of `rows` as float64[rows]; NaN where a row lacks it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, math.nan) for row in rows], np.float64) for name in names}


class History:
    """Points in order: all of the newest, every second before them, every fourth before those, ...; the first stays."""

    def __init__(self, points: Sequence[Mapping[str, Any]] = (), *, whole: int = 100) -> None:
        """So many of the newest points are all kept (`whole`); each as many before them are thinned by another half."""
        self._whole = whole
        self._kept: list[tuple[int, Mapping[str, Any]]] = []
        self._count = 0
        for each in points:
            self.append(each)

    def append(self, point: Mapping[str, Any]) -> None:
        """Add the newest point."""
        self._kept.append((self._count, point))
        self._count += 1
        if len(self._kept) > 40 * self._whole:
            self._thin()

    @property
    def newest(self) -> Mapping[str, Any]:
        """The last point; empty where there is none."""
        return self._kept[-1][1] if self._kept else {}

    def points(self) -> list[Mapping[str, Any]]:
        """What is kept, in order."""
        self._thin()
        return [point for _, point in self._kept]

    def _thin(self) -> None:
        # A point that goes at some age would go at every later age too, so thinning in between changes nothing.
        kept = []
        for index, point in self._kept:
            age = self._count - 1 - index
            if index == 0 or age < self._whole or index % (1 << (age // self._whole).bit_length()) == 0:
                kept.append((index, point))
        self._kept = kept
