"""Where an export of any family comes from, and what every export records: the checkpoint, its run, the manifest."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from clew.core import files
from clew.core.errors import CheckpointError, ClewError
from clew.recipes import base as recipe
from clew.runs import checkpoints
from clew.runs import folder as runs

FORMAT = 1


@dataclass(frozen=True)
class Source:
    """A checkpoint to export, with what its provenance is made of. Its weights are not read yet."""

    name: str
    checkpoint: Path
    """Folder of the checkpoint."""
    state: dict[str, Any]
    """The checkpoint's state."""
    run: runs.Run | None = None
    """None for a checkpoint folder that was copied out of its run."""
    recipe: dict[str, Any] | None = None

    @property
    def family(self) -> str:
        """Which kind of model the checkpoint says it holds: "gpt", "policy_value", ..."""
        described = self.state.get("model")
        return str(described.get("family", "gpt")) if isinstance(described, dict) else "gpt"

    @property
    def objective(self) -> str | None:
        """The objective of its run; None for a checkpoint without one."""
        return str(self.run.manifest["objective"]) if self.run else None


class Exporter(Protocol):
    """What a family gives so that its checkpoints can be exported."""

    def __call__(self, source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
        """Write `source` to the new `folder`, whole and verified or not at all; return its manifest.

        Raises `UsageError` for a format that the family does not have, `BundleError` with figures when what was
        written does not give what torch gives, `ClewError` when the folder exists or cannot be written.
        """


def find_source(name: str | None, *, runs_dir: Path = Path("runs"), which: str = "best") -> Source:
    """The checkpoint that `name` means: a checkpoint folder, a run folder, a run's name, or the newest run (None).

    Of a run, the checkpoint is `which`: "best", "latest" or a step number. Raises `CheckpointError`, `UsageError`.
    """
    if name is not None and files.is_file(Path(name) / checkpoints.STATE):
        folder = Path(name)
        beside = folder.resolve().parent.parent
        run = runs.open_run(beside) if files.is_file(beside / runs.MANIFEST) else None
    else:
        if name is not None and files.is_folder(Path(name)) and not files.is_file(Path(name) / runs.MANIFEST):
            raise CheckpointError(
                f"{name} is neither a run folder (it holds no {runs.MANIFEST}) nor a checkpoint (it holds no "
                f"{checkpoints.STATE}). `clew runs list` shows the runs."
            )
        run = runs.find_run(name, runs_dir)
        folder = checkpoints.find_checkpoint(run.checkpoints, which)
    settings = recipe.read_yaml(run.folder / runs.RECIPE) if run else None
    label = str(run.manifest["name"]) if run else folder.resolve().name
    return Source(label, folder, checkpoints.read_state(folder), run, settings)


def default_folder(name: str, under: Path = Path("export")) -> Path:
    """`under/NAME-YYYY-MM-DD-HH-MM-SS`, in local time; a second export within the second gets `-2` behind it."""
    folder = under / f"{name}-{datetime.now():%Y-%m-%d-%H-%M-%S}"
    count = 1
    while (free := folder if count == 1 else folder.with_name(f"{folder.name}-{count}")).exists():
        count += 1
    return free


def provenance(source: Source) -> dict[str, Any]:
    """Where the weights come from, as JSON: run, recipe, evidence, checkpoint, each with its hash."""
    weights = source.checkpoint / checkpoints.MODEL
    origin: dict[str, Any] = {
        "name": source.name,
        "checkpoint": {
            "folder": source.checkpoint.name,
            "step": source.state.get("step"),
            "sha256": files.sha256_of_file(weights),
        },
        "run_id": None,
        "recipe_sha256": None,
        "recipe": source.recipe,
        "evidence": None,
    }
    if source.run is not None:
        manifest = source.run.manifest
        origin |= {
            key: manifest.get(key) for key in ("run_id", "recipe_sha256", "evidence", "seed", "git_sha", "dirty")
        }
        origin["trained_with"] = manifest.get("versions")
    return origin


def manifest_json(source: Source, folder: Path, *, family: str) -> dict[str, Any]:
    """What any export records: the `family` of its hosts, origin, versions, the hash of every file in `folder`."""
    return {
        "format": FORMAT,
        "family": family,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(source),
        "exported_with": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("clew", "torch", "onnx", "onnxruntime")},
        },
        "files": {
            path.relative_to(folder).as_posix(): files.sha256_of_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def verdict(parity: dict[str, Any]) -> str:
    """What the comparison that an export recorded comes to, as a clause; `parity` is the manifest's."""
    if "transformers_max_abs_logits_difference" in parity:
        return f"transformers gives the same logits within {parity['transformers_max_abs_logits_difference']:.1e}"
    ways = parity.get("ways")
    if ways is None:
        figures = [f"{key.replace('_', ' ')} {value:.3g}" for key, value in parity.items() if isinstance(value, float)]
        return f"ONNX Runtime against torch: {', '.join(figures)}"
    difference = max(way["max_abs_logits_difference"] for way in ways.values())
    return (
        f"ONNX Runtime gives the same logits within {difference:.1e} and the same {parity['greedy_tokens']} greedy "
        f"tokens, {len(ways)} ways of starting"
    )


def require(module: str, extra: str, purpose: str) -> None:
    """Raise a `ClewError` that tells how to install `module` when it is not there."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise ClewError(f"{purpose} needs {module}. Install it with: pip install 'clew[{extra}]'.")
