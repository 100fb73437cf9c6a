"""A bundle, loaded and checked: the ONNX session, the tokenizer, the config and where it all comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clew.bundle.names import (
    CONFIG_FILE,
    INPUT_IDS,
    LOGITS,
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    past_name,
    present_name,
)
from clew.bundle.pieces import token_bytes
from clew.bundle.session import Signature, open_session, run_session, signature
from clew.bundle.tokenizer import panics_as, read_tokenizer
from clew.core import files
from clew.core.errors import BundleError, ClewError

Cache = list[NDArray[np.float32]]
"""Key and value of each layer in turn, each [batch, n_heads, past, head_dim]."""

LARGEST_SIZE = 10_000_000
"""Of any size in a config; tables are made by it before the model is run."""
_SIZES = ("vocab_size", "context_length", "n_layers", "n_heads", "head_dim")


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """The keys of `config.json` that a host needs."""

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    head_dim: int


class Bundle:
    """A language-model bundle ready to run. Made by `load_bundle`."""

    def __init__(
        self,
        folder: Path,
        session: onnxruntime.InferenceSession,
        tokenizer: Tokenizer,
        config: BundleConfig,
        manifest: dict[str, Any] | None,
    ) -> None:
        self.folder = folder
        self.tokenizer = tokenizer
        self.config = config
        self.manifest = manifest
        self.pieces = token_bytes(tokenizer, config.vocab_size)
        """The bytes that each token id stands for."""
        layers = [(layer, part) for layer in range(config.n_layers) for part in ("key", "value")]
        self._session = session
        self._past_names = [past_name(layer, part) for layer, part in layers]
        self._output_names = [LOGITS, *(present_name(layer, part) for layer, part in layers)]

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, no special tokens."""
        with panics_as(BundleError, self.folder / TOKENIZER_FILE):
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def empty_cache(self, batch: int = 1, length: int = 0) -> Cache:
        """A cache of `length` zero slots."""
        shape = (batch, self.config.n_heads, length, self.config.head_dim)
        return [np.zeros(shape, np.float32) for _ in self._past_names]

    def run(self, input_ids: NDArray[np.int64], past: Cache) -> tuple[NDArray[np.float32], Cache]:
        """Return logits [batch, seq, vocab_size] for `input_ids` [batch, seq] after `past`, and the extended cache.

        Raises `BundleError` for logits that no token can be drawn from: NaN, or none of them finite.
        """
        feed: dict[str, NDArray[Any]] = dict(zip(self._past_names, past, strict=True))
        feed[INPUT_IDS] = input_ids
        logits, *present = run_session(self._session, self._output_names, feed, self.folder / MODEL_FILE)
        if not np.isfinite(logits.max(axis=-1)).all():
            raise BundleError(
                f"{self.folder / MODEL_FILE} gives logits that are no numbers (NaN or infinite), so no token can be "
                "drawn: its weights are damaged, or its training diverged. Export an earlier checkpoint."
            )
        return logits, present


def load_bundle(path: Path | str, *, threads: int = 1, verify: bool = True) -> Bundle:
    """Load the bundle in folder `path` for `threads` CPU threads.

    With `verify`, each file must have the hash that `bundle.json` records (a bundle that another tool wrote has no
    `bundle.json`; then there is nothing to compare). Config, graph and tokenizer must agree in any case.
    Raises `BundleError` naming the file that is missing, truncated, altered or of another model.
    """
    folder = Path(path)
    if not files.is_folder(folder):
        raise BundleError(f"There is no bundle {folder}: it is not a folder. `clew export` makes one.")
    for name in (MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE):
        if not files.is_file(folder / name):
            raise BundleError(f"{folder} is not a bundle: it lacks {name}. Export or copy it again.")
    manifest = _read_object(folder / MANIFEST_FILE) if (folder / MANIFEST_FILE).is_file() else None
    verified = False
    if verify and manifest is not None:
        _check_hashes(folder, manifest)
        verified = True
    config = _read_config(folder / CONFIG_FILE)
    tokenizer = read_tokenizer(folder / TOKENIZER_FILE, known=verified)
    words = tokenizer.get_vocab_size(with_added_tokens=True)
    # Another tool's model may have rows to spare; ours has one row a token.
    if words > config.vocab_size or (manifest is not None and words != config.vocab_size):
        raise BundleError(
            f"{folder / TOKENIZER_FILE} has {words} tokens, but the model has {config.vocab_size}: it is the tokenizer "
            "of another vocabulary. Put back the one that the model was trained with."
        )
    model = folder / MODEL_FILE
    session = open_session(model, threads=threads, advice="Export or copy the bundle again.")
    _check_graph(*signature(session, model), config, folder)
    return Bundle(folder, session, tokenizer, config, manifest)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path, what="a part of a bundle")
    except ClewError as error:
        raise BundleError(f"{error} Export or copy the bundle again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds no JSON object: it is not a part of a bundle.")
    return content


