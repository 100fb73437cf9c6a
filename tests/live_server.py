"""`clew serve` as a process that listens on a free port of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self


class LiveServer:
    """Started when it is made; ended with the block, or by `end` or `kill`."""

    def __init__(self, folder: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        """Its store is `folder/traces.db`, its runs lie in `folder/runs`."""
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", "serve", "--port", "0", *flags],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = said = self.process.stdout.readline()
        match = re.search(r"http://\S+:(\d+)", said)
        assert match, said + self.process.communicate(timeout=30)[0]
        self.port = int(match[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def end(self) -> int:
        """Ask it to end, as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
