"""Policy/value nets from ONNX files: loaded, checked against the contract, run in batches, reloaded when they change.

A file has the input `observation` float32 [batch, obs_size] and the outputs `policy_logits` float32 [batch,
num_actions] (raw, not masked) and `value` float32 [batch, 1]. A file of ours carries the hash of its content. No torch:
an actor starts in a fraction of a second.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clew.bundle.names import MANIFEST_FILE, MODEL_FILE
from clew.bundle.seal import check_needs_no_seal, check_seal
from clew.bundle.session import Signature, metadata, open_session, run_session, signature
from clew.core import files
from clew.core.errors import BundleError, ClewError

OBSERVATION, POLICY_LOGITS, VALUE = "observation", "policy_logits", "value"
_ADVICE = "Export or copy it again."


class PolicyValueModel:
    """A policy/value net ready to run on `threads` CPU threads (0: all cores).

    `path` is an ONNX file, or the folder of an export that holds one. Raises `BundleError` naming the file and what is
    wrong with it: missing, cut short, altered since it was written, or of another shape.
    """

    def __init__(self, path: Path | str, *, threads: int = 1) -> None:
        self.path = Path(path)
        folder = self.path if files.is_folder(self.path) else None
        if folder is not None:
            self.path = folder / MODEL_FILE
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"There is no model {self.path} that can be read ({error.strerror}). `clew train alphazero` writes one."
            ) from error
        if folder is not None:
            _check_manifest(folder, content)
        # The bytes are read once and the session is made of them: a file replaced meanwhile is never half of each.
        holds_seal = check_seal(content, self.path)
        # Threads that spin between the small batches of a search would take the cores of the other processes.
        self._session = open_session(self.path, content, threads=threads, spin=False, advice=_ADVICE)
        if not holds_seal:
            check_needs_no_seal(self._session, self.path)
        inputs, outputs = signature(self._session, self.path)
        self.obs_size, self.num_actions = _sizes(inputs, outputs, self.path)
        self.metadata: dict[str, str] = metadata(self._session, self.path)
        """What the writer noted: Clew notes env_id, run, step, iteration, the recipe's hash and figures of parity."""

    @property
    def iteration(self) -> int:
        """How many models its run had published before this one; 0 where the file does not say."""
        noted = self.metadata.get("iteration", "")
        return int(noted) if noted.isdecimal() else 0

    def evaluate(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Raw policy logits float32 [batch, num_actions] and values float32 [batch] of `observations`.

        Raises `BundleError` where the model gives NaN.
        """
        logits, values = run_session(self._session, (POLICY_LOGITS, VALUE), {OBSERVATION: observations}, self.path)
        if np.isnan(logits).any() or np.isnan(values).any():
            raise BundleError(f"{self.path} gives NaN: the net in it has diverged. Name or export another one.")
        return logits, values[:, 0]

    def check_fits(self, env_id: str, *, obs_size: int, num_actions: int) -> None:
        """Raise `BundleError` unless the model is for a game of these sizes."""
        if (self.obs_size, self.num_actions) != (obs_size, num_actions):
            raise BundleError(
                f"{self.path} is a model of another game: it takes {self.obs_size} numbers and rates "
                f"{self.num_actions} actions, but {env_id} has {obs_size} and {num_actions}. Name a model of {env_id}."
            )


class HotModel:
    """The model in a file that another process replaces now and then.

    `refresh` loads it anew when the file has changed. A file that cannot be loaded (half-written by a program that
    does not rename, or of another game) leaves the model before it in service; `problem` says what was wrong.
    """

    def __init__(self, path: Path | str, *, env_id: str, obs_size: int, num_actions: int, threads: int = 1) -> None:
        self.path = Path(path)
        self.model: PolicyValueModel | None = None
        self.problem: str | None = None
        self._expected = (env_id, obs_size, num_actions)
        self._threads = threads
        self._seen: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Look at the file; return whether another model is in service now."""
        seen = _identity(self.path)
        if seen is None or seen == self._seen:
            return False
        try:
            loaded = PolicyValueModel(self.path, threads=self._threads)
            env_id, obs_size, num_actions = self._expected
            loaded.check_fits(env_id, obs_size=obs_size, num_actions=num_actions)
        except BundleError as error:
            # Looked at again when it changes: a writer that does not rename is at work, or the file stays wrong.
            self._seen, self.problem = seen, str(error)
            return False
        if _identity(self.path) == seen:
            self._seen = seen  # else it was replaced while it was read: the next look loads the newer one
        self.model, self.problem = loaded, None
        return True


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written to. A clock that was set back changes it too, harmlessly."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _check_manifest(folder: Path, content: bytes) -> None:
    """Raise `BundleError` where the folder's `bundle.json`, if it has one, tells of another model than `content`."""
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        return
    try:
        told = files.read_json(manifest, what="a part of a bundle")
    except ClewError as error:
        raise BundleError(f"{error} {_ADVICE}") from error
    recorded = told.get("files") if isinstance(told, dict) else None
    if not isinstance(recorded, dict) or recorded.get(MODEL_FILE) != files.sha256_of(content):
        raise BundleError(f"{folder / MODEL_FILE} is not the model whose hash {manifest} records. {_ADVICE}")


def _sizes(inputs: Signature, outputs: Signature, path: Path) -> tuple[int, int]:
    """obs_size and num_actions that the graph says. Raises `BundleError` where its names or types are others."""
    if list(inputs) != [OBSERVATION] or not {POLICY_LOGITS, VALUE} <= outputs.keys():
        raise BundleError(
            f"{path} is no policy/value model: it has {', '.join((*inputs, *outputs))} where {OBSERVATION}, "
            f"{POLICY_LOGITS} and {VALUE} are due."
        )
    sizes = []
    for name, (type_, shape) in ((name, (inputs | outputs)[name]) for name in (OBSERVATION, POLICY_LOGITS, VALUE)):
        if type_ != "tensor(float)" or len(shape) != 2 or isinstance(shape[0], int) or not isinstance(shape[1], int):
            raise BundleError(f"{path}: '{name}' is {type_} {shape} where float32 [batch, a fixed size] is due.")
        sizes.append(shape[1])
    if sizes[2] != 1:
        raise BundleError(f"{path}: 'value' has {sizes[2]} numbers a row where one is due.")
    return sizes[0], sizes[1]
