"""Guides from ONNX files: loaded, checked against the contract, run in batches, reloaded when they change.

A file has one input, `observation` float32 [batch, input_dim] as the host sees it (what normalises it is in the graph),
and the outputs `policy_logits` [batch, action_dim] (raw, not masked), `value` [batch], `guard_logits` [batch] (raw) and
`latency` [batch], all float32. A file of ours carries the hash of its content and a note that says what each action is.
No torch: a search starts in a fraction of a second.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.bundle.names import CONFIG_FILE, MANIFEST_FILE, MODEL_FILE
from clew.bundle.seal import check_needs_no_seal, check_seal
from clew.bundle.session import Signature, metadata, open_session, run_session, signature
from clew.core import files
from clew.core.errors import BundleError, ClewError

OBSERVATION = "observation"
POLICY_LOGITS, VALUE, GUARD_LOGITS, LATENCY = "policy_logits", "value", "guard_logits", "latency"
OUTPUTS = (POLICY_LOGITS, VALUE, GUARD_LOGITS, LATENCY)
NOTE = "guide"
"""Key of the note in a file of ours: JSON of what `GuideModel.about` gives, the same as in config.json."""
_ADVICE = "Export or copy it again."


class Scores(NamedTuple):
    """What a guide says of a batch of states; the names are those of the file's outputs."""

    policy_logits: NDArray[np.float32]
    """[batch, action_dim], raw: what is illegal is masked by the host."""
    value: NDArray[np.float32]
    """[batch]"""
    guard_logits: NDArray[np.float32]
    """[batch], raw."""
    latency: NDArray[np.float32]
    """[batch]"""


class GuideModel:
    """A guide ready to run on `threads` CPU threads (0: all cores).

    `path` is an ONNX file, or the folder of an export that holds one. Raises `BundleError` naming the file and what is
    wrong with it: missing, cut short, altered since it was written, or of another shape.
    """

    def __init__(self, path: Path | str, *, threads: int = 1) -> None:
        self.path = Path(path)
        folder = self.path if files.is_folder(self.path) else None
        self.path = model_file(self.path)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"There is no model {self.path} that can be read ({error.strerror}). `clew train guide` and "
                "`clew export` make one."
            ) from error
        self.manifest: dict[str, Any] | None = _checked_manifest(folder, content) if folder is not None else None
        """The folder's bundle.json; None for a single file, or a folder without one."""
        # The bytes are read once and the session is made of them: a file replaced meanwhile is never half of each.
        holds_seal = check_seal(content, self.path)
        # Threads that spin between the small batches of a search would take the cores of the other processes.
        self._session = open_session(self.path, content, threads=threads, spin=False, advice=_ADVICE)
        if not holds_seal:
            check_needs_no_seal(self._session, self.path)
        inputs, outputs = signature(self._session, self.path)
        self.input_dim, self.action_dim = _sizes(inputs, outputs, self.path)
        self.metadata: dict[str, str] = metadata(self._session, self.path)
        """What the writer noted: Clew notes run, step, the recipe's hash, figures of parity, and `guide`."""
        self.about: dict[str, Any] = _about(self.metadata, self.path)
        """What actions and observations mean: `actions` {kind, names, ...} and `observation` {kind, size, ...}."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What each action is, by its number; empty where the file does not say."""
        told = self.about.get("actions")
        names = told.get("names", []) if isinstance(told, dict) else []
        return tuple(map(str, names)) if isinstance(names, list) else ()

    def evaluate(self, observations: NDArray[np.float32]) -> Scores:
        """What the guide says of `observations` float32 [batch, input_dim]. Raises `BundleError` where it gives NaN."""
        found = Scores(*run_session(self._session, OUTPUTS, {OBSERVATION: observations}, self.path))
        if any(np.isnan(each).any() for each in found):
            raise BundleError(f"{self.path} gives NaN: the net in it has diverged. Name or export another one.")
        return found

    def check_fits(self, what: str, *, input_dim: int, actions: Sequence[str]) -> None:
        """Raise `BundleError` unless the guide reads observations of `input_dim` and its actions are `actions`, those
        of `what`; where the file does not name them, as many are enough."""
        named = self.actions or tuple(actions)
        if (self.input_dim, self.action_dim) != (input_dim, len(actions)):
            raise BundleError(
                f"{self.path} is no guide of {what}: it takes {self.input_dim} numbers and rates {self.action_dim} "
                f"actions, but {what} has {input_dim} and {len(actions)}. Name a guide of {what}, or train one."
            )
        for number, (ours, theirs) in enumerate(zip(actions, named, strict=True)):
            if ours != theirs:
                raise BundleError(
                    f"{self.path} is no guide of {what}: its action {number} is '{theirs}', where {what} has '{ours}'. "
                    "It was made for another version: train and export it again."
                )


