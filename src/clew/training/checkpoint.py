"""Checkpoints: safetensors and JSON in one folder, written whole or not at all, verified when read, pruned.

    checkpoints/step_00000500/{model.safetensors, optimizer.safetensors, state.json}
    checkpoints/latest.json, best.json      {"folder": "step_00000500", "step": 500}

The pointers move only after the folder they name is on the disk, so a kill at any instant leaves the last good one.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clew.core import files
from clew.core.errors import CheckpointError, ClewError

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: weights and optimiser state by name, and the JSON state of everything else."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path,
    *,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    best: bool,
    keep: int,
) -> Path:
    """Write `folder/step_NNNNNNNN`, point `latest.json` (and `best.json`) at it, and prune to the `keep` newest.

    Returns the checkpoint's folder. Raises `ClewError` (disk full, not writable) with nothing half-written left and
    the pointers where they were.
    """
    files.remove_leftovers(folder)
    path = folder / f"step_{step:08d}"
    # A folder of this name is what a killed process published without its pointer: `drop_later` left no other.
    with files.whole_folder(path, replace=True) as temporary:
        _save_tensors(temporary / MODEL, model)
        _save_tensors(temporary / OPTIMIZER, optimizer)
        hashes = {name: files.sha256_of_file(temporary / name) for name in (MODEL, OPTIMIZER)}
        files.write_json(temporary / STATE, {"format": FORMAT, "step": step, **state, "sha256": hashes})
    pointer = {"folder": path.name, "step": step}
    files.write_json(folder / "latest.json", pointer)
    if best:
        files.write_json(folder / "best.json", pointer)
    _prune(folder, keep)
    return path


def find_checkpoint(folder: Path, which: str = "latest") -> Path:
    """The checkpoint folder that `which` names in `folder`: latest, best, or a step number.

    Raises `CheckpointError` when there is none.
    """
    if which in ("latest", "best"):
        pointer = folder / f"{which}.json"
        if not pointer.is_file():
            raise CheckpointError(f"{folder} holds no {which} checkpoint yet: the run ended before it saved one.")
        content = files.read_json(pointer, what="a checkpoint pointer")
        name = content.get("folder") if isinstance(content, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"step_\d{8,}", name):
            raise CheckpointError(f"{pointer} names no checkpoint folder. Choose one with --checkpoint STEP.")
        path = folder / name
    else:
        number = which.removeprefix("step_")
        path = folder / (f"step_{int(number):08d}" if number.isdigit() else which)
    if not path.is_dir():
        present = ", ".join(str(step) for step in _steps(folder)) or "none"
        raise CheckpointError(f"There is no checkpoint {path}. Steps that are there: {present}.")
    return path


def drop_later(folder: Path, step: int, best_step: int | None) -> None:
    """Make `step` the newest checkpoint of `folder` and `best_step` the best, and drop those after `step`.

    What a resumed run computes again it then writes again, whatever a kill left between a checkpoint and its
    pointers. The pointers move before anything is removed.
    """
    steps = _steps(folder)
    for name, pointed in (("latest", step), ("best", best_step)):
        pointer = folder / f"{name}.json"
        if pointed not in steps:
            pointer.unlink(missing_ok=True)
            continue
        content = {"folder": steps[pointed].name, "step": pointed}
        if not pointer.is_file() or files.read_json(pointer, what="a checkpoint pointer") != content:
            files.write_json(pointer, content)
    for later in (path for number, path in steps.items() if number > step):
        with files.sentences_for(later, "remove"):
            files.remove_folder(later)


def read_state(path: Path) -> dict[str, Any]:
    """Read the JSON state of a checkpoint folder. Raises `CheckpointError` when it is no checkpoint's."""
    state_path = path / STATE
    if not state_path.is_file():
        raise CheckpointError(f"{path} is not a checkpoint: it has no {STATE}.")
    state = files.read_json(state_path, what="the state of a checkpoint")
    if not isinstance(state, dict) or state.get("format") != FORMAT or not isinstance(state.get("sha256"), dict):
        raise CheckpointError(f"{state_path} is not the state of a Clew checkpoint of format {FORMAT}.")
    return state


def read_checkpoint(path: Path, *, with_optimizer: bool = True) -> Checkpoint:
    """Read and verify a checkpoint folder. Raises `CheckpointError` naming the file that is missing or altered."""
    state = read_state(path)
    tensors: dict[str, dict[str, Tensor]] = {}
    for name in (MODEL, OPTIMIZER) if with_optimizer else (MODEL,):
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"The checkpoint {path} lacks {name}. {_other(path)}")
        if files.sha256_of_file(file) != state["sha256"].get(name):
            raise CheckpointError(
                f"{file} is truncated or was altered: its hash is not the recorded one. {_other(path)}"
            )
        try:
            tensors[name] = load_file(file)
        except SafetensorError as error:
            raise CheckpointError(f"{file} cannot be read: {error}. {_other(path)}") from error
    return Checkpoint(tensors[MODEL], tensors.get(OPTIMIZER, {}), state)


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


def _other(path: Path) -> str:
    others = [str(step) for step, each in _steps(path.parent).items() if each != path]
    if not others:
        return "There is no other checkpoint beside it."
    return f"Resume from another one with --checkpoint STEP; there are {', '.join(others)}."


def _steps(folder: Path) -> dict[int, Path]:
    """The checkpoint folders in `folder` by step, in ascending order."""
    found = {int(path.name[5:]): path for path in folder.glob("step_*") if path.name[5:].isdigit()}
    return dict(sorted(found.items()))


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        # safetensors words the system's refusal; the number in it lets it be said as any other refusal.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise ClewError(f"Could not write {path}: {error}.") from error
        raise OSError(int(number[1]), errno.errorcode.get(int(number[1]), "?")) from error


def _prune(folder: Path, keep: int) -> None:
    named = set()
    for pointer in (folder / "best.json", folder / "latest.json"):
        if pointer.is_file():
            named.add(files.read_json(pointer, what="a checkpoint pointer")["folder"])
    for path in list(_steps(folder).values())[:-keep]:
        if path.name not in named:
            with contextlib.suppress(OSError):  # what cannot be removed now goes with the next checkpoint
                files.remove_folder(path)
