"""The policy/value net of a checkpoint, and its exporter."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from clew.bundle.names import MANIFEST_FILE, MODEL_FILE
from clew.bundle.policy_value import PolicyValueModel
from clew.core import files
from clew.core.errors import BundleError, CheckpointError, ClewError, UsageError
from clew.core.randomness import generator
from clew.export.onnx_policy_value import publish_policy_value
from clew.export.source import Source, manifest_json
from clew.games.replay.window import Window
from clew.games.rules import GameInfo, known_game
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet
from clew.runs.checkpoints import read_state
from clew.training import checkpoint

T = TypeVar("T")

FAMILY = "games"
"""Family of the hosts, in a manifest."""
POSITIONS = 64
"""Observations that an export is compared on."""
LARGEST_SIZE, MOST_LAYERS = 2**31 - 1, 4096


def export_policy_value(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the net of `source` to the new `folder`: `model.onnx`, as actors load it, and `bundle.json`.

    Compared with torch on positions that the run trained on, or on random bits where it has none.
    The exporter of policy/value nets: see `clew.export.source.Exporter`.
    """
    if format != "onnx":
        raise UsageError(f"A policy/value net is exported as onnx, not as '{format}'.")
    net, described = load_net(source.checkpoint)
    env_id = str(described.get("env_id"))
    with files.whole_folder(folder) as temporary:
        path = temporary / MODEL_FILE
        try:
            parity = publish_policy_value(net, path, _observations(source, net.config, env_id), _origin(source, env_id))
        except BundleError as error:
            raise BundleError(str(error).replace(str(path), str(folder / MODEL_FILE))) from error
        manifest = manifest_json(source, temporary, family=FAMILY) | {"model": described, "parity": parity.as_json()}
        files.write_json(temporary / MANIFEST_FILE, manifest)
        PolicyValueModel(temporary)
    return manifest


def load_net(folder: Path) -> tuple[PolicyValueNet, dict[str, Any]]:
    """Read a checkpoint folder; return its net in evaluation mode, and what the checkpoint says of it.

    Raises `CheckpointError` when the checkpoint is broken, or holds another kind of model.
    """
    described = read_state(folder).get("model")
    if not isinstance(described, dict):
        raise CheckpointError(f"{folder} does not say which model it holds: its state has no 'model'.")
    config = _config(described, folder)
    held = checkpoint.read_checkpoint(folder, with_optimizer=False)
    try:
        with torch.device("meta"):  # sizes that a damaged state invents take no memory
            checkpoint.check_same_model(held.model, PolicyValueNet(config).state_dict(), folder)
    except (RuntimeError, OverflowError, ZeroDivisionError) as error:
        raise CheckpointError(f"{folder} does not describe a policy/value net: no network has such sizes.") from error
    net = PolicyValueNet(config)
    net.load_state_dict(held.model)
    return net.eval(), described


def _config(described: dict[str, Any], folder: Path) -> PolicyValueConfig:
    family = described.get("family")
    if family != "policy_value":
        raise CheckpointError(f"{folder} holds a model of the family '{family}'; this export is for 'policy_value'.")
    values = {field.name: described[field.name] for field in fields(PolicyValueConfig) if field.name in described}
    for key, value in values.items():
        # A game without a board has sides of 0.
        size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE
        if not (size if key != "kind" else value in ("mlp", "tower")):
            raise CheckpointError(f"{folder} does not describe a policy/value net: its '{key}' is {str(value)[:40]}.")
    try:
        config = PolicyValueConfig(**values)
    except TypeError as error:
        raise CheckpointError(f"{folder} does not describe a policy/value net: {error}.") from error
    if (
        config.depth > MOST_LAYERS
        or min(config.width, config.num_actions, config.obs_size) < 1
        or config.legal_mask_offset + config.num_actions > config.obs_size
    ):
        raise CheckpointError(f"{folder} does not describe a policy/value net: no network has such sizes.")
    return config


def _origin(source: Source, env_id: str) -> dict[str, str]:
    """What stands in the files that the run itself publishes, as far as it is known."""
    step = int(source.state.get("step") or 0)
    told = {"env_id": env_id, "step": str(step)}
    if source.run is None or source.recipe is None:
        return told
    return told | {
        "run": source.run.folder.name,
        "recipe_sha256": str(source.run.manifest["recipe_sha256"]),
        "step": str(step + int(_setting(source, "outputs", "start_step", 0))),
        "iteration": str(step // max(1, int(_setting(source, "training", "checkpoint_every", 1)))),
    }


def _setting(source: Source, section: str, key: str, otherwise: T) -> T:
    values = (source.recipe or {}).get(section)
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, type(otherwise)) else otherwise


def _observations(source: Source, config: PolicyValueConfig, env_id: str) -> NDArray[np.float32]:
    """float32 [POSITIONS, obs_size]: from the run's window where it holds some, else random bits."""
    random = generator(0, "export")
    game = known_game(str(_setting(source, "data", "env_id", env_id)))
    if source.run is not None and game is not None:
        try:
            info = GameInfo(**{field.name: getattr(game, field.name) for field in fields(GameInfo)})
            capacity = _setting(source, "data", "replay_window", 0) or None
            window = Window.open(source.run.folder / "replay" / "training", info, capacity=capacity)
            if len(window) and info.obs_size == config.obs_size:
                ordinals = random.integers(window.first, window.last, POSITIONS)
                return np.ascontiguousarray(window.gather(ordinals).observation)
        except ClewError:
            pass  # a window that was damaged or is written by another learner: random bits show a wrong graph as well
    return random.integers(0, 2, (POSITIONS, config.obs_size)).astype(np.float32)
