"""Starts `clew` commands as processes, watches them, starts them again where that helps, and ends them all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from clew.core.errors import EXIT_USAGE, ClewError
from clew.core.lifeline import Lifeline

_PATIENCE = 60.0
"""Seconds that a process has to end in after it was asked to."""


class Child:
    """One `clew` command: `arguments`, and how often it is started again after it failed."""

    def __init__(self, name: str, arguments: list[str], *, restarts: int) -> None:
        self.name, self.arguments, self.restarts = name, arguments, restarts
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs. A signal that ended it gives 128 + its number, as in a shell."""
        code = self.process.poll() if self.process else None
        return 128 - code if code is not None and code < 0 else code

    def ask_to_end(self) -> None:
        """Send SIGTERM: a learner saves a checkpoint, an actor finishes its write."""
        if self.process is not None and self.running:
            self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for the end; kill what does not end in time (what it had committed stays)."""
        if self.process is None:
            return
        deadline = time.monotonic() + _PATIENCE
        while self.running:
            # A second Ctrl-C while children save must not leave them alone.
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                self.process.wait(timeout=max(0.1, min(1.0, deadline - time.monotonic())))
            if time.monotonic() > deadline:
                self.process.kill()


class Supervisor:
    """Holds children for the length of a `with` block; they end with it, and with this process however it ends."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: what the children find in theirs beside what this process has."""
        self._lifeline = Lifeline()
        self._environment = dict(environment or {})
        self._children: list[Child] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_all()
        self._lifeline.close()

    def start(self, child: Child) -> Child:
        """Start a child in a process group of its own: Ctrl-C reaches this process alone, which then asks them."""
        child.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", *child.arguments],
            env=self._lifeline.environment(os.environ | self._environment),
            pass_fds=self._lifeline.descriptors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        child.began = time.monotonic()
        if child not in self._children:
            self._children.append(child)
        return child

    def look_after(self) -> None:
        """Start again what failed and may be. Raises `ClewError` when a child failed for good."""
        for child in self._children:
            if child.running or child.code == 0 or not child.restarts:
                if child.restarts or child.running or child.code == 0 or child.name == "learner":
                    continue
                raise ClewError(f"The {child.name} failed again and again; what it said stands above.")
            if child.code == EXIT_USAGE:
                raise ClewError(f"The {child.name} could not be started; what it said stands above.")
            # One that ran for long is not in a circle: its restarts are counted anew.
            child.restarts = 5 if time.monotonic() - child.began > 300 else child.restarts - 1
            print(f"loop: the {child.name} ended with exit code {child.code} and is started again", file=sys.stderr)
            time.sleep(1.0)
            self.start(child)

    def end_all(self) -> None:
        """Ask all to end, and wait until they have."""
        for child in self._children:
            child.ask_to_end()
        for child in self._children:
            child.wait()
