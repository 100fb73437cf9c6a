"""The ONNX graph gives the logits of an uncached forward pass, however a host starts it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from clew.export.onnx_gpt import gpt_to_onnx
from clew.models.gpt import GPT

LAYERS = [(layer, part) for layer in range(2) for part in ("key", "value")]


@pytest.fixture(scope="module")
def graph(small_gpt: GPT) -> onnx.ModelProto:
    return gpt_to_onnx(small_gpt)


@pytest.fixture(scope="module")
def session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def run(session, tokens, cache):
    feed = {"input_ids": tokens}
    feed |= {f"past_key_values.{layer}.{part}": each for (layer, part), each in zip(LAYERS, cache, strict=True)}
    names = ["logits", *(f"present_key_values.{layer}.{part}" for layer, part in LAYERS)]
    logits, *present = session.run(names, feed)
    return logits, present


def zeros(batch, length):
    return [np.zeros((batch, 4, length, 8), np.float32) for _ in LAYERS]


def tokens_of(batch, length):
    return np.random.default_rng(3).integers(0, 256, (batch, length))


@pytest.fixture(scope="module")
def uncached(small_gpt: GPT):
    def logits(tokens):
        with torch.inference_mode():
            return small_gpt(torch.from_numpy(tokens)).numpy()

    return logits


@pytest.mark.parametrize("slots", [0, 1, 3])
@pytest.mark.parametrize("cuts", [(), (1,), (20,), (5, 6, 17), tuple(range(1, 30))], ids=str)
def test_any_start_and_any_cutting_of_the_text_gives_the_uncached_logits(session, uncached, slots, cuts):
    tokens = tokens_of(3, 30)
    cache, parts = zeros(3, slots), []
    for part in np.split(tokens, cuts, axis=1):
        logits, cache = run(session, part, cache)
        parts.append(logits)
    assert cache[0].shape == (3, 4, 30 + slots, 8)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), uncached(tokens), atol=2e-5)


def test_rows_of_unequal_length_run_side_by_side_behind_zero_slots(session, uncached):
    short, long, more = tokens_of(1, 4), tokens_of(1, 11)[:, ::-1].copy(), tokens_of(2, 6)
    _, short_cache = run(session, short, zeros(1, 0))
    _, long_cache = run(session, long, zeros(1, 0))
    padding = ((0, 0), (0, 0), (7, 0), (0, 0))
    cache = [np.concatenate([np.pad(a, padding), b]) for a, b in zip(short_cache, long_cache, strict=True)]
    logits, _ = run(session, more, cache)
    np.testing.assert_allclose(logits[0], uncached(np.concatenate([short, more[:1]], 1))[0, -6:], atol=2e-5)
    np.testing.assert_allclose(logits[1], uncached(np.concatenate([long, more[1:]], 1))[0, -6:], atol=2e-5)


def test_text_longer_than_the_context_keeps_its_positions(session, uncached):
    tokens = tokens_of(1, 120)
    logits, _ = run(session, tokens, zeros(1, 0))
    np.testing.assert_allclose(logits, uncached(tokens), atol=2e-5)


def test_another_runtime_computes_the_same_from_the_file(graph, session):
    # onnx's own evaluator follows the operators' definitions and fuses nothing.
    tokens = tokens_of(2, 9)
    feed = {"input_ids": tokens}
    feed |= {f"past_key_values.{layer}.{part}": each for (layer, part), each in zip(LAYERS, zeros(2, 1), strict=True)}
    (logits,) = ReferenceEvaluator(graph).run(["logits"], feed)
    np.testing.assert_allclose(logits, run(session, tokens, zeros(2, 1))[0], atol=2e-5)


def test_names_types_and_axes_are_those_that_hosts_read(graph):
    def described(values):
        return {
            value.name: (
                value.type.tensor_type.elem_type,
                [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
            )
            for value in values
        }

    assert described(graph.graph.input) == {"input_ids": (onnx.TensorProto.INT64, ["batch", "seq"])} | {
        f"past_key_values.{layer}.{part}": (onnx.TensorProto.FLOAT, ["batch", 4, "past", 8]) for layer, part in LAYERS
    }
    assert described(graph.graph.output) == {"logits": (onnx.TensorProto.FLOAT, ["batch", "seq", 256])} | {
        f"present_key_values.{layer}.{part}": (onnx.TensorProto.FLOAT, ["batch", 4, "past + seq", 8])
        for layer, part in LAYERS
    }


def test_the_file_is_one_and_portable(graph):
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 17)]
    assert {node.domain for node in graph.graph.node} == {""}
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    assert sum(tensor.dims[:] == [256, 32] for tensor in graph.graph.initializer) == 1, "the tied matrix is there once"
