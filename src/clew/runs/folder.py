"""A run: one training in one folder. Recipe, manifest, metrics, checkpoints, reports."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, EvidenceError, UsageError, nearest, without_passwords
from clew.recipes import base as recipe
from clew.recipes.base import Recipe

MANIFEST = "run_manifest.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
STATS = "stats.json"
CHECKPOINTS = "checkpoints"
REPORTS = "reports"

_RECORDED_PACKAGES = (
    "clew", "torch", "numpy", "pydantic", "safetensors", "tokenizers", "onnx", "onnxscript", "onnxruntime",
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What a run learns from: its kind, its key and build where it has them, where it lies and its fingerprint."""

    kind: str
    path: str
    sha256: str
    key: str | None = None
    build_id: str | None = None


class Run:
    """An opened run folder."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def run_id(self) -> str:
        """The run's unique identifier."""
        return str(self.manifest["run_id"])

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def reports(self) -> Path:
        """Folder of evaluation reports and plots."""
        return self.folder / REPORTS

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest on disk (`status`, `device`, ...)."""
        self.manifest = {**self.manifest, **fields}
        files.write_json(self.folder / MANIFEST, self.manifest)

    def read_recipe(self, kind: type[Recipe]) -> Recipe:
        """Read the resolved recipe back. Raises `ClewError` when it is not the one that the run was made with."""
        path = self.folder / RECIPE
        loaded = recipe.validate(kind, recipe.read_yaml(path), str(path))
        if recipe.sha256(loaded) != self.manifest["recipe_sha256"]:
            raise ClewError(
                f"{path} was edited after the run began, so resuming would not continue the same run. Restore it, or "
                f"start a new run from these weights: clew train RECIPE.yaml --start-from {self.folder}."
            )
        return loaded

    def check_evidence(self, evidence: Evidence) -> None:
        """Raise `EvidenceError` unless `evidence` has the fingerprint that the run began with."""
        begun_with = self.manifest["evidence"]
        if evidence.sha256 != begun_with["sha256"]:
            raise EvidenceError(
                f"The evidence in {evidence.path} changed since run {self.folder.name} began (fingerprint "
                f"{evidence.sha256[:12]}, then {begun_with['sha256'][:12]}). Restore it, or start a new run."
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; a second process that trains it gets a sentence."""
        path = self.folder / ".lock"
        with files.sentences_for(path, "open"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with contextlib.suppress(ImportError):  # a system without fcntl: no lock to be had
                import fcntl

                # `clew runs list` holds the lock for the instant of a look: hence a second try.
                for last in (False, True):
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if last:
                            raise ClewError(
                                f"Another process is training {self.folder}. Wait for it to end, or stop it first."
                            ) from None
                        time.sleep(0.1)
            yield
        finally:
            os.close(descriptor)


def create_run(
    runs_dir: Path,
    settled: Recipe,
    evidence: Evidence,
    *,
    parent: str | None = None,
    keep: Callable[[Path], None] | None = None,
) -> Run:
    """Make `runs_dir/<name>-<utc>-<short id>/` with manifest, resolved recipe and what `keep` writes into it.

    The folder appears whole or not at all. Raises `ClewError`.
    """
    run_id = uuid.uuid4().hex
    now = datetime.now(UTC)
    folder = runs_dir / f"{settled.name}-{now:%Y%m%dT%H%M%SZ}-{run_id[:6]}"
    git_sha, dirty = _git_state()
    manifest = {
        "run_id": run_id,
        "name": settled.name,
        "objective": settled.objective,
        "created_at": now.isoformat(timespec="microseconds"),
        "status": "created",
        "recipe_sha256": recipe.sha256(settled),
        "seed": settled.seed,
        "evidence": asdict(evidence),
        "parent": parent,
        "git_sha": git_sha,
        "dirty": dirty,
        "versions": _versions(),
        "device": None,
        "command": [Path(sys.argv[0]).name, *map(without_passwords, sys.argv[1:])],
    }
    with files.whole_folder(folder) as temporary:
        files.write_json(temporary / MANIFEST, manifest)
        files.write_text(temporary / RECIPE, recipe.to_yaml(settled))
        (temporary / CHECKPOINTS).mkdir(mode=files.FOLDER_MODE)
        (temporary / REPORTS).mkdir(mode=files.FOLDER_MODE)
        if keep is not None:
            keep(temporary)
    return Run(folder, manifest)


def open_run(folder: Path) -> Run:
    """Open an existing run folder. Raises `ClewError` when it is none."""
    if not (folder / MANIFEST).is_file():
        raise ClewError(f"{folder} is not a run folder: it holds no {MANIFEST}. `clew runs list` shows the runs.")
    manifest = files.read_json(folder / MANIFEST, what="a run manifest")
    for field in ("run_id", "name", "objective", "recipe_sha256", "evidence", "status"):
        if not isinstance(manifest, dict) or field not in manifest:
            raise ClewError(f"{folder / MANIFEST} lacks the field '{field}': it is not a manifest of a Clew run.")
    return Run(folder, manifest)


def list_runs(runs_dir: Path) -> list[Run]:
    """The runs in `runs_dir`, oldest first. A folder that is no run is passed over."""
    if not runs_dir.is_dir():
        return []
    found = [open_run(path.parent) for path in runs_dir.glob(f"*/{MANIFEST}")]
    return sorted(found, key=lambda run: (str(run.manifest["created_at"]), run.folder.name))


def find_run(name: str | None, runs_dir: Path) -> Run:
    """Open a run by folder, by name or unique beginning of a name in `runs_dir`, or the newest one (None)."""
    if name is not None and (Path(name) / MANIFEST).is_file():
        return open_run(Path(name))
    runs = list_runs(runs_dir)
    if not runs:
        raise UsageError(f"There are no runs in {runs_dir}. Start one with `clew train`, or name the folder of a run.")
    if name is None:
        return runs[-1]
    matches = [run for run in runs if run.folder.name.startswith(name) or run.run_id.startswith(name)]
    if len(matches) == 1 or (matches and all(run.manifest["name"] == name for run in matches)):
        return matches[-1]
    names = list(dict.fromkeys(known for run in runs for known in (str(run.manifest["name"]), run.folder.name)))
    if matches:
        raise UsageError(f"'{name}' may be any of {', '.join(run.folder.name for run in matches)}. Name one of them.")
    raise UsageError(f"There is no run '{name}' in {runs_dir}.{nearest(name, names)} `clew runs list` shows them.")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _git_state() -> tuple[str | None, bool | None]:
    """Commit of the working folder and whether it has changes; (None, None) outside git or without git."""

    def ask(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
