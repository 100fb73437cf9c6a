"""A run: one training in one folder. Recipe, manifest, metrics, checkpoints, reports."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clew.core import files
from clew.core.errors import ClewError, EvidenceError, UsageError, nearest, without_passwords
from clew.core.evidence import Evidence
from clew.recipes import base as recipe
from clew.recipes.base import Recipe
from clew.runs.curves import Curves, draw
from clew.runs.history import as_arrays, read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "run_manifest.json"
RECIPE = "recipe.yaml"
TIMING = "timing.jsonl"
STATS = "stats.json"
CHECKPOINTS = "checkpoints"
REPORTS = "reports"

_RECORDED_PACKAGES = (
    "clew", "torch", "numpy", "pydantic", "safetensors", "tokenizers", "onnx", "onnxscript", "onnxruntime",
)  # fmt: skip


R = TypeVar("R", bound=Recipe)


class Run:
    """An opened run folder."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"<Run {self.folder.name}: {self.status}>"

    def _repr_png_(self) -> bytes:
        """The curves, as a notebook shows the run."""
        content = io.BytesIO()
        self.curves().savefig(content, format="png", dpi=100)
        return content.getvalue()

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

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The logged steps as arrays, float64[steps] for each of step, loss, its parts, learning_rate, grad_norm, ...;
        NaN where a step has no such figure. Raises `ClewError` for a line that is none of metrics."""
        return as_arrays(read_metrics(self.folder).steps)

    def evaluations(self) -> dict[str, NDArray[np.float64]]:
        """The evaluations as arrays, as `metrics`: step, and each held-out figure."""
        rows = read_metrics(self.folder).evaluations
        return as_arrays([{"step": row["step"], **row["evaluation"]} for row in rows])

    def curves(self, *others: Run) -> Figure:
        """Training loss and held-out score against the step, of this run and of `others`, as a matplotlib figure."""
        return draw([run._curves() for run in (self, *others)])

    def _curves(self) -> Curves:
        return Curves(self.folder.name, self.metrics(), self.evaluations(), self.manifest.get("watched"))

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest on disk (`status`, `device`, ...)."""
        self.manifest = {**self.manifest, **fields}
        files.write_json(self.folder / MANIFEST, self.manifest)

    def read_recipe(self, kind: type[R]) -> R:
        """Read the resolved recipe back. Raises `ClewError` when it is not the one that the run was made with."""
        path = self.folder / RECIPE
        values = recipe.read_yaml(path)
        loaded = recipe.validate(kind, values, str(path))
        if recipe.sha256_as_written(loaded, values) != self.manifest["recipe_sha256"]:
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
                f"{evidence.sha256[:12]}, then {str(begun_with['sha256'])[:12]}). Restore it, or start a new run."
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

                # Who looks whether the run is alive shares the lock for an instant, as often as a page polls.
                deadline = time.monotonic() + 1.0
                while True:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if time.monotonic() > deadline:
                            raise ClewError(
                                f"Another process is training {self.folder}. Wait for it to end, or stop it first."
                            ) from None
                        time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    @property
    def is_alive(self) -> bool:
        """Whether a process trains the run at this moment."""
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            descriptor = os.open(self.folder / ".lock", os.O_RDONLY)
            try:
                # Shared, so that those who look do not take one another for a trainer.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
        return False

    @property
    def status(self) -> str:
        """How the run stands; "killed" where the manifest says that it runs and no process does."""
        recorded = str(self.manifest["status"])
        return "killed" if recorded == "running" and not self.is_alive else recorded


