"""The files of a run: which there are, with their hashes, and one of them by its path."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from clew.core import files
from clew.core.errors import ClewError
from clew.traces.schema import NotFoundError


@dataclass(frozen=True)
class Artifact:
    """A file of a run."""

    path: str
    """Within the run's folder, with slashes."""
    size: int
    """In bytes."""
    sha256: str


def artifacts(folder: Path) -> list[Artifact]:
    """The files of a run by their paths. What is hidden or half-written is left out."""
    found = []
    for path in sorted(folder.rglob("*")) if files.is_folder(folder) else []:
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or path.is_symlink() or not files.is_file(path):
            continue
        try:
            stat = path.stat()
            found.append(
                Artifact(files.printable(inside.as_posix()), stat.st_size, _hash(path, stat.st_size, stat.st_mtime_ns))
            )
        except (OSError, ClewError):
            continue  # a training that goes on removes old checkpoints
    return found


@lru_cache(maxsize=10_000)
def _hash(path: Path, size: int, modified: int) -> str:
    return files.sha256_of_file(path)


def find(folder: Path, path: str) -> Path:
    """The file of a run at `path`. Raises `NotFoundError` where there is none, also for what lies outside."""
    with contextlib.suppress(ValueError, OSError, RuntimeError):
        whole = folder.resolve()
        found = (whole / path).resolve()
        hidden = any(part.startswith(".") for part in found.relative_to(whole).parts)
        if files.is_file(found) and not hidden:
            return found
    raise NotFoundError(f"The run has no file '{path[:200]}'. GET .../artifacts lists what it has.")
