"""The GPT of a checkpoint with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from clew.bundle.names import TOKENIZER_FILE
from clew.bundle.tokenizer import read_text, read_tokenizer, without_cutting
from clew.core.errors import BundleError, CheckpointError
from clew.export.source import Source
from clew.models.gpt import GPT, GPTConfig
from clew.runs.checkpoints import read_state
from clew.training import checkpoint

LARGEST_SIZE, MOST_LAYERS = 2**31 - 1, 4096
FAMILY = "proofs"
"""Family of the hosts, in a manifest."""


@dataclass(frozen=True)
class LoadedGPT:
    """A GPT in evaluation mode, and the text of the tokenizer.json that ships with it."""

    model: GPT
    tokenizer: str


def load_source(source: Source) -> LoadedGPT:
    """Read the GPT of `source` and the tokenizer.json beside it, or in its run.

    Raises `CheckpointError` when one is missing or broken, `BundleError` unless the tokenizer has one token for each
    row of the model's embedding.
    """
    model, _ = load_gpt(source.checkpoint)
    places = [source.checkpoint, *([source.run.folder] if source.run else [])]
    path = next((place / TOKENIZER_FILE for place in places if (place / TOKENIZER_FILE).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"There is no {TOKENIZER_FILE} in {' or '.join(map(str, places))}: copy the one that the model was "
            "trained with there."
        )
    words = read_tokenizer(path).get_vocab_size(with_added_tokens=True)
    rows = model.config.vocab_size
    if words != rows:
        raise BundleError(
            f"{path} has {words} tokens, but the model has {rows}: it is the tokenizer of another vocabulary, so "
            "nothing was published. Put the one there that the model was trained with."
        )
    return LoadedGPT(model, without_cutting(read_text(path)))


def load_gpt(folder: Path) -> tuple[GPT, dict[str, Any]]:
    """Read a checkpoint folder; return its GPT in evaluation mode and the checkpoint's state.

    Raises `CheckpointError` when the checkpoint is broken, or holds another kind of model.
    """
    config = config_of(read_state(folder).get("model"), folder)
    held = checkpoint.read_checkpoint(folder, with_optimizer=False)
    with torch.device("meta"):  # sizes that a damaged state invents take no memory
        checkpoint.check_same_model(held.model, GPT(config).state_dict(), folder)
    model = GPT(config)
    model.load_state_dict(held.model)
    return model.eval(), held.state


def config_of(described: Any, folder: Path) -> GPTConfig:
    """The sizes that a checkpoint says its GPT has. Raises `CheckpointError` for what no network has."""
    if not isinstance(described, dict):
        raise CheckpointError(f"{folder} does not say which model it holds: its state has no 'model'.")
    family = described.get("family", "gpt")
    if family != "gpt":
        raise CheckpointError(f"{folder} holds a model of the family '{str(family)[:40]}'; this export is for 'gpt'.")
    values = {field.name: described[field.name] for field in fields(GPTConfig) if field.name in described}
    for key, value in values.items():
        size = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIZE
        if not (size if key != "dropout" else isinstance(value, (int, float)) and 0 <= value < 1):
            raise CheckpointError(f"{folder} does not describe a GPT: its '{key}' is {str(value)[:40]}.")
    try:
        config = GPTConfig(**values)
    except TypeError as error:
        raise CheckpointError(f"{folder} does not describe a GPT: {error}.") from error
    if config.d_model % config.n_heads or config.head_dim % 2 or config.n_layers > MOST_LAYERS:
        raise CheckpointError(f"{folder} does not describe a GPT: no network has such sizes.")
    return config
