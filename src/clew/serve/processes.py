"""Processes that outlive the one that started them: known again by their number and the moment of their start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clew.core import lifeline

_PROC = Path("/proc")
_KEPT_BACK = (lifeline.VARIABLE, "CLEW_TOKEN")
"""What a child has no use for: it outlives the server and calls nobody."""
COMMAND = (sys.executable, "-m", "clew.cli.traces.job")
"""What is started, with the file for the exit code and the arguments behind it."""


def begun(pid: int) -> str | None:
    """When the living process `pid` began, as text that no other process of that number has. None: there is none."""
    if (_PROC / "self/stat").exists():
        try:
            stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # The name of the program, which may hold anything, ends with the last bracket.
        state, *rest = stat.rpartition(")")[2].split()
        if state in "ZX":
            return None
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{rest[18]}"
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, moment = shown.stdout.strip().partition(" ")
    return None if not moment or state.startswith("Z") else " ".join(moment.split())


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    begun: str

    @property
    def running(self) -> bool:
        """Whether it is there, and is the same."""
        return begun(self.pid) == self.begun

    def ask_to_end(self) -> None:
        """Send SIGTERM: a training saves a checkpoint and ends."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Kill it and all that it started."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


class Started:
    """A `clew` command that waits for leave to begin.

    So what is known of it can be written down first: were this process killed in between, the command would end
    without having done anything.
    """

    def __init__(self, arguments: Sequence[str], ended: Path, log: IO[bytes]) -> None:
        """Start `clew ARGUMENTS`, which writes its exit code into `ended` when it is done, and all it says to `log`."""
        self._popen = subprocess.Popen(
            [*COMMAND, str(ended), *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in _KEPT_BACK},
        )
        self.process = Process(self._popen.pid, begun(self._popen.pid) or "")

    def let_go(self) -> None:
        """Give it leave."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(b"go\n")
            self._popen.stdin.close()

    def poll(self) -> int | None:
        """Its exit code if it has ended, as a shell has it."""
        code = self._popen.poll()
        return 128 - code if code is not None and code < 0 else code
