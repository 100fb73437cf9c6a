"""Stored trajectories: what was seen, done and earned, with the log-probabilities of the policy that did it.

A `.jsonl` file has an object a line, an episode or a part of one: `observations` (one more than steps: the last is
what followed), `actions`, `rewards`, `log_probs`, `terminated` (whether the episode ended there, or was only broken
off), and where they are known `action_masks`, `guards`, `latencies`, each a value a step. A `.npz` file has arrays of
all steps one behind the other: observations [steps, size], next_observations [steps, size], actions [steps] or [steps,
columns], rewards, log_probs, terminated, truncated [steps], and where known action_masks [steps, outputs], guards,
latencies.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core import files
from clew.core.errors import EvidenceError
from clew.environments.spaces import Actions

MOST_LINES = 1_000_000
_PER_STEP = ("actions", "rewards", "log_probs")
_OPTIONAL = {"action_masks": "masks", "guards": "guards", "latencies": "latencies"}
_ARRAYS = ("observations", "next_observations", "actions", "rewards", "log_probs", "terminated", "truncated")


@dataclass(frozen=True)
class Steps:
    """Steps of trajectories one behind the other."""

    observations: NDArray[np.float32]
    """[steps, size]"""
    next_observations: NDArray[np.float32]
    """[steps, size]: what followed."""
    actions: NDArray[Any]
    """int64 or float32 [steps, columns]"""
    rewards: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    """Where a trajectory ends, either way."""
    masks: NDArray[np.bool_] | None = None
    guards: NDArray[np.float32] | None = None
    latencies: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rewards)


def read_trajectories(path: Path, size: int, actions: Actions) -> Steps:
    """Read a file of trajectories of an environment with observations of `size` numbers and these `actions`.

    Raises `EvidenceError` naming file, line or array, and what is wrong with it.
    """
    if path.suffix == ".npz":
        found = _from_arrays(path, size, actions)
    elif path.suffix in (".jsonl", ".json"):
        found = _from_lines(path, size, actions)
    else:
        raise EvidenceError(f"{path}: trajectories are read from .jsonl and .npz files; rename or convert it.")
    if not len(found):
        raise EvidenceError(f"{path} holds no step: there is nothing to learn from.")
    return found


def write_trajectories(path: Path, trajectories: list[dict[str, Any]]) -> None:
    """Write trajectories as a `.jsonl` file, whole or not at all, in the form that `read_trajectories` reads."""
    files.write_text(path, "".join(json.dumps(each, allow_nan=False) + "\n" for each in trajectories), replaces=LINES)


LINES = files.json_lines_output("trajectories (JSON lines)", "observations", "actions", "rewards", "log_probs")


def _from_lines(path: Path, size: int, actions: Actions) -> Steps:
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    parts = []
    optional: set[str] | None = None
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EvidenceError(
                f"{where}: this line is no JSON ({error}); a trajectory is an object a line."
            ) from error
        if not isinstance(told, dict):
            raise EvidenceError(f"{where}: a trajectory is a JSON object, with the keys observations, {_spelled()}.")
        for key in ("observations", *_PER_STEP, "terminated"):
            if key not in told:
                raise EvidenceError(
                    f"{where}: the key '{key}' is missing; a trajectory has observations, {_spelled()}."
                )
        if not isinstance(told["terminated"], bool):
            raise EvidenceError(f"{where}: 'terminated' is {str(told['terminated'])[:40]}; true or false is due.")
        has = {key for key in _OPTIONAL if key in told}
        if optional is not None and has != optional:
            raise EvidenceError(f"{where}: '{min(has ^ optional)}' stands in some trajectories and not in others.")
        optional = has
        seen = _numbers(told["observations"], where, "observations")
        steps = len(_numbers(told["rewards"], where, "rewards"))
        if seen.shape != (steps + 1, size):
            raise EvidenceError(
                f"{where}: 'observations' has the shape {list(seen.shape)}, where {steps} rewards and an environment "
                f"of {size} numbers make it {[steps + 1, size]} (the last is what followed the last step)."
            )
        arrays = {key: _numbers(told[key], where, key) for key in (*_PER_STEP, *sorted(has))}
        terminated, ends = np.zeros(steps, np.bool_), np.zeros(steps, np.bool_)
        if steps:
            terminated[-1], ends[-1] = told["terminated"], True
        arrays |= {"observations": seen[:-1], "next_observations": seen[1:]}
        parts.append(_checked(arrays, terminated, ends, where, size, actions))
    if not parts:
        raise EvidenceError(f"{path} holds no trajectory: there is nothing to learn from.")
    return _joined(parts)


def _from_arrays(path: Path, size: int, actions: Actions) -> Steps:
    try:
        with files.sentences_for(path, "read"), np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise EvidenceError(f"{path} is no file of arrays that numpy wrote without pickle ({error}).") from error
    for name in _ARRAYS:
        if name not in arrays:
            raise EvidenceError(f"{path}: the array '{name}' is missing; needed are {', '.join(_ARRAYS)}.")
    converted = {
        name: _numbers(array, str(path), name) for name, array in arrays.items() if name in (*_ARRAYS, *_OPTIONAL)
    }
    steps = len(converted["rewards"])
    flags = []
    for name in ("terminated", "truncated"):
        if converted[name].shape != (steps,):
            raise EvidenceError(
                f"{path}: '{name}' has the shape {list(converted[name].shape)}, where {[steps]} is due."
            )
        flags.append(converted.pop(name) > 0.5)
    ends = flags[0] | flags[1]
    if steps:
        ends[-1] = True
    return _checked(converted, flags[0], ends, str(path), size, actions)


def _checked(
    arrays: Mapping[str, NDArray[np.float64]],
    terminated: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    where: str,
    size: int,
    actions: Actions,
) -> Steps:
    """The arrays in their types. Raises `EvidenceError` for a wrong shape, or an action that cannot be."""
    steps = len(arrays["rewards"])
    taken = (
        arrays["actions"].reshape(steps, -1) if steps and arrays["actions"].size else np.zeros((steps, actions.columns))
    )
    due = {
        "observations": (steps, size),
        "next_observations": (steps, size),
        "rewards": (steps,),
        "log_probs": (steps,),
        "action_masks": (steps, actions.outputs),
        "guards": (steps,),
        "latencies": (steps,),
    }
    for name, shape in due.items():
        if name in arrays and arrays[name].shape != shape and steps:
            raise EvidenceError(
                f"{where}: '{name}' has the shape {list(arrays[name].shape)}, where {list(shape)} is due."
            )
    if taken.shape != (steps, actions.columns):
        raise EvidenceError(
            f"{where}: 'actions' has the shape {list(taken.shape)}, where {[steps, actions.columns]} is due."
        )
    if actions.kind != "box":
        rows: NDArray[Any] = taken.astype(np.int64)
        wrong = (rows != taken) | (rows < 0) | (rows >= np.array(actions.sizes))
        if wrong.any():
            step = int(np.argwhere(wrong)[0][0])
            raise EvidenceError(
                f"{where}: the action of step {step} is {taken[step].tolist()}; whole numbers below "
                f"{list(actions.sizes)} are due."
            )
        if (arrays["log_probs"] > 1e-6).any():
            step = int(np.argmax(arrays["log_probs"] > 1e-6))
            raise EvidenceError(
                f"{where}: the log-probability of step {step} is {arrays['log_probs'][step]:g}; that of a choice is at "
                "most 0. Store the natural logarithm of the probability with which the policy took the action."
            )
    else:
        rows = taken.astype(np.float32)
    masks = arrays["action_masks"] > 0.5 if "action_masks" in arrays else None
    if masks is not None and steps:
        at = 0
        for column, choices in enumerate(actions.sizes):
            legal = np.take_along_axis(
                masks[:, at : at + choices], rows[:, column : column + 1].astype(np.int64), axis=1
            )
            if not legal.all():
                raise EvidenceError(
                    f"{where}: the action of step {int(np.argmin(legal))} is one that its mask forbids."
                )
            at += choices
    return Steps(
        observations=arrays["observations"].astype(np.float32).reshape(steps, size),
        next_observations=arrays["next_observations"].astype(np.float32).reshape(steps, size),
        actions=rows,
        rewards=arrays["rewards"].astype(np.float32),
        log_probs=arrays["log_probs"].astype(np.float32),
        terminated=terminated,
        ends=ends,
        masks=masks,
        guards=arrays["guards"].astype(np.float32) if "guards" in arrays else None,
        latencies=arrays["latencies"].astype(np.float32) if "latencies" in arrays else None,
    )


def _joined(parts: list[Steps]) -> Steps:
    def all_of(name: str) -> Any:
        each = [getattr(part, name) for part in parts]
        return None if each[0] is None else np.concatenate(each)

    return Steps(**{name: all_of(name) for name in Steps.__dataclass_fields__})


def _numbers(values: Any, where: str, name: str) -> NDArray[np.float64]:
    try:
        found = np.asarray(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise EvidenceError(f"{where}: '{name}' is no array of numbers, or its rows differ in length.") from None
    if not np.isfinite(found).all():
        raise EvidenceError(f"{where}: '{name}' holds NaN or infinity.")
    return found


def _spelled() -> str:
    return ", ".join((*_PER_STEP, "terminated"))
