"""The folder of a run's checkpoints: which there are, which is the newest and the best, what each says of itself.

    checkpoints/step_00000500/{model.safetensors, optimizer.safetensors, state.json}
    checkpoints/latest.json, best.json      {"folder": "step_00000500", "step": 500}

The pointers move only after the folder they name is on the disk, so a kill at any instant leaves the last good one.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import CheckpointError, ClewError

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
FORMAT = 1
_NAME = re.compile(r"step_([0-9]{8,18})")


def find_checkpoint(folder: Path, which: str = "latest") -> Path:
    """The checkpoint folder that `which` names in `folder`: latest, best, or a step number.

    Without its pointer, the latest is the newest whose files are whole. Raises `CheckpointError` when there is none.
    """
    if which in ("latest", "best"):
        pointer = folder / f"{which}.json"
        if not pointer.is_file():
            if which == "latest" and (newest := _newest_whole(folder)) is not None:
                return newest
            raise CheckpointError(f"{folder} holds no {which} checkpoint yet: the run ended before it saved one.")
        content = files.read_json(pointer, what="a checkpoint pointer")
        name = content.get("folder") if isinstance(content, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise CheckpointError(f"{pointer} names no checkpoint folder. Choose one with --checkpoint STEP.")
        path = folder / name
    else:
        number = which.removeprefix("step_")
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise CheckpointError(f"'{which}' names no checkpoint: write latest, best or a step. {_present(folder)}")
        path = folder / f"step_{int(number):08d}"
    if not path.is_dir():
        raise CheckpointError(f"There is no checkpoint {path}. {_present(folder)}")
    return path


def _present(folder: Path) -> str:
    return f"Steps that are there: {', '.join(map(str, steps(folder))) or 'none'}."


def steps(folder: Path) -> dict[int, Path]:
    """The checkpoint folders in `folder` by step, in ascending order."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step_*"))
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def _newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint whose files have the hashes that its state records."""
    for path in reversed(steps(folder).values()):
        with contextlib.suppress(ClewError):
            check_files(path, read_state(path))
            return path
    if steps(folder):
        raise CheckpointError(f"None of the checkpoints in {folder} is whole, and latest.json is missing.")
    return None


def read_state(path: Path) -> dict[str, Any]:
    """Read the JSON state of a checkpoint folder. Raises `CheckpointError` when it is no checkpoint's."""
    state_path = path / STATE
    if not state_path.is_file():
        raise CheckpointError(f"{path} is not a checkpoint: it has no {STATE}.")
    state = files.read_json(state_path, what="the state of a checkpoint")
    if not isinstance(state, dict) or state.get("format") != FORMAT or not isinstance(state.get("sha256"), dict):
        raise CheckpointError(f"{state_path} is not the state of a Clew checkpoint of format {FORMAT}.")
    return state


def check_files(path: Path, state: dict[str, Any], names: tuple[str, ...] | None = None) -> None:
    """Raise `CheckpointError` unless the files `names` (None: all that the state records) are as they were written."""
    for name in names or tuple(state["sha256"]):
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"The checkpoint {path} lacks {name}. {other(path)}")
        if files.sha256_of_file(file) != state["sha256"].get(name):
            raise CheckpointError(
                f"{file} is truncated or was altered: its hash is not the recorded one. {other(path)}"
            )


def other(path: Path) -> str:
    """A sentence about the checkpoints beside `path`."""
    others = [str(step) for step, each in steps(path.parent).items() if each != path]
    if not others:
        return "There is no other checkpoint beside it."
    return f"Resume from another one with --checkpoint STEP; there are {', '.join(others)}."


def point(folder: Path, which: str, path: Path, step: int) -> None:
    """Point `latest.json` or `best.json` at a checkpoint."""
    files.write_json(folder / f"{which}.json", {"folder": path.name, "step": step})


def drop_later(folder: Path, step: int, best_step: int | None) -> None:
    """Make `step` the newest checkpoint of `folder` and `best_step` the best, and drop those after `step`.

    What a resumed run computes again it then writes again, whatever a kill left between a checkpoint and its
    pointers. The pointers move before anything is removed.
    """
    present = steps(folder)
    for name, pointed in (("latest", step), ("best", best_step)):
        pointer = folder / f"{name}.json"
        if pointed not in present:
            pointer.unlink(missing_ok=True)
            continue
        content = {"folder": present[pointed].name, "step": pointed}
        if not pointer.is_file() or files.read_json(pointer, what="a checkpoint pointer") != content:
            files.write_json(pointer, content)
    for later in (path for number, path in present.items() if number > step):
        with files.sentences_for(later, "remove"):
            files.remove_folder(later)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints and those that a pointer names."""
    named = set()
    for pointer in (folder / "best.json", folder / "latest.json"):
        if pointer.is_file():
            named.add(files.read_json(pointer, what="a checkpoint pointer")["folder"])
    for path in list(steps(folder).values())[:-keep]:
        if path.name not in named:
            with contextlib.suppress(OSError):  # what cannot be removed now goes with the next checkpoint
                files.remove_folder(path)