def create_run(
    runs_dir: Path,
    settled: Recipe,
    evidence: Evidence,
    *,
    parent: Mapping[str, Any] | None = None,
    keep: Callable[[Path], None] | None = None,
    folder: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> Run:
    """Make `runs_dir/<name>-<utc>-<short id>/` with manifest, resolved recipe and what `keep` writes into it.

    `parent`: what the manifest says of the weights that the run starts from. `folder`: in place of the made-up name.
    `about`: further fields of the manifest.

    The folder appears whole or not at all. Raises `ClewError`.
    """
    run_id = uuid.uuid4().hex
    now = datetime.now(UTC)
    if folder is None:
        folder = runs_dir / f"{settled.name}-{now:%Y%m%dT%H%M%SZ}-{run_id[:6]}"
    else:
        _check_free(folder)
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
        "parent": None,
        **(parent or {}),
        **(about or {}),
        "git_sha": git_sha,
        "dirty": dirty,
        "versions": _versions(),
        "device": None,
        "command": [Path(sys.argv[0]).name, *map(without_passwords, sys.argv[1:])],
        "artifacts_path": str(folder),
    }
    with files.whole_folder(folder) as temporary:
        files.write_json(temporary / MANIFEST, manifest)
        files.write_text(temporary / RECIPE, recipe.to_yaml(settled))
        (temporary / CHECKPOINTS).mkdir(mode=files.FOLDER_MODE)
        (temporary / REPORTS).mkdir(mode=files.FOLDER_MODE)
        if keep is not None:
            keep(temporary)
    return Run(folder, manifest)


def _check_free(folder: Path) -> None:
    """Raise `UsageError` where a run's folder was chosen that holds something; an empty one makes room."""
    if files.is_file(folder / MANIFEST):
        raise UsageError(
            f"{folder} is the folder of a run already. Go on with it by `clew resume {folder}`, or choose another."
        )
    if files.is_folder(folder):
        with files.sentences_for(folder, "write the folder"):
            if any(folder.iterdir()):
                raise UsageError(f"{folder} holds files already, so no run is put there. Choose another folder.")
            folder.rmdir()


def open_run(folder: Path) -> Run:
    """Open an existing run folder. Raises `ClewError` when it is none."""
    if not (folder / MANIFEST).is_file():
        raise ClewError(f"{folder} is not a run folder: it holds no {MANIFEST}. `clew runs list` shows the runs.")
    manifest = files.read_json(folder / MANIFEST, what="a run manifest")
    if not isinstance(manifest, dict):
        raise ClewError(f"{folder / MANIFEST} lacks the fields of a manifest: it is not one of a Clew run.")
    for field in ("run_id", "name", "objective", "created_at", "recipe_sha256", "evidence", "status"):
        if field not in manifest:
            raise ClewError(f"{folder / MANIFEST} lacks the field '{field}': it is not a manifest of a Clew run.")
        kind = dict if field == "evidence" else str
        if not isinstance(manifest[field], kind):
            raise ClewError(f"{folder / MANIFEST}: the field '{field}' is {manifest[field]!r:.80}, which it cannot be.")
    lacking = {"kind", "path", "sha256"} - manifest["evidence"].keys()
    if lacking:
        raise ClewError(f"{folder / MANIFEST}: the field 'evidence' lacks '{min(lacking)}'.")
    return Run(folder, manifest)


def survey(runs_dir: Path) -> tuple[list[Run], list[str]]:
    """The runs in `runs_dir`, oldest first, and a sentence about each folder whose manifest is broken.

    A folder that holds no manifest is passed over.
    """
    found, broken = [], []
    with contextlib.suppress(OSError):
        for path in sorted(runs_dir.glob(f"*/{MANIFEST}")):
            try:
                found.append(open_run(path.parent))
            except ClewError as error:
                broken.append(str(error))
    return sorted(found, key=lambda run: (run.manifest["created_at"], run.folder.name)), broken


def list_runs(runs_dir: Path = Path("runs")) -> list[Run]:
    """The runs in `runs_dir`, oldest first. A folder that is no run, or a broken one, is passed over."""
    return survey(runs_dir)[0]


def find_run(name: str | None = None, runs_dir: Path = Path("runs")) -> Run:
    """Open a run by folder, by name or unique beginning of a name in `runs_dir`, or the newest one (None)."""
    if name is not None and files.is_file(Path(name) / MANIFEST):
        return open_run(Path(name))
    runs, broken = survey(runs_dir)
    if not runs and broken:
        raise ClewError(f"There is no whole run in {runs_dir}. {broken[0]}")
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
            ["git", *quiet, *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    # The working folder may be a stranger's repository, whose settings must not have commands run.
    quiet = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    try:
        commit = ask("rev-parse", "HEAD")
        with contextlib.suppress(subprocess.CalledProcessError):  # where no setting matches, git says so by its code
            settings = ask("config", "--null", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$")
            quiet += [word for name in settings.split("\0") if name for word in ("-c", f"{name}=")]
        return commit, bool(ask("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
