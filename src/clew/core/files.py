"""Files that are written whole or not at all and replace nothing foreign, canonical JSON, and hashes."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from clew.core.errors import ClewError, UsageError
from clew.core.swap import swap

_umask = os.umask(0)
os.umask(_umask)
FILE_MODE = 0o666 & ~_umask
FOLDER_MODE = 0o777 & ~_umask


@contextlib.contextmanager
def sentences_for(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` met while `doing` something to `path` into a `ClewError` that says what to do."""
    try:
        yield
    except OSError as error:
        advice = {
            errno.ENOSPC: "The disk is full: free some space and run the command again.",
            errno.EDQUOT: "The disk quota is used up: free some space and run the command again.",
            errno.EACCES: "Permission is denied: choose another folder, or change its owner or mode.",
            errno.EPERM: "The operation is not permitted: choose another folder, or change its owner or mode.",
            errno.EROFS: "The file system is read-only: choose another folder.",
            errno.ENOENT: "There is no such file or folder: check the path.",
            errno.ENOTDIR: "A part of the path is a file, not a folder: check the path.",
            errno.EISDIR: "It is a folder where a file is needed: check the path.",
            errno.EEXIST: "It exists already: choose another name.",
            errno.ENAMETOOLONG: "The path or a name in it is too long for this system: choose a shorter one.",
            errno.ELOOP: "Its links lead in a circle: check the path.",
            errno.EFBIG: "The file would grow past the size limit of this process: raise it (ulimit -f).",
        }.get(error.errno or 0, f"The system says: {error.strerror or error}.")
        raise ClewError(f"Could not {doing} {path}. {advice}") from error


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut. A file system that cannot is left as it is."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Flush what is written in `path` to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def is_file(path: Path) -> bool:
    """Whether a regular file can be seen there; False for a path that this system takes for none at all."""
    return _has_mode(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether a folder can be seen there; False for a path that this system takes for none at all."""
    return _has_mode(path, stat.S_ISDIR)


def exists(path: Path) -> bool:
    """Whether anything can be seen there; False for a path that this system takes for none at all."""
    return _has_mode(path, lambda mode: True)


def _has_mode(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(path.stat().st_mode)
    except (OSError, ValueError):  # too long, forbidden, or with a zero byte in it
        return False


def real(path: Path) -> Path:
    """The path without links; of links that lead in a circle, the path up to them."""
    return Path(os.path.realpath(path))


def printable(path: Path | str) -> str:
    r"""The path as text that can be printed and hashed: bytes that are no UTF-8 stand as `\xff`."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


@dataclass(frozen=True)
class Output:
    """A kind of file that commands write for a user, and how an earlier one is known."""

    what: str
    """With its article, as in "a picture (PNG)"."""
    recognises: Callable[[BinaryIO], bool]


def json_output(what: str, *keys: str) -> Output:
    """Outputs that are a JSON object with at least these keys."""
    return Output(what, lambda file: _has_keys(file.read(), keys))


def json_lines_output(what: str, *keys: str) -> Output:
    """Outputs whose first line is a JSON object with at least these keys."""
    return Output(what, lambda file: _has_keys(file.readline(2**20), keys))


def text_output(what: str, beginning: str) -> Output:
    """Outputs that are text with this beginning."""
    content = beginning.encode("utf-8")
    return Output(what, lambda file: file.read(len(content)) == content)


PNG = Output("a picture (PNG)", lambda file: file.read(8) == b"\x89PNG\r\n\x1a\n")


def _has_keys(content: bytes, keys: tuple[str, ...]) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and all(key in value for key in keys)


def check_output(path: Path, kind: Output) -> None:
    """Raise `UsageError` unless `path` is free, an empty file, or an earlier output of the same `kind`.

    A command calls this before it begins, and writes with `replaces=kind`, since much may happen in between.
    """
    _check_regular(path)
    if is_file(path) and path.stat().st_size:
        with sentences_for(path, "read"), path.open("rb") as file:
            known = kind.recognises(file)
        if not known:
            raise UsageError(
                f"{path} is there and is not {kind.what} that Clew wrote, so it is not replaced. Choose another name, "
                "or remove it first."
            )


def _check_regular(path: Path) -> None:
    """Raise `UsageError` for a folder, and for a device, a pipe or a socket: a rename would put a file in its place."""
    with sentences_for(path, "write"):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder where a file is to be written. Name a file in it.")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is a device, a pipe or a socket, which no file may replace. Name an ordinary file.")


def write_bytes(path: Path, content: bytes, *, replaces: Output | None = None) -> None:
    """Write `content` to `path` whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.

    The file is readable by others as the umask allows. A regular file that is there is replaced: any, or one of the
    kind that `replaces` says (`check_output`). Raises `ClewError` when the system refuses.
    """
    with whole_file(path, replaces=replaces) as file:
        file.write(content)


@contextlib.contextmanager
def whole_file(path: Path, *, replaces: Output | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write the content of `path` into; `write_bytes` says how it gets there.

    When the block raises, what is at `path` stays as it is.
    """
    if replaces is None:
        _check_regular(path)
    else:
        check_output(path, replaces)
    with sentences_for(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(FILE_MODE)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_text(path: Path, text: str, *, replaces: Output | None = None) -> None:
    r"""Write UTF-8 text to `path`, whole or not at all.

    A byte of a path that is no UTF-8 is a lone surrogate in Python: it is written as the escape `\udcff`, which JSON
    reads back.
    """
    write_bytes(path, _encoded(text), replaces=replaces)


def write_json(path: Path, value: Any, *, replaces: Output | None = None) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_bytes(path, json_bytes(value), replaces=replaces)


def json_bytes(value: Any) -> bytes:
    """`value` as `write_json` writes it."""
    return _encoded(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


def _no_number(spelled: str) -> float:
    raise ValueError(f"{spelled} is no number of JSON")


def _finite(spelled: str) -> float:
    number = float(spelled)
    if not math.isfinite(number):
        raise ValueError(f"{spelled[:20]} is past the largest number")
    return number


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file; `what` names it in the error ("a run manifest"). Raises `ClewError`."""
    with sentences_for(path, "read"):
        content = path.read_bytes()
    try:
        return json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ClewError(f"{path} is not {what}: its brackets stand too deep in one another.") from error
    except ValueError as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise ClewError(f"{path} is not {what}: it is not valid JSON ({error}).") from error


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; at the end fsync its files and rename it to `path`.

    When the block raises, the temporary folder is removed and nothing appears under `path`. An existing `path` is
    an error, unless `replace`: then the old and the new change places in one step where the system can do that.
    Raises `ClewError` when `path` already exists or the system refuses.
    """
    with sentences_for(path, "write the folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not replace:
            raise ClewError(f"{path} already exists. Choose another name, or remove it first.")
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(FOLDER_MODE)
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    file.chmod(FILE_MODE)
                    fsync_file(file)
            fsync_folder(temporary)
            if replace and path.exists():
                if swap(temporary, path):
                    fsync_folder(path.parent)
                    shutil.rmtree(temporary, ignore_errors=True)
                    return
                remove_folder(path)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder at once: renamed to a leftover first, so that a kill never leaves half of it under its name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path, *, of: str | None = None) -> None:
    """Remove the temporary files and folders that a killed process left in `folder`: for the name `of`, or all."""
    for leftover in folder.glob(".*.tmp" if of is None else f".{glob.escape(of)}.*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. What is hashed is this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(content: bytes | str) -> str:
    """Hexadecimal SHA-256 of bytes, or of a string's UTF-8."""
    return hashlib.sha256(
        content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content
    ).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with sentences_for(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
