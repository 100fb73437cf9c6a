"""A pipe between a process and those it starts: when the first is gone, however it ended, the others end too."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping

VARIABLE = "CLEW_LIFELINE"
"""Environment variable that holds the number of the pipe's reading end."""


class Lifeline:
    """The holding end. What is started with `environment` and `descriptors` ends when this process does."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a started process must inherit (`subprocess.Popen(pass_fds=...)`)."""
        return (self._reading,)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with the number of the pipe."""
        return {**base, VARIABLE: str(self._reading)}

    def close(self) -> None:
        """Let go: what still runs is asked to end."""
        os.close(self._writing)
        os.close(self._reading)


def hold_on() -> None:
    """In a process that was started with a lifeline: ask this process to end (SIGTERM) when the other is gone."""
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return
    descriptor = int(number)

    def watch() -> None:
        # Nothing is ever written: reading ends when the last holder of the writing end is gone.
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    os.set_inheritable(descriptor, False)
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
