"""Running mean and variance of what was seen (Welford 1962; merged in batches as Chan et al. 1979 do)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Running:
    """Mean and variance of all rows that `update` was given, each of `size` numbers, in float64."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(size)
        self._squares: NDArray[np.float64] = np.zeros(size)

    def update(self, rows: NDArray[Any]) -> None:
        """Take in rows [n, size]."""
        rows = rows.astype(np.float64)
        count = len(rows)
        if not count:
            return
        mean = rows.mean(axis=0)
        difference, total = mean - self.mean, self.count + count
        self._squares = self._squares + ((rows - mean) ** 2).sum(axis=0) + difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviations [size] of the population; 1 while nothing was seen."""
        return np.sqrt(self._squares / self.count) if self.count else np.ones_like(self._squares)

    def state(self) -> dict[str, Any]:
        """All of it as JSON, to the bit."""
        return {"count": self.count, "mean": self.mean.tolist(), "squares": self._squares.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave. Raises `ValueError` for one of another size."""
        mean, squares = np.array(state["mean"], np.float64), np.array(state["squares"], np.float64)
        if mean.shape != self.mean.shape or squares.shape != self.mean.shape:
            raise ValueError(f"running statistics of {mean.shape[0]} numbers where {len(self.mean)} are due")
        self.count, self.mean, self._squares = int(state["count"]), mean, squares
