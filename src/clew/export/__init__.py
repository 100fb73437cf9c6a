"""From a checkpoint to what ships: written beside its place, compared with torch, and only then put there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from clew.core.errors import UsageError
from clew.export.source import Source, default_folder, find_source
from clew.recipes.families import Family, find_family, known


def export(
    checkpoint: str | Path | None = None,
    out: Path | None = None,
    *,
    format: str = "onnx",
    which: str = "best",
    runs_dir: Path = Path("runs"),
) -> tuple[Path, dict[str, Any]]:
    """Export a checkpoint in the way of its family; return the folder that was written and its manifest.

    `checkpoint`: a checkpoint's folder, a run's folder or name, or the newest run (None), of which `which` is taken:
    best, latest or a step. `out` must not exist; by default export/NAME-YYYY-MM-DD-HH-MM-SS. Raises `ClewError`, with
    nothing written, for a checkpoint that is broken or an export that does not give what torch gives.
    """
    source = find_source(None if checkpoint is None else str(checkpoint), runs_dir=runs_dir, which=which)
    folder = out or default_folder(source.name)
    manifest: dict[str, Any] = _family(source).part("exporter")(source, folder, format)
    return folder, manifest


def _family(source: Source) -> Family:
    """The family of the run, or of the model that a checkpoint without one says it holds."""
    if source.objective is not None:
        return find_family(source.objective)
    for family in known().values():
        if source.family in (family.objective, family.model):
            return family
    raise UsageError(f"{source.checkpoint} holds a model of '{source.family}', which no family here trains.")


class _Callable(ModuleType):
    """This package, which is `clew.export` however it came to be imported, can be called: `clew.export(...)`."""

    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _Callable
