"""A policy/value net as an ONNX file of the contract: written node by node, compared with torch, then renamed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from clew.bundle.policy_value import OBSERVATION, POLICY_LOGITS, VALUE, PolicyValueModel
from clew.core import files
from clew.core.errors import BundleError
from clew.export.onnx_graph import Graph
from clew.models.policy_value import NORM_EPS, PolicyValueNet

TOLERANCE = 1e-4
"""Largest difference of a logit or a value between torch and ONNX Runtime that is published."""


@dataclass(frozen=True)
class Parity:
    """What ONNX Runtime gives against what torch gives, both in float32, on the same observations."""

    positions: int
    max_abs_logits_difference: float
    max_abs_value_difference: float
    equal_argmax: float
    """Share of positions with the same highest logit."""


def publish_policy_value(
    net: PolicyValueNet, path: Path, observations: NDArray[np.float32], metadata: Mapping[str, str]
) -> Parity:
    """Write `net` to `path` as ONNX, whole and verified on `observations` [positions, obs_size], or not at all.

    `metadata` is where it comes from; it goes into the file.
    Raises `BundleError` with the figures when ONNX Runtime does not give what torch gives.
    """
    content = policy_value_to_onnx(net, metadata).SerializeToString()
    parity = compare(net, content, observations, path)
    files.write_bytes(path, content)
    return parity


def compare(net: PolicyValueNet, content: bytes, observations: NDArray[np.float32], path: Path) -> Parity:
    """Run `content` in ONNX Runtime beside `net` in torch. Raises `BundleError` beyond `TOLERANCE`."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / path.name
        candidate.write_bytes(content)
        logits, values = PolicyValueModel(candidate).evaluate(observations)
    expected_logits, expected_values = evaluate_in_torch(net, observations)
    parity = Parity(
        positions=len(observations),
        max_abs_logits_difference=float(np.abs(logits - expected_logits).max()),
        max_abs_value_difference=float(np.abs(values - expected_values).max()),
        equal_argmax=float((logits.argmax(1) == expected_logits.argmax(1)).mean()),
    )
    # np.maximum hands a NaN on, and the comparison below is written so that it fails: max() would drop one.
    largest = np.maximum(parity.max_abs_logits_difference, parity.max_abs_value_difference)
    # Large logits are compared relative to their size: float32 has seven digits.
    scale = max(1.0, float(np.abs(expected_logits).max()) / 10)
    if not largest <= TOLERANCE * scale:
        raise BundleError(
            f"{path} was not published: ONNX Runtime differs from torch by {parity.max_abs_logits_difference:.1e} in a "
            f"logit and {parity.max_abs_value_difference:.1e} in a value (allowed: {TOLERANCE * scale:.0e}). "
            "The model before it stays in place."
        )
    return parity


