"""Checkpoints as tensors: safetensors and JSON in one folder, written whole or not at all, verified when read.

How the folders lie and which is the newest stands in `clew.runs.checkpoints`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, isfinite, nn

from clew.core import files
from clew.core.errors import CheckpointError, ClewError
from clew.runs.checkpoints import FORMAT, MODEL, OPTIMIZER, STATE, check_files, other, point, prune, read_state

TENSORS = "state.safetensors"


@dataclass(frozen=True)
class Frozen:
    """Weights that do not train: their names in the model, where they come from, and the hash of what lies there."""

    names: frozenset[str]
    source: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: weights and optimiser state by name, and the state of all else as JSON and tensors."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(
    folder: Path,
    *,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    best: bool,
    keep: int,
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write `folder/step_NNNNNNNN`, point `latest.json` (and `best.json`) at it, and prune to the `keep` newest.

    Returns the checkpoint's folder. Raises `ClewError` (disk full, not writable) with nothing half-written left and
    the pointers where they were.
    """
    files.remove_leftovers(folder)
    path = folder / f"step_{step:08d}"
    content = {MODEL: model, OPTIMIZER: optimizer, **({TENSORS: tensors} if tensors else {})}
    # A folder of this name is what a killed process published without its pointer: `drop_later` left no other.
    with files.whole_folder(path, replace=True) as temporary:
        for name, held in content.items():
            _save_tensors(temporary / name, held)
        hashes = {name: files.sha256_of_file(temporary / name) for name in content}
        files.write_json(temporary / STATE, {"format": FORMAT, "step": step, **state, "sha256": hashes})
    for which in ("latest", *(["best"] if best else [])):
        point(folder, which, path, step)
    prune(folder, keep)
    return path


def read_checkpoint(path: Path, *, with_optimizer: bool = True) -> Checkpoint:
    """Read and verify a checkpoint folder. Raises `CheckpointError` naming the file that is missing or altered."""
    state = read_state(path)
    names = (MODEL, *((OPTIMIZER,) if with_optimizer else ()), *((TENSORS,) if TENSORS in state["sha256"] else ()))
    check_files(path, state, names)
    held: dict[str, dict[str, Tensor]] = {}
    for name in names:
        try:
            held[name] = load_file(path / name)
        except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path / name} cannot be read: {error}. {other(path)}") from error
    return Checkpoint(held[MODEL], held.get(OPTIMIZER, {}), state, held.get(TENSORS, {}))


def weights_of(model: nn.Module, frozen: Frozen | None = None) -> dict[str, Tensor]:
    """What a checkpoint of `model` holds: its weights and buffers by name, tied ones once, without the frozen ones."""
    skipped = frozen.names if frozen else frozenset()
    found: dict[str, Tensor] = {}
    seen: set[tuple[Any, ...]] = set()
    for name, tensor in model.state_dict().items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        if name not in skipped and (not tensor.numel() or place not in seen):
            found[name] = tensor
        seen.add(place)
    return found


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path, *, frozen: Frozen | None = None) -> None:
    """Copy `weights` into `model`. Raises `CheckpointError` naming the first that does not fit."""
    wanted = weights_of(model, frozen)
    check_same_model(weights, wanted, path)
    model.load_state_dict(weights, strict=len(wanted) == len(model.state_dict()))


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `CheckpointError` where what trains has diverged: nothing good comes of going on from there."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(isfinite(tensor).all()):
            raise CheckpointError(f"In the checkpoint {path} '{name}' holds NaN or infinity. {other(path)}")


def check_same_model(checkpoint: Mapping[str, Tensor], model: Mapping[str, Tensor], path: Path) -> None:
    """Raise `CheckpointError` unless both have the same names and shapes, naming the first that differs."""
    for name, tensor in model.items():
        if name not in checkpoint:
            raise CheckpointError(f"The checkpoint {path} lacks the weight '{name}': it is of another model.")
        if checkpoint[name].shape != tensor.shape:
            raise CheckpointError(
                f"In the checkpoint {path} the weight '{name}' has shape {list(checkpoint[name].shape)}, but the "
                f"recipe's model has {list(tensor.shape)}: another size or another vocabulary."
            )
    if extra := sorted(set(checkpoint) - set(model)):
        raise CheckpointError(f"The checkpoint {path} has the weight '{extra[0]}', which the recipe's model lacks.")


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        # safetensors words the system's refusal; the number in it lets it be said as any other refusal.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise ClewError(f"Could not write {path}: {error}.") from error
        raise OSError(int(number[1]), errno.errorcode.get(int(number[1]), "?")) from error
