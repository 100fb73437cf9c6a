"""The GPT as an ONNX graph, written node by node from its weights.

Written by hand and not traced: the graph is what `GPT.forward_cached` says and nothing else, takes a fraction of a
second to make, and has the shapes that ONNX Runtime fuses (RMSNorm, SiLU, transposed products), so a token costs less
than in a traced graph (`benchmarks/decode.py`).
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from clew.bundle.names import INPUT_IDS, LOGITS, past_name, present_name
from clew.export.onnx_graph import Graph
from clew.models.gpt import GPT, NORM_EPS, ROPE_BASE

MASKED = -1e30
"""Added to a score that takes no part: e^MASKED is 0, and no infinity enters a subtraction."""


def gpt_to_onnx(model: GPT) -> onnx.ModelProto:
    """Return `model.forward_cached` as ONNX, float32, with the names, types and dynamic axes of the bundle's contract.

    Inputs `input_ids` int64 [batch, seq] and `past_key_values.{i}.key|value` [batch, n_heads, past, head_dim];
    outputs `logits` [batch, seq, vocab_size] and `present_key_values.{i}.key|value` [.., past + seq, ..].
    `past` may be 0, and a slot whose keys are all zero in the first layer counts for nothing.
    """
    config = model.config
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    graph = Graph()
    shape = graph.add("Shape", INPUT_IDS)
    batch, length = graph.add("Split", shape, graph.ints(1, 1), outputs=2, axis=0, name="batch_and_seq")
    rotation, bias = _positions(graph, batch, length, n_heads=config.n_heads, head_dim=config.head_dim)
    split_shape = graph.add(
        "Concat", batch, length, graph.ints(3 * config.n_heads, 2, config.head_dim // 2), axis=0, name="split_shape"
    )
    embedding = graph.constant(weights["embedding.weight"], np.float32, "embedding.weight")
    tokens = graph.add("Reshape", INPUT_IDS, graph.ints(-1))
    x = graph.add("Gather", embedding, tokens, axis=0)  # [batch * seq, d_model], as everywhere between the layers
    for layer in range(config.n_layers):
        prefix = f"blocks.{layer}"
        normed = _norm(graph, x, weights, f"{prefix}.attention_norm.weight")
        attended = _attention(
            graph, normed, weights, layer, rotation, bias, split_shape, config.n_heads, config.head_dim
        )
        x = graph.add("Add", x, attended)
        normed = _norm(graph, x, weights, f"{prefix}.mlp_norm.weight")
        x = graph.add("Add", x, _mlp(graph, normed, weights, prefix))
    normed = _norm(graph, x, weights, "norm.weight")
    # Gemm and not MatMul: it takes the embedding as it stands, so the tied matrix is in the file once.
    flat = graph.add("Gemm", normed, embedding, transB=1, name="flat_logits")
    logits_shape = graph.add("Concat", shape, graph.ints(config.vocab_size), axis=0, name="logits_shape")
    graph.nodes.append(helper.make_node("Reshape", [flat, logits_shape], [LOGITS], name=LOGITS))
    return _model_proto(graph, model)


def _positions(graph: Graph, batch: str, length: str, *, n_heads: int, head_dim: int) -> tuple[tuple[str, str], str]:
    """Cosines and signed sines [batch, 1, seq, 2, head_dim/2] of the new tokens; bias [batch, 1, seq, past + seq].

    They are the same in every layer, so they are computed once.
    """
    size = graph.add("ReduceL1", past_name(0, "key"), axes=[3], keepdims=0)  # [batch, n_heads, past]
    filled = graph.add(
        "Greater", graph.add("ReduceSum", size, graph.ints(1), keepdims=0), graph.constant(0.0, np.float32)
    )
    filled_count = graph.add("Cast", filled, to=TensorProto.FLOAT)  # [batch, past]
    start = graph.add("ReduceSum", filled_count, graph.ints(1), keepdims=1)  # [batch, 1]

    scalar_length = graph.add("Squeeze", length, graph.ints(0))
    new = graph.add("Range", graph.constant(0, np.int64), scalar_length, graph.constant(1, np.int64))
    positions = graph.add("Add", start, graph.add("Cast", new, to=TensorProto.FLOAT))  # [batch, seq]
    # By torch and not by numpy: one bit of a frequency, times hundreds of positions, is seen in the logits.
    frequencies = (ROPE_BASE ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)).numpy()
    angles = graph.add(
        "Mul",
        graph.add("Unsqueeze", positions, graph.ints(1, 3, 4)),
        graph.constant(frequencies, np.float32, "rotary_frequencies"),
    )  # [batch, 1, seq, 1, head_dim/2]
    cosine = graph.add("Concat", *[graph.add("Cos", angles)] * 2, axis=3, name="cosine")
    sine = graph.add("Sin", angles)
    signed_sine = graph.add("Concat", graph.add("Neg", sine), sine, axis=3, name="signed_sine")

    column = graph.add("Unsqueeze", new, graph.ints(1))
    later = graph.add("Less", column, graph.add("Unsqueeze", new, graph.ints(0)))  # [seq, seq]
    masked = graph.constant(MASKED, np.float32)
    new_bias = graph.add("Mul", graph.add("Cast", later, to=TensorProto.FLOAT), masked)
    empty = graph.add("Sub", graph.constant(1.0, np.float32), filled_count)
    past_bias = graph.add("Unsqueeze", graph.add("Mul", empty, masked), graph.ints(1, 2))  # [batch, 1, 1, past]
    one = graph.ints(1)
    past_length = graph.add("Shape", past_name(0, "key"), start=2, end=3)
    bias = graph.add(
        "Concat",
        graph.add("Expand", past_bias, graph.add("Concat", batch, one, length, past_length, axis=0)),
        graph.add("Expand", new_bias, graph.add("Concat", batch, one, length, length, axis=0)),
        axis=3,
        name="attention_bias",
    )
    return (cosine, signed_sine), bias


def _norm(graph: Graph, x: str, weights: dict[str, NDArray[np.float32]], name: str) -> str:
    """RMSNorm in the shape that ONNX Runtime fuses into one node."""
    square = graph.add("Pow", x, graph.constant(2.0, np.float32))
    mean = graph.add("ReduceMean", square, axes=[-1], keepdims=1)
    root = graph.add("Sqrt", graph.add("Add", mean, graph.constant(NORM_EPS, np.float32)))
    return str(graph.add("Mul", graph.add("Div", x, root), graph.constant(weights[name], np.float32, name)))


def _linear(graph: Graph, x: str, weights: dict[str, NDArray[np.float32]], name: str) -> str:
    return str(graph.add("MatMul", x, graph.constant(weights[name].T, np.float32, name)))


def _attention(
    graph: Graph,
    x: str,
    weights: dict[str, NDArray[np.float32]],
    layer: int,
    rotation: tuple[str, str],
    bias: str,
    split_shape: str,
    n_heads: int,
    head_dim: int,
) -> str:
    """Attention of one layer from and to [batch * seq, d_model]."""
    prefix = f"blocks.{layer}.attention"
    qkv = graph.add("Reshape", _linear(graph, x, weights, f"{prefix}.qkv.weight"), split_shape)
    heads_first = graph.add("Transpose", qkv, perm=[0, 2, 1, 3, 4])  # [batch, 3 n_heads, seq, 2, head_dim/2]
    query_key, value = graph.add("Split", heads_first, graph.ints(2 * n_heads, n_heads), outputs=2, axis=1)
    # Rotation of both halves at once: (a, b) * cos + (b, a) * (-sin, sin).
    swapped = graph.add("Gather", query_key, graph.ints(1, 0), axis=3)
    rotated = graph.add("Add", graph.add("Mul", query_key, rotation[0]), graph.add("Mul", swapped, rotation[1]))
    query_key = graph.add("Reshape", rotated, graph.ints(0, 0, 0, head_dim))
    query, key = graph.add("Split", query_key, graph.ints(n_heads, n_heads), outputs=2, axis=1)
    value = graph.add("Reshape", value, graph.ints(0, 0, 0, head_dim))
    keys = graph.add("Concat", past_name(layer, "key"), key, axis=2, name=present_name(layer, "key"))
    values = graph.add("Concat", past_name(layer, "value"), value, axis=2, name=present_name(layer, "value"))
    scaled = graph.add("Mul", query, graph.constant(head_dim**-0.5, np.float32))
    scores = graph.add("MatMul", scaled, graph.add("Transpose", keys, perm=[0, 1, 3, 2]))
    probabilities = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    attended = graph.add("Transpose", graph.add("MatMul", probabilities, values), perm=[0, 2, 1, 3])
    merged = graph.add("Reshape", attended, graph.ints(-1, n_heads * head_dim))
    return _linear(graph, merged, weights, f"{prefix}.out.weight")


def _mlp(graph: Graph, x: str, weights: dict[str, NDArray[np.float32]], prefix: str) -> str:
    """down(silu(gate(x)) * up(x))."""
    gate_up = _linear(graph, x, weights, f"{prefix}.mlp.gate_up.weight")
    half = weights[f"{prefix}.mlp.gate_up.weight"].shape[0] // 2
    gate, up = graph.add("Split", gate_up, graph.ints(half, half), outputs=2, axis=1)
    silu = graph.add("Mul", gate, graph.add("Sigmoid", gate))
    return _linear(graph, graph.add("Mul", silu, up), weights, f"{prefix}.mlp.down.weight")


def _model_proto(graph: Graph, model: GPT) -> onnx.ModelProto:
    """Wrap the nodes with the contract's inputs and outputs, and let ONNX check the result."""
    config = model.config

    def cache(name: str, length: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            name, TensorProto.FLOAT, ["batch", config.n_heads, length, config.head_dim]
        )

    inputs = [helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, ["batch", "seq"])]
    outputs = [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", "seq", config.vocab_size])]
    for layer in range(config.n_layers):
        for part in ("key", "value"):
            inputs.append(cache(past_name(layer, part), "past"))
            outputs.append(cache(present_name(layer, part), "past + seq"))
    return graph.to_model("gpt", inputs, outputs)
