"""Files that are written whole or not at all, canonical JSON, and hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clew.core.errors import ClewError

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


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.

    The file is readable by others as the umask allows. Raises `ClewError` when the system refuses.
    """
    with sentences_for(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(FILE_MODE)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file; `what` names it in the error ("a run manifest"). Raises `ClewError`."""
    with sentences_for(path, "read"):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ClewError(f"{path} is not {what}: it is not valid JSON ({error}).") from error


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; at the end fsync its files and rename it to `path`.

    When the block raises, the temporary folder is removed and nothing appears under `path`. An existing `path` is
    an error, unless `replace` says that nothing points at it any more.
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


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left in `folder`."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. What is hashed is this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(content: bytes | str) -> str:
    """Hexadecimal SHA-256 of bytes, or of a string's UTF-8."""
    return hashlib.sha256(content.encode("utf-8") if isinstance(content, str) else content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with sentences_for(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
