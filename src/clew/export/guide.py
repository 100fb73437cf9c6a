"""The guide of a checkpoint, and its exporter: for the search of programs, and for policies of environments."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.bundle.guide import NOTE, OBSERVATION, OUTPUTS, POLICY_LOGITS, GuideModel
from clew.bundle.names import CONFIG_FILE, MANIFEST_FILE, MODEL_FILE
from clew.core import files
from clew.core.errors import BundleError, CheckpointError, UsageError
from clew.core.randomness import generator
from clew.export import traced
from clew.export.source import Source, manifest_json
from clew.export.traced import Parity, Traced
from clew.models.guide import FAMILY, Guidance, GuideConfig, GuideNet
from clew.runs.checkpoints import read_state
from clew.training import checkpoint

STATES = 256
"""Observations that an export is compared on."""
ABOUT = "about"
"""Key of a checkpoint's model under which an objective says what its observations and actions are: `family` (of the
hosts, "programs" or an objective), `observation` {kind, size, ...}, `actions` {kind, names, ...}."""


def export_guide(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the guide of `source` to the new `folder`: `model.onnx`, `config.json` and `bundle.json`.

    Compared with torch on observations drawn about the mean that the net holds, as spread as it knows them to be; the
    masks that an action is chosen under are random. The exporter of guides: see `clew.export.source.Exporter`.
    """
    if format != "onnx":
        raise UsageError(f"A guide is exported as onnx, not as '{format}'.")
    net, described = load_guide(source.checkpoint)
    told = described.get(ABOUT)
    about = {**(told if isinstance(told, dict) else {}), "model": net.config.as_json()}
    if net.log_std is not None:
        about["log_std"] = [float(each) for each in net.log_std.detach()]
    with files.whole_folder(folder) as temporary:
        path = temporary / MODEL_FILE
        try:
            parity = publish_guide(net, path, observations(net), {**_origin(source), NOTE: json.dumps(about)})
        except BundleError as error:
            raise BundleError(str(error).replace(str(path), str(folder / MODEL_FILE))) from error
        files.write_json(temporary / CONFIG_FILE, about)
        family = str(about.get("family") or source.objective or FAMILY)
        manifest = manifest_json(source, temporary, family=family) | {"model": described, "parity": parity.as_json()}
        files.write_json(temporary / MANIFEST_FILE, manifest)
        GuideModel(temporary)
    return manifest


def publish_guide(net: GuideNet, path: Path, seen: NDArray[np.float32], metadata: dict[str, str]) -> Parity:
    """Write `net` to `path` as ONNX, whole and verified on the observations `seen` [states, input_dim], or not at all.

    Raises `BundleError` with the figures where ONNX Runtime does not give what torch gives, or prefers another action
    of those that a random mask allows, and for a net that is not finite.
    """
    random = generator(0, "export", "masks")
    masks = random.random((len(seen), net.config.action_dim)) < 0.5
    masks[: len(seen) // 2] = True
    choices = {} if net.config.continuous else {POLICY_LOGITS: masks}
    return traced.publish(_graph_of(net.config), net, path, {OBSERVATION: seen}, choices=choices, metadata=metadata)


def observations(net: GuideNet, count: int = STATES) -> NDArray[np.float32]:
    """float32 [count, input_dim]: normal draws about the net's mean with its standard deviation."""
    drawn = generator(0, "export", "observations").standard_normal((count, net.config.input_dim))
    mean, std = (each.detach().cpu().numpy() for each in (net.mean, net.std))
    found: NDArray[np.float32] = (mean + std * drawn).astype(np.float32)
    return found


def load_guide(folder: Path) -> tuple[GuideNet, dict[str, Any]]:
    """Read a checkpoint folder; return its guide in evaluation mode, and what the checkpoint says of it.

    Raises `CheckpointError` when the checkpoint is broken, or holds another kind of model.
    """
    described = read_state(folder).get("model")
    if not isinstance(described, dict):
        raise CheckpointError(f"{folder} does not say which model it holds: its state has no 'model'.")
    if described.get("family") != FAMILY:
        raise CheckpointError(
            f"{folder} holds a model of the family '{described.get('family')}'; this export is for '{FAMILY}'."
        )
    config = GuideConfig.from_json(described, folder)
    held = checkpoint.read_checkpoint(folder, with_optimizer=False)
    try:
        with torch.device("meta"):  # sizes that a damaged state invents take no memory
            checkpoint.check_same_model(held.model, GuideNet(config).state_dict(), folder)
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{folder} does not describe a guide: no network has such sizes.") from error
    net = GuideNet(config)
    net.load_state_dict(held.model)
    return net.eval(), described


def _origin(source: Source) -> dict[str, str]:
    told = {"step": str(source.state.get("step") or 0)}
    if source.run is not None:
        told |= {"run": source.run.folder.name, "recipe_sha256": str(source.run.manifest["recipe_sha256"])}
    return told


@lru_cache(maxsize=16)
def _graph_of(config: GuideConfig) -> Traced:
    return traced.trace(
        GuideNet(config),
        {OBSERVATION: torch.zeros(2, config.input_dim)},
        OUTPUTS,
        name="guide",
        arrange=_as_in_the_contract,
    )


def _as_in_the_contract(outputs: Guidance) -> tuple[Tensor, ...]:
    return tuple(outputs)
