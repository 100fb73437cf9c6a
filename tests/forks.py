"""`clew` processes that begin with torch imported: forked from a server that imports it once.

What is forked is a process of its own, with its own number, files, limits and signals, and runs the whole of
`clew.cli.main.run`. What it does not show is a Python that starts from nothing: tests of that use `clew_command`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import IO, Any
from unittest import mock

# Modules that only define things: ONNX Runtime, which starts a thread, is left to what is forked.
_IMPORTED = [
    "clew.cli.runs.train",
    "clew.cli.runs.resume",
    "clew.cli.games.actor",
    "clew.cli.games.loop",
    "clew.games.evaluation",
    "clew.training.launch",
    "clew.training.torch_backend",
    "clew.objectives.next_token",
    "clew.objectives.ppo",
    "clew.games.replay",
    "clew.models.policy_value",
    "torch.optim",
    "torch._dynamo",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


class _Descriptor:
    """A file descriptor on its way into a process that is forked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.number)

    def __setstate__(self, sent: Any) -> None:
        self.number = sent.detach()


class Forked:
    """A forked `clew`, with those parts of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        *arguments: object,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
        stderr: int | IO[str] | None = None,
        file_limit: int | None = None,
    ) -> None:
        """Start it. `file_limit`: bytes past which it cannot make a file grow."""
        self.stdout, out = _opened(stdout, 1)
        self.stderr, err = _opened(stderr, 2)
        where = str(cwd or Path.cwd())
        given = ([*map(str, arguments)], dict(env), where, _Descriptor(out), _Descriptor(err), file_limit)
        # A daemon: pytest waits at its end for none that a failed test left behind.
        self._process = _context.Process(target=_run, args=given, daemon=True)
        with mock.patch.dict(os.environ, env):  # those of the server, which the first of them starts
            self._process.start()
        os.close(out)
        os.close(err)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("clew", timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it said from here to its end, on stdout and on stderr. Raises `subprocess.TimeoutExpired`."""
        said = ["", ""]

        def read(index: int, stream: IO[str]) -> None:
            said[index] = stream.read()

        streams = [(index, stream) for index, stream in enumerate((self.stdout, self.stderr)) if stream]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in streams]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        for _, stream in streams:
            stream.close()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        self.wait()


def _opened(wanted: int | IO[str] | None, own: int) -> tuple[IO[str] | None, int]:
    """For one of the two outputs: what is read here, if anything, and the descriptor that is written there."""
    if wanted == subprocess.PIPE:
        reading, writing = os.pipe()
        return os.fdopen(reading, encoding="utf-8"), writing
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    return None, os.dup(own if wanted is None else wanted if isinstance(wanted, int) else wanted.fileno())


def _run(
    arguments: list[str],
    environment: dict[str, str],
    where: str,
    out: _Descriptor,
    err: _Descriptor,
    file_limit: int | None,
) -> None:
    """In the forked process: become what `python -m clew.cli.main` starts as, and run."""
    from clew.cli import main

    for given, own in ((out.number, 1), (err.number, 2)):
        os.dup2(given, own)
        os.close(given)
    sys.stdout, sys.stderr = (os.fdopen(own, "w", buffering=1, closefd=False) for own in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(where)
    sys.argv = [str(main.__file__), *arguments]
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        main.run()
    finally:
        atexit._run_exitfuncs()
