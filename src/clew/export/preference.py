"""What preference optimisation made, as what ships: a policy as any chat model, a reward model as one score."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from clew.bundle.chat import TEMPLATE_FILE
from clew.bundle.names import CONFIG_FILE, INPUT_IDS, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE
from clew.bundle.session import open_session, run_session
from clew.core import files
from clew.core.errors import BundleError, CheckpointError, UsageError
from clew.core.randomness import generator
from clew.export.chat import export_chat
from clew.export.gpt import config_of
from clew.export.publish import config_json
from clew.export.source import Source, manifest_json
from clew.models.reward import FAMILY, RewardGPT
from clew.runs.checkpoints import read_state
from clew.training import checkpoint

LENGTHS, SCORE, EMBEDDING = "lengths", "score", "response_embedding"
"""Names in the graph of a reward model beside `input_ids`."""
TOLERANCE = 1e-4
"""Largest difference of a score between torch and ONNX Runtime that is published, relative to scores beyond 10."""
_SHAPES = ((1, 1), (3, 7), (16, 48))
"""Rows and tokens that an export is compared on."""
_OPSET = 18
"""The oldest that the tracer writes, and no converter takes further back."""


def export_preference(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the policy or the reward model of `source` to the new `folder`: see `clew.export.source.Exporter`."""
    if source.family != FAMILY:
        return export_chat(source, folder, format)
    if format != "onnx":
        raise UsageError(f"A reward model is exported as onnx, not as '{format}'.")
    return _export_reward(source, folder)


def load_reward(folder: Path) -> RewardGPT:
    """Read a checkpoint folder; return its reward model in evaluation mode. Raises `CheckpointError`."""
    described = read_state(folder).get("model")
    if not isinstance(described, dict) or described.get("family") != FAMILY:
        raise CheckpointError(f"{folder} holds no reward model.")
    config = config_of({**described, "family": "gpt"}, folder)
    held = checkpoint.read_checkpoint(folder, with_optimizer=False)
    with torch.device("meta"):  # sizes that a damaged state invents take no memory
        checkpoint.check_same_model(held.model, RewardGPT.of_config(config).state_dict(), folder)
    model = RewardGPT.of_config(config)
    model.load_state_dict(held.model)
    return model.eval()


def _export_reward(source: Source, folder: Path) -> dict[str, Any]:
    """`model.onnx` (input_ids and lengths to score and embedding), tokenizer, template, `bundle.json`."""
    model = load_reward(source.checkpoint)
    places = [source.checkpoint, *([source.run.folder] if source.run else [])]
    texts = {}
    for name in (TOKENIZER_FILE, TEMPLATE_FILE):
        path = next((place / name for place in places if files.is_file(place / name)), None)
        if path is None:
            raise CheckpointError(f"There is no {name} in {' or '.join(map(str, places))}: copy it there.")
        texts[name] = path.read_text(encoding="utf-8")
    content = reward_to_onnx(model).SerializeToString()
    with files.whole_folder(folder) as temporary:
        files.write_bytes(temporary / MODEL_FILE, content)
        for name, text in texts.items():
            files.write_text(temporary / name, text)
        config = config_json(model.gpt.config) | {"model_type": FAMILY}
        files.write_json(temporary / CONFIG_FILE, config)
        parity = compare(model, content, folder / MODEL_FILE)
        described = {"inputs": [INPUT_IDS, LENGTHS], "outputs": [SCORE, EMBEDDING], "parity": parity}
        manifest = manifest_json(source, temporary, family=FAMILY) | described
        files.write_json(temporary / MANIFEST_FILE, manifest)
    return manifest


def reward_to_onnx(model: RewardGPT) -> onnx.ModelProto:
    """`model` as ONNX, float32: `input_ids` int64 [batch, seq], filled up on the right, and `lengths` int64 [batch] to
    `score` [batch] and `response_embedding` [batch, d_model]. Seconds of work."""
    model.eval()
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("seq")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Plain(model),
                (torch.zeros(2, 5, dtype=torch.int64), torch.tensor([3, 5])),
                dynamo=True,
                opset_version=_OPSET,
                input_names=[INPUT_IDS, LENGTHS],
                output_names=[SCORE, EMBEDDING],
                dynamic_shapes=({0: batch, 1: length}, {0: batch}),
                verbose=False,
            )
            assert program is not None
            return program.model_proto
    finally:
        log.setLevel(level)


def compare(model: RewardGPT, content: bytes, path: Path) -> dict[str, Any]:
    """How far ONNX Runtime is from torch on drawn tokens. Raises `BundleError` with figures where it is too far."""
    session = open_session(path, content, threads=torch.get_num_threads(), spin=False)
    worst: dict[str, float] = dict.fromkeys((SCORE, EMBEDDING), 0.0)
    rows = 0
    for number, (count, length) in enumerate(_SHAPES):
        random = generator(0, "export", number)
        tokens = random.integers(0, model.gpt.config.vocab_size, (count, length))
        lengths = random.integers(1, length + 1, count)
        found = run_session(session, [SCORE, EMBEDDING], {INPUT_IDS: tokens, LENGTHS: lengths}, path)
        with torch.inference_mode():
            expected = model(torch.from_numpy(tokens), torch.from_numpy(lengths))
        rows += count
        for name, one, other in zip(worst, found, expected, strict=True):
            right = other.numpy()
            difference = float(np.abs(one - right).max())
            # Not `>`: a NaN must fail.
            if not difference <= TOLERANCE * max(1.0, float(np.abs(right).max()) / 10):
                raise BundleError(
                    f"ONNX Runtime gives another {name} than torch, by {difference:.1e}, so nothing was published."
                )
            worst[name] = max(worst[name], difference)
    return {"rows": rows, **{f"max_abs_{name}_difference": value for name, value in worst.items()}}


class _Plain(nn.Module):
    """The model with the names of the graph's inputs."""

    def __init__(self, model: RewardGPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score, embedding = self.model(input_ids, lengths)
        return score, embedding