def evaluate_in_torch(
    net: PolicyValueNet, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and values by torch in float32, the net in evaluation mode meanwhile."""
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            logits, values = net(torch.from_numpy(observations).to(device))
    finally:
        net.train(was_training)
    return logits.float().cpu().numpy(), values.float().cpu().numpy()


def policy_value_to_onnx(net: PolicyValueNet, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """Return `net` in evaluation mode as ONNX, batch normalisation folded into the convolutions before it."""
    config = net.config
    graph = Graph()
    seen = _seen_by_mover(graph, net)
    logits, value = _perceptron(graph, net, seen) if config.kind == "mlp" else _tower(graph, net, seen)
    graph.nodes.append(helper.make_node("Identity", [logits], [POLICY_LOGITS], name=POLICY_LOGITS))
    graph.nodes.append(helper.make_node("Tanh", [value], [VALUE], name=VALUE))

    def rows(name: str, size: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])

    return graph.to_model(
        "policy_value",
        [rows(OBSERVATION, config.obs_size)],
        [rows(POLICY_LOGITS, config.num_actions), rows(VALUE, 1)],
        metadata,
    )


def _seen_by_mover(graph: Graph, net: PolicyValueNet) -> str:
    config = net.config
    if not config.two_sided:
        return OBSERVATION
    cells, axis = config.cells, graph.ints(1)
    first = graph.add("Slice", OBSERVATION, graph.ints(0), graph.ints(cells), axis)
    second = graph.add("Slice", OBSERVATION, graph.ints(cells), graph.ints(2 * cells), axis)
    second_moves = graph.add("Slice", OBSERVATION, graph.ints(config.obs_size - 1), graph.ints(config.obs_size), axis)
    swap = graph.add("Mul", graph.add("Sub", second, first), second_moves)
    return str(graph.add("Concat", graph.add("Add", first, swap), graph.add("Sub", second, swap), axis=1))


def _weights(layer: nn.Module, name: str) -> NDArray[np.float32]:
    tensor = getattr(layer, name)
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)


def _linear(graph: Graph, x: str, layer: nn.Module, name: str) -> str:
    weight = graph.constant(_weights(layer, "weight"), np.float32, f"{name}.weight")
    bias = graph.constant(_weights(layer, "bias"), np.float32, f"{name}.bias")
    return str(graph.add("Gemm", x, weight, bias, transB=1, name=f"{name}.product"))


def _perceptron(graph: Graph, net: PolicyValueNet, x: str) -> tuple[str, str]:
    body = net.body
    for index in range(net.config.depth):
        x = graph.add("Relu", _linear(graph, x, body.get_submodule(f"hidden.{index}"), f"hidden.{index}"))
    heads = []
    for head in ("policy", "value"):
        hidden = graph.add("Relu", _linear(graph, x, body.get_submodule(f"{head}_hidden"), f"{head}_hidden"))
        heads.append(_linear(graph, hidden, body.get_submodule(head), head))
    return heads[0], heads[1]


def _convolution(graph: Graph, x: str, body: nn.Module, conv_name: str, norm_name: str) -> str:
    """A convolution with the batch normalisation after it folded in; float64, so that folding rounds once."""
    convolution, norm = body.get_submodule(conv_name), body.get_submodule(norm_name)
    scale = _weights(norm, "weight").astype(np.float64) / np.sqrt(
        _weights(norm, "running_var").astype(np.float64) + NORM_EPS
    )
    weight = _weights(convolution, "weight").astype(np.float64) * scale[:, None, None, None]
    bias = _weights(norm, "bias") - _weights(norm, "running_mean") * scale
    padding = int(weight.shape[-1] // 2)
    return str(
        graph.add(
            "Conv",
            x,
            graph.constant(weight, np.float32, f"{conv_name}.weight"),
            graph.constant(bias, np.float32, f"{conv_name}.bias"),
            kernel_shape=list(weight.shape[-2:]),
            pads=[padding] * 4,
            name=f"{conv_name}.product",
        )
    )


def _tower(graph: Graph, net: PolicyValueNet, seen: str) -> tuple[str, str]:
    config, body = net.config, net.body
    height, width = config.board_height, config.board_width
    plane_count = 2 if config.two_sided else config.legal_mask_offset // config.cells
    cut = plane_count * config.cells
    axis = graph.ints(1)
    cells = seen if config.two_sided else graph.add("Slice", seen, graph.ints(0), graph.ints(cut), axis)
    x = graph.add("Reshape", cells, graph.ints(-1, plane_count, height, width))
    if not config.two_sided and config.obs_size > cut:
        extras = graph.add("Slice", seen, graph.ints(cut), graph.ints(config.obs_size), axis)
        narrow = graph.add("Reshape", extras, graph.ints(-1, config.obs_size - cut, 1, 1))
        x = graph.add("Concat", x, graph.add("Expand", narrow, graph.ints(1, 1, height, width)), axis=1)
    x = graph.add("Relu", _convolution(graph, x, body, "stem", "stem_norm"))
    for index in range(config.depth):
        block = f"blocks.{index}"
        inner = graph.add("Relu", _convolution(graph, x, body, f"{block}.first", f"{block}.first_norm"))
        inner = _convolution(graph, inner, body, f"{block}.second", f"{block}.second_norm")
        x = graph.add("Relu", graph.add("Add", x, inner))
    policy = graph.add("Relu", _convolution(graph, x, body, "policy_conv", "policy_norm"))
    value = graph.add("Relu", _convolution(graph, x, body, "value_conv", "value_norm"))
    hidden = _linear(graph, graph.add("Flatten", value), body.get_submodule("value_hidden"), "value_hidden")
    return (
        _linear(graph, graph.add("Flatten", policy), body.get_submodule("policy"), "policy"),
        _linear(graph, graph.add("Relu", hidden), body.get_submodule("value"), "value"),
    )
