"""Run folders and bundles with a few bytes of weights, made without a training: what a release copies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.evidence import Evidence
from clew.recipes import base
from clew.recipes.next_token import NextTokenRecipe
from clew.runs import checkpoints
from clew.runs.folder import Run, create_run


def write_run(folder: Path, *steps: int, size: int = 200, **changed: Any) -> Run:
    """Make the run `folder` with a checkpoint of each of `steps`, whose weights are `size` random bytes."""
    recipe = base.changed(NextTokenRecipe(name=folder.name), changed, "a test")
    run = create_run(folder.parent, recipe, Evidence(kind="proofs", path="data", sha256="0" * 64), folder=folder)
    for step in steps:
        write_checkpoint(run.checkpoints, step, size)
    return run


def write_checkpoint(folder: Path, step: int, size: int = 200) -> Path:
    """Write a checkpoint of `step` and point at it."""
    path = folder / f"step_{step:08d}"
    path.mkdir(parents=True)
    names = (checkpoints.MODEL, checkpoints.OPTIMIZER)
    for name in names:
        (path / name).write_bytes(os.urandom(size))
    hashes = {name: files.sha256_of_file(path / name) for name in names}
    files.write_json(path / checkpoints.STATE, {"format": 1, "step": step, "sha256": hashes})
    checkpoints.point(folder, "latest", path, step)
    return path


def write_bundle(folder: Path, *, created_at: str = "2026-01-01T00:00:00+00:00", **told: Any) -> Path:
    """Write what a release reads of an exported bundle."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(os.urandom(100))
    manifest = {
        "format": 1,
        "family": "proofs",
        "created_at": created_at,
        "name": folder.name,
        "checkpoint": {"step": 7},
        "recipe": {"name": folder.name, "training": {"max_steps": 7}},
        "recipe_sha256": "1" * 64,
        "files": {"model.onnx": files.sha256_of_file(folder / "model.onnx")},
    } | told
    files.write_json(folder / "bundle.json", manifest)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
