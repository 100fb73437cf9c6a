"""Policy/value models of one matrix, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from clew.games.rules import find_game


def write_linear_net(path: Path, weights: NDArray[np.float32], values: NDArray[np.float32] | None = None) -> Path:
    """policy_logits = observation @ weights, value = tanh(observation @ values): [obs_size, actions], [obs_size, 1]."""
    obs_size, num_actions = weights.shape
    values = np.zeros((obs_size, 1), np.float32) if values is None else values
    nodes = [
        helper.make_node("MatMul", ["observation", "weights"], ["policy_logits"]),
        helper.make_node("MatMul", ["observation", "values"], ["heard"]),
        helper.make_node("Tanh", ["heard"], ["value"]),
    ]

    def told(name: str, size: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])

    graph = helper.make_graph(
        nodes,
        "linear",
        [told("observation", obs_size)],
        [told("policy_logits", num_actions), told("value", 1)],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(values.astype(np.float32), "values"),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def write_random_net(path: Path, env_id: str, seed: int = 0) -> Path:
    """A net of random weights, which differ with `seed`."""
    game, random = find_game(env_id), np.random.default_rng(seed)
    return write_linear_net(
        path,
        random.normal(size=(game.obs_size, game.num_actions)).astype(np.float32),
        0.1 * random.normal(size=(game.obs_size, 1)).astype(np.float32),
    )


def write_preferring_net(path: Path, env_id: str, order: list[int]) -> Path:
    """A net that plays the first move of `order` that is legal, whatever the position."""
    game = find_game(env_id)
    weights = np.zeros((game.obs_size, game.num_actions), np.float32)
    # One of the last two numbers of an observation is 1, the other 0.
    for rank, action in enumerate(order):
        weights[-2:, action] = 10.0 * (game.num_actions - rank)
    return write_linear_net(path, weights)
