"""From a checkpoint to a published bundle: written beside its place, verified, then renamed into it."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clew.bundle.load import load_bundle
from clew.bundle.names import CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE
from clew.bundle.tokenizer import read_text, without_cutting
from clew.core import files
from clew.export import parity
from clew.export.onnx_gpt import gpt_to_onnx
from clew.export.source import Source, check_tokenizer, provenance
from clew.models.gpt import GPTConfig

FORMAT = 1
PROMPT_FORMAT = {
    "sections": ["@T", "@G", "@H", "@C", "@P"],
    "ends_with": "@P\n",
    "special_tokens": False,
    "cut": "on the left, to context_length - max_tokens tokens",
    "max_tokens": 100,
    "stops_at": "\n",
}
"""How a host makes a prompt of a goal: its sections as in a proof file, then the marker of the proof alone."""


def default_folder(name: str, under: Path = Path("export")) -> Path:
    """`under/NAME-YYYY-MM-DD-HH-MM-SS`, in local time; a second export within the second gets `-2` behind it."""
    folder = under / f"{name}-{datetime.now():%Y-%m-%d-%H-%M-%S}"
    count = 1
    while (free := folder if count == 1 else folder.with_name(f"{folder.name}-{count}")).exists():
        count += 1
    return free


def publish_onnx(source: Source, folder: Path) -> dict[str, Any]:
    """Write the bundle of `source` to `folder`, whole and verified or not at all; return its `bundle.json`.

    Raises `BundleError` with figures when ONNX Runtime does not give what torch gives, `ClewError` when the folder
    exists or cannot be written.
    """
    check_tokenizer(source)
    with files.whole_folder(folder) as temporary:
        (temporary / MODEL_FILE).write_bytes(gpt_to_onnx(source.model).SerializeToString())
        files.write_text(temporary / TOKENIZER_FILE, without_cutting(read_text(source.tokenizer)))
        files.write_json(temporary / CONFIG_FILE, config_json(source.model.config))
        figures = parity.compare(source.model, load_bundle(temporary))
        manifest = manifest_json(source, temporary) | {
            "prompt_format": PROMPT_FORMAT,
            "parity": figures.as_json(),
        }
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


def manifest_json(source: Source, folder: Path) -> dict[str, Any]:
    """What any export records: origin, versions, and the hash of every file in `folder`."""
    return {
        "format": FORMAT,
        "family": "proofs",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(source),
        "exported_with": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("clew", "torch", "onnx", "onnxruntime")},
        },
        "files": {
            path.relative_to(folder).as_posix(): files.sha256_of_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
