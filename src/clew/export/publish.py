"""From the checkpoint of a GPT to a published bundle: written beside its place, verified, then renamed into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clew.bundle.load import load_bundle
from clew.bundle.names import CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE
from clew.core import files
from clew.core.errors import UsageError
from clew.export import parity
from clew.export.gpt import FAMILY, load_source
from clew.export.onnx_gpt import gpt_to_onnx
from clew.export.source import Source, manifest_json
from clew.models.gpt import GPTConfig

FORMATS = ("onnx", "huggingface")
PROMPT_FORMAT = {
    "sections": ["@T", "@G", "@H", "@C", "@P"],
    "ends_with": "@P\n",
    "special_tokens": False,
    "cut": "on the left, to context_length - max_tokens tokens",
    "max_tokens": 100,
    "stops_at": "\n",
}
"""How a host makes a prompt of a goal: its sections as in a proof file, then the marker of the proof alone."""


def export_gpt(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the GPT of `source` to the new `folder` as "onnx" (a bundle) or "huggingface" (a `LlamaForCausalLM`).

    The exporter of proof-step models: see `clew.export.source.Exporter`.
    """
    if format == "onnx":
        return publish_onnx(source, folder)
    if format == "huggingface":
        from clew.export.huggingface import publish_huggingface

        return publish_huggingface(source, folder)
    raise UsageError(f"A GPT is exported as {' or '.join(FORMATS)}, not as '{format}'.")


def publish_onnx(
    source: Source,
    folder: Path,
    *,
    family: str = FAMILY,
    texts: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    relative: float = 0.0,
) -> dict[str, Any]:
    """Write the bundle of `source` to `folder`, whole and verified or not at all; return its `bundle.json`.

    `family`: of its hosts. `texts`: further files by name. `config`: further keys of `config.json`. `about`: further
    keys of `bundle.json`, in place of the prompt format of proofs. `relative`: see `parity.compare`.
    Raises `BundleError` with figures when ONNX Runtime does not give what torch gives, `ClewError` when the folder
    exists or cannot be written.
    """
    loaded = load_source(source)
    with files.whole_folder(folder) as temporary:
        (temporary / MODEL_FILE).write_bytes(gpt_to_onnx(loaded.model).SerializeToString())
        files.write_text(temporary / TOKENIZER_FILE, loaded.tokenizer)
        files.write_json(temporary / CONFIG_FILE, config_json(loaded.model.config) | dict(config or {}))
        for name, text in (texts or {}).items():
            files.write_text(temporary / name, text)
        figures = parity.compare(loaded.model, load_bundle(temporary), relative=relative)
        described = {"prompt_format": PROMPT_FORMAT} if about is None else dict(about)
        manifest = manifest_json(source, temporary, family=family) | described | {"parity": figures.as_json()}
        files.write_json(temporary / MANIFEST_FILE, manifest)
    return manifest


def config_json(config: GPTConfig) -> dict[str, Any]:
    """`config.json` of a bundle, with every key that hosts read."""
    return {
        "model_type": "gpt",
        "vocab_size": config.vocab_size,
        "context_length": config.context_length,
        "d_model": config.d_model,
        "n_layers": config.n_layers,
        "n_heads": config.n_heads,
        "head_dim": config.head_dim,
        "d_mlp": config.d_mlp,
        "dropout": config.dropout,
        "use_bias": False,
        "tie_embeddings": True,
        "use_cache": True,
    }
