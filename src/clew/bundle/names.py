"""Names that a bundle's files, inputs and outputs carry; hosts outside Clew rely on them."""

from __future__ import annotations

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"
MANIFEST_FILE = "bundle.json"

INPUT_IDS = "input_ids"
LOGITS = "logits"


def past_name(layer: int, part: str) -> str:
    """Input that holds a layer's cache; `part` is "key" or "value"."""
    return f"past_key_values.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Output that holds a layer's extended cache."""
    return f"present_key_values.{layer}.{part}"
