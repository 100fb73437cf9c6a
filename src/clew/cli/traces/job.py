"""A `clew` command that a server started and that outlives it: what it came to stands in a file at its end."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from clew.cli.main import main
from clew.core import files
from clew.core.errors import EXIT_FAILED

LEAVE = b"go\n"
"""What the server writes when it has written down that this process is there."""


def run(ended: Path, arguments: list[str]) -> int:
    """Run `clew ARGUMENTS` once leave is given; write `{"exit_code": ...}` into `ended`, null where it never was."""
    if sys.stdin.buffer.readline() != LEAVE:
        files.write_json(ended, {"exit_code": None})
        return EXIT_FAILED
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        # Who follows the log sees each line when it is written.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True, write_through=False)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_FAILED if stop.code else 0
    files.write_json(ended, {"exit_code": code})
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