class HotGuide:
    """The guide in a file (or in an export's folder) that another process replaces now and then.

    `refresh` loads it anew when it has changed. What cannot be loaded (half-written by a program that does not rename,
    or a guide of something else, as `check` says) leaves the one before it in service; `problem` says what was wrong.
    """

    def __init__(
        self, path: Path | str, *, check: Callable[[GuideModel], None] = lambda model: None, threads: int = 1
    ) -> None:
        self.path = Path(path)
        self.model: GuideModel | None = None
        self.problem: str | None = None
        self._check, self._threads = check, threads
        self._seen: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Look at the file; return whether another guide is in service now."""
        seen = _identity(model_file(self.path))
        if seen is None or seen == self._seen:
            return False
        try:
            loaded = GuideModel(self.path, threads=self._threads)
            self._check(loaded)
        except BundleError as error:
            # Looked at again when it changes: a writer that does not rename is at work, or the file stays wrong.
            self._seen, self.problem = seen, str(error)
            return False
        if _identity(model_file(self.path)) == seen:
            self._seen = seen  # else it was replaced while it was read: the next look loads the newer one
        self.model, self.problem = loaded, None
        return True


def model_file(path: Path) -> Path:
    """The ONNX file that `path` means: itself, or the one in the folder of an export."""
    return path / MODEL_FILE if files.is_folder(path) else path


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written to."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _checked_manifest(folder: Path, content: bytes) -> dict[str, Any] | None:
    """The folder's `bundle.json`, if it has one. Raises `BundleError` where it tells of other files than there are."""
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        return None
    try:
        told = files.read_json(manifest, what="a part of a bundle")
    except ClewError as error:
        raise BundleError(f"{error} {_ADVICE}") from error
    recorded = told.get("files") if isinstance(told, dict) else None
    if not isinstance(recorded, dict) or recorded.get(MODEL_FILE) != files.sha256_of(content):
        raise BundleError(f"{folder / MODEL_FILE} is not the model whose hash {manifest} records. {_ADVICE}")
    config = folder / CONFIG_FILE
    if CONFIG_FILE in recorded and not (config.is_file() and recorded[CONFIG_FILE] == files.sha256_of_file(config)):
        raise BundleError(f"{config} is missing or not the one whose hash {manifest} records. {_ADVICE}")
    return dict(told)


def _about(notes: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        told = json.loads(notes.get(NOTE, "{}"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} holds a note on its actions that is no JSON. {_ADVICE}") from error
    return told if isinstance(told, dict) else {}


def _sizes(inputs: Signature, outputs: Signature, path: Path) -> tuple[int, int]:
    """input_dim and action_dim that the graph says. Raises `BundleError` where its names or types are others."""
    if list(inputs) != [OBSERVATION] or not set(OUTPUTS) <= outputs.keys():
        raise BundleError(
            f"{path} is no guide: it has {', '.join((*inputs, *outputs))} where {OBSERVATION}, {', '.join(OUTPUTS)} "
            "are due."
        )
    sizes = []
    for name in (OBSERVATION, *OUTPUTS):
        type_, shape = (inputs | outputs)[name]
        wide = name in (OBSERVATION, POLICY_LOGITS)
        fits = len(shape) == (2 if wide else 1) and not isinstance(shape[0], int)
        if type_ != "tensor(float)" or not fits or (wide and not isinstance(shape[1], int)):
            due = "float32 [batch, a fixed size]" if wide else "float32 [batch]"
            raise BundleError(f"{path}: '{name}' is {type_} {shape} where {due} is due.")
        if wide and isinstance(shape[1], int):
            sizes.append(shape[1])
    return sizes[0], sizes[1]
