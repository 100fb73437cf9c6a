"""Policy/value models from ONNX files: what a host may rely on, and what a wrong file is answered with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clew.bundle.policy_value import HotModel, PolicyValueModel
from clew.core.errors import BundleError

SIZES = {"env_id": "tictactoe", "obs_size": 29, "num_actions": 9}


def linear_model(
    *,
    obs_size: int = 29,
    num_actions: int = 9,
    value: float = 0.5,
    names: tuple[str, ...] = (),
    batch: object = "batch",
) -> bytes:
    """policy_logits = the first numbers of the observation, value = tanh of a constant; written by onnx alone."""
    observation, policy, worth = names or ("observation", "policy_logits", "value")
    weights = [
        numpy_helper.from_array(np.eye(obs_size, num_actions, dtype=np.float32), "w"),
        numpy_helper.from_array(np.zeros((obs_size, 1), np.float32), "u"),
        numpy_helper.from_array(np.full((1,), value, np.float32), "c"),
    ]
    nodes = [
        helper.make_node("MatMul", [observation, "w"], [policy]),
        helper.make_node("Gemm", [observation, "u", "c"], ["before"]),
        helper.make_node("Tanh", ["before"], [worth]),
    ]
    rows = [(observation, obs_size), (policy, num_actions), (worth, 1)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size]) for name, size in rows]
    graph = helper.make_graph(nodes, "linear", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def hot(path: Path) -> HotModel:
    return HotModel(path, **SIZES)


def test_logits_and_values_of_a_batch_are_those_of_the_graph(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(value=0.25))
    model = PolicyValueModel(path)
    observations = np.random.default_rng(0).random((5, 29)).astype(np.float32)
    logits, values = model.evaluate(observations)
    assert (model.obs_size, model.num_actions) == (29, 9)
    np.testing.assert_allclose(logits, observations[:, :9], rtol=1e-6)
    np.testing.assert_allclose(values, np.full(5, np.tanh(0.25)), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no model"),
        (b"", "cut short"),
        (linear_model()[:300], "cut short"),
        (b"not a model at all", "cut short"),
        (linear_model(names=("input", "policy_logits", "value")), "no policy/value model"),
        (linear_model(names=("observation", "logits", "value")), "no policy/value model"),
        (linear_model(batch=1), "float32 \\[batch, a fixed size\\]"),
    ],
)
def test_a_file_that_is_no_model_gets_a_sentence_with_its_name(tmp_path, content, says):
    path = tmp_path / "latest.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=says) as caught:
        PolicyValueModel(path)
    assert str(path) in str(caught.value)


def test_a_model_of_another_game_is_refused(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(obs_size=93, num_actions=7))
    with pytest.raises(BundleError, match="a model of another game: it takes 93 numbers and rates 7 actions"):
        PolicyValueModel(path).check_fits("tictactoe", obs_size=29, num_actions=9)


def test_a_hot_model_serves_what_was_renamed_into_place(tmp_path):
    path = tmp_path / "latest.onnx"
    model = hot(path)
    assert not model.refresh()
    assert model.model is None, "no model yet is no error: the actor plays at random"
    for value in (0.1, 0.9):
        (tmp_path / "new").write_bytes(linear_model(value=value))
        (tmp_path / "new").rename(path)
        assert model.refresh()
        assert model.model.evaluate(np.zeros((1, 29), np.float32))[1][0] == pytest.approx(np.tanh(value))
        assert not model.refresh(), "the same file is not loaded again"


def test_a_half_written_or_foreign_file_leaves_the_model_before_it_in_service(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(value=0.1))
    model = hot(path)
    assert model.refresh()
    served = model.model
    whole = linear_model(value=0.9)
    for wrong, says in ((whole[: len(whole) // 2], "cut short"), (linear_model(obs_size=93), "another game")):
        path.write_bytes(wrong)  # as a writer does that does not rename
        assert not model.refresh()
        assert model.model is served
        assert says in model.problem
    path.write_bytes(whole)
    assert model.refresh()
    assert model.problem is None
    assert model.model is not served


def test_a_clock_that_was_set_back_does_not_hide_a_new_model(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(value=0.1))
    model = hot(path)
    assert model.refresh()
    (tmp_path / "new").write_bytes(linear_model(value=0.9))
    os.utime(tmp_path / "new", (1, 1))  # 1970
    (tmp_path / "new").rename(path)
    assert model.refresh()
    assert model.model.evaluate(np.zeros((1, 29), np.float32))[1][0] == pytest.approx(np.tanh(0.9))
