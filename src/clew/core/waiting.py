"""Pauses between attempts: short at first, so that what comes soon is noticed soon, then longer."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pauses:
    """Pauses that double from `first` to `longest` seconds, until `limit` seconds have gone by since the last `reset`.

    `sleep` waits for so many seconds; an event's `wait` makes pauses that the event cuts short.
    """

    def __init__(
        self, longest: float, limit: float, *, first: float = 0.05, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._first, self._longest, self._limit, self._sleep = first, longest, limit, sleep
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._since, self._next = time.monotonic(), self._first

    def take(self) -> bool:
        """Pause; return False, at once, when the limit is reached."""
        left = self._limit - (time.monotonic() - self._since)
        if left <= 0:
            return False
        self._sleep(min(self._next, self._longest, left))
        self._next *= 2
        return True
