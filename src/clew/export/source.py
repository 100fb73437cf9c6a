"""Where an export comes from: a checkpoint, the run it belongs to, and the tokenizer beside it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clew.bundle.tokenizer import read_tokenizer
from clew.core import files
from clew.core.errors import BundleError, CheckpointError, ClewError
from clew.models.gpt import GPT, GPTConfig
from clew.recipes import base as recipe
from clew.runs import folder as runs
from clew.training import checkpoint

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Source:
    """A model to export, with what its provenance is made of."""

    model: GPT
    name: str
    checkpoint: Path
    state: dict[str, Any]
    tokenizer: Path
    run: runs.Run | None
    """None for a checkpoint folder that was copied out of its run."""
    recipe: dict[str, Any] | None


def find_source(name: str | None, *, runs_dir: Path = Path("runs"), which: str = "best") -> Source:
    """Load the GPT that `name` means: a checkpoint folder, a run folder, a run's name, or the newest run (None).

    Of a run, the checkpoint is `which`: "best", "latest" or a step number. Raises `CheckpointError`, `UsageError`.
    """
    if name is not None and (Path(name) / checkpoint.STATE).is_file():
        folder = Path(name)
        beside = folder.resolve().parent.parent
        run = runs.open_run(beside) if (beside / runs.MANIFEST).is_file() else None
    else:
        if name is not None and Path(name).is_dir() and not (Path(name) / runs.MANIFEST).is_file():
            raise CheckpointError(
                f"{name} is neither a run folder (it holds no {runs.MANIFEST}) nor a checkpoint (it holds no "
                f"{checkpoint.STATE}). `clew runs list` shows the runs."
            )
        run = runs.find_run(name, runs_dir)
        folder = checkpoint.find_checkpoint(run.checkpoints, which)
    model, state = load_gpt(folder)
    places = [folder, *([run.folder] if run else [])]
    tokenizer = next((place / TOKENIZER_FILE for place in places if (place / TOKENIZER_FILE).is_file()), None)
    if tokenizer is None:
        raise CheckpointError(
            f"There is no {TOKENIZER_FILE} in {' or '.join(map(str, places))}: copy the one that the model was "
            "trained with there."
        )
    settings = recipe.read_yaml(run.folder / runs.RECIPE) if run else None
    label = str(run.manifest["name"]) if run else folder.resolve().name
    return Source(model, label, folder, state, tokenizer, run, settings)


def load_gpt(folder: Path) -> tuple[GPT, dict[str, Any]]:
    """Read a checkpoint folder; return its GPT in evaluation mode and the checkpoint's state.

    Raises `CheckpointError` when the checkpoint is broken, or holds another kind of model.
    """
    held = checkpoint.read_checkpoint(folder, with_optimizer=False)
    config = _config(held.state.get("model"), folder)
    model = GPT(config)
    checkpoint.check_same_model(held.model, model.state_dict(), folder)
    model.load_state_dict(held.model)
    return model.eval(), held.state


def _config(described: Any, folder: Path) -> GPTConfig:
    if not isinstance(described, dict):
        raise CheckpointError(f"{folder} does not say which model it holds: its state has no 'model'.")
    family = described.get("family", "gpt")
    if family != "gpt":
        raise CheckpointError(f"{folder} holds a model of the family '{family}'; this export is for 'gpt'.")
    known = {field.name for field in fields(GPTConfig)}
    try:
        return GPTConfig(**{key: value for key, value in described.items() if key in known})
    except TypeError as error:
        raise CheckpointError(f"{folder} does not describe a GPT: {error}.") from error


def check_tokenizer(source: Source) -> None:
    """Raise `BundleError` unless the tokenizer has one token for each row of the model's embedding."""
    words = read_tokenizer(source.tokenizer).get_vocab_size(with_added_tokens=True)
    rows = source.model.config.vocab_size
    if words != rows:
        raise BundleError(
            f"{source.tokenizer} has {words} tokens, but the model has {rows}: it is the tokenizer of another "
            "vocabulary, so nothing was published. Put the one there that the model was trained with."
        )


def provenance(source: Source) -> dict[str, Any]:
    """Where the weights come from, as JSON: run, recipe, evidence, checkpoint, each with its hash."""
    weights = source.checkpoint / checkpoint.MODEL
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


def require(module: str, extra: str, purpose: str) -> None:
    """Raise a `ClewError` that tells how to install `module` when it is not there."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise ClewError(f"{purpose} needs {module}. Install it with: pip install 'clew[{extra}]'.")
