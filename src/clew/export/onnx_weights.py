"""The weights of a GPT read back from its bundle, so that training can begin where only a bundle was kept."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from clew.bundle.load import load_bundle
from clew.bundle.names import CONFIG_FILE, MODEL_FILE
from clew.core import files
from clew.core.errors import BundleError
from clew.models.gpt import GPT, GPTConfig


def read_gpt(folder: Path) -> GPT:
    """The GPT of the bundle in `folder`, in evaluation mode. Raises `BundleError` for another tool's graph."""
    load_bundle(folder)  # hashes, sizes and graph are those that the bundle says
    config = files.read_json(folder / CONFIG_FILE, what="the config of a bundle")
    missing = [field.name for field in fields(GPTConfig) if field.name not in config and field.name != "dropout"]
    if missing:
        raise BundleError(f"{folder / CONFIG_FILE} does not say '{missing[0]}': train from the run's checkpoint.")
    model = GPT(GPTConfig(**{field.name: config[field.name] for field in fields(GPTConfig) if field.name in config}))
    graph = onnx.load(folder / MODEL_FILE).graph
    held = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    weights = {}
    for name, wanted in model.state_dict().items():
        if name not in held:
            raise BundleError(f"{folder / MODEL_FILE} holds no weight '{name}': it is another tool's graph.")
        # Matrices that multiply from the right stand transposed in the graph.
        found = held[name] if name == "embedding.weight" or held[name].dim() < 2 else held[name].T
        if found.shape != wanted.shape:
            raise BundleError(f"{folder / MODEL_FILE}: the weight '{name}' has another shape than {CONFIG_FILE} says.")
        weights[name] = found.contiguous()
    model.load_state_dict(weights)
    return model.eval()
