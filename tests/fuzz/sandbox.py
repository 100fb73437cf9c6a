"""One case of the campaign: a command, run in a forked process inside a folder of its own, watched and judged."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import hashlib
import io
import os
import re
import resource
import select
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SECRET = "hunter2secret"
"""A password that some cases give; no case may print it."""

_LONGEST_ANSWER = 30_000
"""Characters on stderr beyond which nobody reads a sentence."""

_TRACES = ("Traceback (most recent call last)", "Clew itself failed", "panicked at", "Fatal Python error")


@dataclasses.dataclass
class Case:
    """What a mutator may change: the files of `folder`, the command, what stands on its standard input."""

    folder: Path
    argv: list[str]
    stdin: bytes | None = b""
    """None: the command starts with a closed standard input."""
    changes: tuple[str, ...] = ()
    """Patterns of existing files that the command is meant to change; `ok:PATTERN`, only where it ends with 0."""
    findings: bool = False
    """Whether exit code 1 may come with findings on stdout in place of a sentence."""
    done: tuple[str, ...] = ()
    """What the mutators did, in words."""
    check: Callable[[Case, Outcome], str | None] | None = None
    """What must be so beyond the campaign's own rules; returns what is not."""


@dataclasses.dataclass
class Outcome:
    """How a case ended. `code` is negative for a signal, as in subprocess."""

    code: int
    seconds: float
    out: str
    err: str
    hung: bool
    harmed: list[str]
    trace: str | None = None
    """Why what it said is no sentence with an exit code."""


def run_case(case: Case, run: Callable[[], object], *, limit: float, memory: int) -> Outcome:
    """Run the command in a forked child inside `case.folder` and judge it; `run` finds its words in `sys.argv`."""
    aside = case.folder.parent / "aside"
    aside.mkdir(exist_ok=True)
    before = snapshot(case.folder)
    began = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_the_command(case, run, aside, memory)
    code, asked, hung = _watched(pid, limit, aside)
    seconds = time.monotonic() - began
    out, err = (_text(aside / name) for name in ("out", "err"))
    outcome = Outcome(code, seconds, out, err, hung, [])
    outcome.harmed = _harmed(before, snapshot(case.folder), case.changes, code)
    if not hung and not (asked and code in (0, 130)):
        outcome.trace = _no_sentence(case, outcome)
    return outcome


def _be_the_command(case: Case, run: Callable[[], object], aside: Path, memory: int) -> None:
    """The child's life. Never returns."""
    code = 70
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        _redirect(case.stdin, aside)
        os.chdir(case.folder)
        sys.argv = ["clew", *case.argv]
        run()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 70
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _redirect(stdin: bytes | None, aside: Path) -> None:
    """Standard streams as a command has them whose output goes into files."""
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(aside / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace", write_through=True
    )
    if stdin is None:
        os.close(0)
        sys.stdin = None
        return
    (aside / "in").write_bytes(stdin)
    descriptor = os.open(aside / "in", os.O_RDONLY)
    os.dup2(descriptor, 0)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")


def _watched(pid: int, limit: float, aside: Path) -> tuple[int, bool, bool]:
    """Exit code of `pid`, whether it was asked to end, and whether it hung: it was silent, or did not end then."""
    watch = os.pidfd_open(pid)
    try:
        asked = hung = False
        if not select.select([watch], [], [], limit)[0]:
            # Long work that shows itself and ends when it is asked to is no hang.
            silent = not any((aside / name).stat().st_size for name in ("out", "err") if (aside / name).exists())
            asked = True
            os.kill(pid, signal.SIGINT)
            ended = bool(select.select([watch], [], [], limit)[0])
            hung = silent or not ended
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), asked, hung
    finally:
        os.close(watch)


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return file.read(1 << 20).decode("utf-8", "replace")


def _no_sentence(case: Case, outcome: Outcome) -> str | None:
    """Why the outcome is no sentence with an exit code; None where it is one."""
    code, err = outcome.code, outcome.err
    if code < 0:
        return f"ended by signal {-code} ({signal.Signals(-code).name})"
    for trace in _TRACES:
        if trace in outcome.out + err:
            return told_error(outcome.out + err)
    if code not in (0, 1, 2, 130):
        return f"exit code {code}"
    if len(err) > _LONGEST_ANSWER:
        return f"{len(err):,} characters on stderr"
    # What stands where a folder or a model should is no address.
    if SECRET in outcome.out + err and {"--db", "replay"} & set(case.argv):
        return "a password was printed"
    if (
        code
        and not re.search(r"^(clew|usage): ?", err, re.MULTILINE)
        and not (case.findings and code == 1 and outcome.out)
    ):
        return f"exit code {code} without a sentence"
    return case.check(case, outcome) if case.check else None


def told_error(text: str) -> str:
    """The line of a traceback that names the error."""
    found = re.search(r"Clew itself failed: (.*)", text) or re.search(r"(panicked at .*)", text)
    if found:
        return re.sub(r" This is a bug; please.*", "", " ".join(found[1].split()))[:200]
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    return lines[-1][:300] if lines else "a traceback"


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """What stands in `folder`: kind and content of each entry. What a checkpoint holds has its inode too."""
    found: dict[str, tuple[Any, ...]] = {}

    def walk(path: str) -> None:
        with os.scandir(path) as entries:
            for entry in entries:
                name = os.path.relpath(entry.path, folder)
                mode = entry.stat(follow_symlinks=False)
                if entry.is_symlink():
                    found[name] = ("link", str(Path(entry.path).readlink()))
                elif entry.is_dir():
                    found[name] = ("folder",)
                    walk(entry.path)
                elif stat.S_ISREG(mode.st_mode):
                    content = Path(entry.path).read_bytes()
                    inode = mode.st_ino if "/step_" in name else 0
                    found[name] = ("file", hashlib.blake2b(content).digest(), content[:16], inode)
                else:
                    found[name] = ("other", stat.S_IFMT(mode.st_mode))

    walk(str(folder))
    return found


def _harmed(
    before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]], changes: Sequence[str], code: int
) -> list[str]:
    """The entries of `before` that are gone or others, but for those that the command is meant to change."""
    allowed = [pattern.removeprefix("ok:") for pattern in changes if not pattern.startswith("ok:") or code == 0]

    def meant(name: str) -> bool:
        if before[name][0] == "file" and not before[name][2]:
            return after.get(name, ("gone",))[0] == "file"  # an empty file may be filled
        for pattern in allowed:
            pattern, _, head = pattern.partition("|")
            if fnmatch.fnmatch(name, pattern):
                # A pattern with a head is for files of that kind alone: another file there is not its to change.
                return not head or (before[name][0] == "file" and before[name][2].startswith(head.encode()))
        return False

    return sorted(name for name, was in before.items() if after.get(name) != was and not meant(name))
