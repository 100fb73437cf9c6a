"""Policy/value models from ONNX files: what a host may rely on, and what a wrong file is answered with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clew.bundle.policy_value import HotModel, PolicyValueModel
from clew.bundle.seal import sealed
from clew.core import files
from clew.core.errors import BundleError

SIZES = {"env_id": "tictactoe", "obs_size": 29, "num_actions": 9}


def linear_model(
    *,
    obs_size: int = 29,
    num_actions: int = 9,
    value: float = 0.5,
    names: tuple[str, ...] = (),
    batch: object = "batch",
    opset: int = 17,
    **told: object,
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
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **told)
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
        (b"", "truncated"),
        (linear_model()[:300], "truncated"),
        (b"not a model at all", "truncated"),
        (linear_model(names=("input", "policy_logits", "value")), "no policy/value model"),
        (linear_model(names=("observation", "logits", "value")), "no policy/value model"),
        (linear_model(batch=1), "float32 \\[batch, a fixed size\\]"),
        (linear_model(opset=99), "cannot load .* opset"),
        (linear_model().replace(b"policy_logits", b"policy_\xffogits"), "UTF-8|cannot load"),
        (linear_model().replace(b"batch", b"b\xfftch"), "UTF-8|cannot load"),
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
    for wrong, says in ((whole[: len(whole) // 2], "truncated"), (linear_model(obs_size=93), "another game")):
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


def published_model(**told: object) -> bytes:
    """A file as we write it: it says that it is sealed, and ends in the hash of what precedes that."""
    return sealed(linear_model(domain="clew.sealed", **told))


def test_a_sealed_file_loads_and_any_reader_of_onnx_sees_the_seal_as_metadata(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(published_model())
    assert PolicyValueModel(path).metadata["content_sha256"] == files.sha256_of(linear_model(domain="clew.sealed"))
    assert onnx.load(path).metadata_props[-1].key == "content_sha256"
    onnx.checker.check_model(path, full_check=True)


def test_a_file_that_was_altered_by_one_bit_anywhere_is_refused(tmp_path):
    whole = published_model()
    path = tmp_path / "latest.onnx"
    random = np.random.default_rng(0)
    # Every bit of the seal, of what is before it the first bytes and some hundred more.
    places = [*range(8 * 40), *random.integers(0, 8 * len(whole), 300), *range(8 * (len(whole) - 90), 8 * len(whole))]
    for place in places:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"was altered after it was written|cannot load"):
            PolicyValueModel(path)


@pytest.mark.parametrize(
    "change", [lambda whole: whole + b"\0" * 8, lambda whole: whole[:-84], lambda whole: whole[:-40]]
)
def test_a_file_with_something_behind_its_seal_or_without_it_is_refused(tmp_path, change):
    path = tmp_path / "latest.onnx"
    path.write_bytes(change(published_model()))
    with pytest.raises(BundleError, match=r"was altered after it was written|cannot load"):
        PolicyValueModel(path)


@pytest.mark.parametrize("told", [{}, {"producer_name": "pytorch", "model_version": 3}, {"producer_name": "clew"}])
def test_a_file_of_another_writer_or_of_before_there_were_seals_loads(tmp_path, told):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(**told))
    assert PolicyValueModel(path).num_actions == 9


def test_a_folder_with_a_model_is_loaded_and_its_manifest_s_hash_is_checked(tmp_path):
    (tmp_path / "model.onnx").write_bytes(linear_model(value=0.25))
    assert PolicyValueModel(tmp_path).path == tmp_path / "model.onnx"
    files.write_json(tmp_path / "bundle.json", {"files": {"model.onnx": files.sha256_of(linear_model(value=0.25))}})
    assert PolicyValueModel(tmp_path).obs_size == 29
    (tmp_path / "model.onnx").write_bytes(linear_model(value=0.5))
    with pytest.raises(BundleError, match=r"is not the model whose hash .* records"):
        PolicyValueModel(tmp_path)
    for manifest in ("[]", "{", '{"files": 3}'):
        (tmp_path / "bundle.json").write_text(manifest)
        with pytest.raises(BundleError, match=r"bundle\.json"):
            PolicyValueModel(tmp_path)


def test_a_model_that_gives_nan_is_told_of_when_it_runs(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model(value=float("nan")))
    with pytest.raises(BundleError, match="gives NaN"):
        PolicyValueModel(path).evaluate(np.zeros((1, 29), np.float32))


def test_observations_of_another_size_get_a_sentence(tmp_path):
    path = tmp_path / "latest.onnx"
    path.write_bytes(linear_model())
    with pytest.raises(BundleError, match=r"could not be run on observation \[1, 28\]"):
        PolicyValueModel(path).evaluate(np.zeros((1, 28), np.float32))