def _check_hashes(folder: Path, manifest: dict[str, Any]) -> None:
    recorded = manifest.get("files")
    if not isinstance(recorded, dict) or not {MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE} <= recorded.keys():
        raise BundleError(f"{folder / MANIFEST_FILE} does not list the hashes of the bundle's files: export it again.")
    for name, sha256 in recorded.items():
        # A name that leads out of the folder would have any file of this machine read.
        if not name or Path(name).name != name or name == ".." or "\0" in name:
            raise BundleError(
                f"{folder / MANIFEST_FILE} lists {name!r}, which is no name of a file in the bundle. Export it again."
            )
        if not (folder / name).is_file():
            raise BundleError(f"{folder} lacks {name}, which its {MANIFEST_FILE} lists. Export or copy it again.")
        if files.sha256_of_file(folder / name) != sha256:
            raise BundleError(
                f"{folder / name} is truncated or was altered: its hash is not the one in {MANIFEST_FILE}. "
                "Export or copy the bundle again."
            )


def _read_config(path: Path) -> BundleConfig:
    content = _read_object(path)
    for key in _SIZES:
        value = content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_SIZE:
            raise BundleError(
                f"{path}: '{key}' is {repr(value)[:60]}, but must be a positive whole number (up to {LARGEST_SIZE:,})."
            )
    return BundleConfig(**{key: content[key] for key in _SIZES})


def _check_graph(actual_inputs: Signature, actual_outputs: Signature, config: BundleConfig, folder: Path) -> None:
    """Names, types and fixed dimensions of the graph must be those that the config and the contract say."""
    cache = [None, config.n_heads, None, config.head_dim]
    layers = min(config.n_layers, len(actual_inputs))  # one that is missing is enough to be told
    parts = [(layer, part) for layer in range(layers) for part in ("key", "value")]
    inputs: dict[str, tuple[str, list[int | None]]] = {INPUT_IDS: ("tensor(int64)", [None, None])}
    inputs |= {past_name(*each): ("tensor(float)", cache) for each in parts}
    outputs: dict[str, tuple[str, list[int | None]]] = {LOGITS: ("tensor(float)", [None, None, config.vocab_size])}
    outputs |= {present_name(*each): ("tensor(float)", cache) for each in parts}
    for kind, expected, present in (("input", inputs, actual_inputs), ("output", outputs, actual_outputs)):
        for name in dict.fromkeys([*expected, *present]):
            if name not in present or name not in expected:
                where = "lacks" if name not in present else "has beyond its config"
                raise BundleError(
                    f"{folder / MODEL_FILE} {where} the {kind} '{name}': it does not belong to {folder / CONFIG_FILE}."
                )
            type_, shape = expected[name]
            actual_type, actual_shape = present[name]
            # A size that may be any must not be fixed either: lines and batches are of many lengths.
            fits = len(shape) == len(actual_shape) and all(
                not isinstance(actual, int) or size == actual for size, actual in zip(shape, actual_shape, strict=True)
            )
            if actual_type != type_ or not fits:
                raise BundleError(
                    f"{folder / MODEL_FILE}: the {kind} '{name}' is {actual_type} {actual_shape}, but "
                    f"{folder / CONFIG_FILE} says {type_} {['any' if size is None else size for size in shape]}."
                )
