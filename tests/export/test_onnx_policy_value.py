"""The exported policy/value net is the net that was trained, for every kind and any game."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from clew.bundle.policy_value import PolicyValueModel
from clew.core.errors import BundleError
from clew.export import traced
from clew.export.onnx_policy_value import evaluate_in_torch, policy_value_to_onnx, publish_policy_value
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet
from small_nets import SMALL_NET

CONNECT4 = {"board_width": 7, "board_height": 6, "num_actions": 7, "obs_size": 93, "legal_mask_offset": 84}
STRANGE = {"board_width": 5, "board_height": 4, "num_actions": 11, "obs_size": 75, "legal_mask_offset": 60}
"""Three planes of cells, 11 actions, four numbers more: a game that only a database describes."""


def used_net(**config) -> PolicyValueNet:
    """A net whose weights and running statistics are not those of the start."""
    net = PolicyValueNet(PolicyValueConfig(**config))
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(1.0 if parameter.dim() < 2 else 0.0, 0.3, generator=random)
    net.train()
    for _ in range(3):
        net((torch.rand(64, net.config.obs_size, generator=random) > 0.6).float())
    return net


def observations(net: PolicyValueNet, count: int = 40) -> np.ndarray:
    return (np.random.default_rng(3).random((count, net.config.obs_size)) > 0.6).astype(np.float32)


NETS = {
    "mlp": SMALL_NET,
    "tower": {"kind": "tower", "width": 8, "depth": 2, **CONNECT4},
    "tower of a strange game": {"kind": "tower", "width": 8, "depth": 1, **STRANGE},
}


@pytest.fixture
def small() -> PolicyValueNet:
    """One of the nets above, so that its graph is traced once."""
    return used_net(**NETS["mlp"])


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtime_gives_what_torch_gives_and_nothing_is_said(name, tmp_path, capfd, recwarn):
    """The graph was traced with the weights of a new net, whose biases are all alike: it must not hang on these."""
    net = used_net(**NETS[name])
    path, batch = tmp_path / "m.onnx", observations(net)
    parity = publish_policy_value(net, path, batch, {"step": "7"})
    assert parity.equal_argmax == {"policy_logits": 1.0}
    assert (*capfd.readouterr(), *recwarn) == ("", "")
    model = PolicyValueModel(path)
    assert model.metadata["step"] == "7"
    net.eval()
    for rows in (batch, batch[:1]):
        logits, values = model.evaluate(rows)
        with torch.no_grad():
            expected_logits, expected_values = net(torch.from_numpy(rows))
        np.testing.assert_allclose(logits, expected_logits.numpy(), atol=1e-4)
        np.testing.assert_allclose(values, expected_values.numpy(), atol=1e-4)
        assert np.ptp(expected_logits.numpy()) > 0.1, "the comparison is of numbers that differ"


@pytest.mark.parametrize("name", ["mlp", "tower"])
def test_the_weights_in_the_file_are_those_of_the_net_to_the_bit(name):
    net = used_net(**NETS[name])
    held = {each.name: numpy_helper.to_array(each) for each in policy_value_to_onnx(net).graph.initializer}
    for key, tensor in net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert held[key].tobytes() == tensor.numpy().tobytes(), key


def test_a_graph_is_traced_once_for_all_nets_of_an_architecture(small, tmp_path, monkeypatch):
    policy_value_to_onnx(small)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("traced again"))
    with torch.no_grad():
        small.body.policy.weight.mul_(-1.0)
    publish_policy_value(small, tmp_path / "m.onnx", observations(small), {})


def test_names_types_and_the_dynamic_batch_are_the_contract_s():
    model = policy_value_to_onnx(used_net(**NETS["tower"]))
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert model.ir_version == 8, "any ONNX Runtime since 1.12 loads it"
    described = {
        value.name: (
            value.type.tensor_type.elem_type,
            [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    }
    assert described == {
        "observation": (onnx.TensorProto.FLOAT, ["batch", 93]),
        "policy_logits": (onnx.TensorProto.FLOAT, ["batch", 7]),
        "value": (onnx.TensorProto.FLOAT, ["batch", 1]),
    }


def test_the_file_is_readable_by_others_and_nothing_is_left_beside_it(small, tmp_path):
    publish_policy_value(small, tmp_path / "m.onnx", observations(small), {})
    assert (tmp_path / "m.onnx").stat().st_mode & 0o444 == 0o444
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_the_file_tells_how_near_it_is_to_torch_and_is_sealed(small, tmp_path):
    path = tmp_path / "m.onnx"
    parity = publish_policy_value(small, path, observations(small), {"env_id": "tictactoe"})
    model = PolicyValueModel(path)
    assert model.metadata.keys() == {"env_id", "parity", "content_sha256"}
    assert json.loads(model.metadata["parity"]) == parity.as_json()
    logits, _ = model.evaluate(observations(small))
    expected, _ = evaluate_in_torch(small, observations(small))
    assert parity.max_abs_difference["policy_logits"] == np.abs(logits - expected).max()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # within the weights
    path.write_bytes(content)
    with pytest.raises(BundleError, match="was altered after it was written"):
        PolicyValueModel(path)


def with_other_weights(monkeypatch, other: PolicyValueNet) -> None:
    """Have the weights of `other` come into the file, as by a mistake of the tracer."""
    wrong = policy_value_to_onnx(other)
    monkeypatch.setattr(traced.Traced, "with_weights", lambda *_: wrong)


def test_a_graph_that_differs_is_not_published(small, tmp_path, monkeypatch):
    other = used_net(**NETS["mlp"])
    with torch.no_grad():
        other.body.policy.bias.add_(0.01)
    (tmp_path / "m.onnx").write_bytes(b"the model before")
    with_other_weights(monkeypatch, other)
    with pytest.raises(
        BundleError, match=r"m\.onnx was not published: ONNX Runtime differs from torch by 1\.\de-02 in 'policy_logits'"
    ):
        publish_policy_value(small, tmp_path / "m.onnx", observations(small), {})
    assert (tmp_path / "m.onnx").read_bytes() == b"the model before"


def even_net(gap: float) -> PolicyValueNet:
    """All moves rated alike, but the third higher by `gap`."""
    net = used_net(**NETS["mlp"])
    with torch.no_grad():
        net.body.policy.weight.zero_()
        net.body.policy.bias.zero_()
        net.body.policy.bias[2] = gap
    return net


def test_a_graph_that_prefers_another_legal_move_is_not_published_though_its_numbers_are_near(tmp_path, monkeypatch):
    batch = observations(even_net(0.0))
    batch[:, 18:27] = 1.0
    with_other_weights(monkeypatch, even_net(-4e-5))
    with pytest.raises(BundleError, match="choose differently by 'policy_logits' in 40 of 40 cases"):
        publish_policy_value(even_net(4e-5), tmp_path / "m.onnx", batch, {})
    assert not list(tmp_path.iterdir())


def test_a_move_that_is_not_legal_and_a_tie_are_no_preference(tmp_path, monkeypatch):
    batch = observations(even_net(0.0))
    batch[:, 18:27] = 1.0
    with_other_weights(monkeypatch, even_net(-1e-6))
    publish_policy_value(even_net(1e-6), tmp_path / "tie.onnx", batch, {})
    batch[:, 20] = 0.0
    with_other_weights(monkeypatch, even_net(-4e-5))
    publish_policy_value(even_net(4e-5), tmp_path / "illegal.onnx", batch, {})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_net_that_is_not_finite_is_not_published(small, tmp_path, wrong):
    with torch.no_grad():
        small.body.value.bias.fill_(wrong)  # the value of an infinite bias is 1, on both sides
    with pytest.raises(BundleError, match=r"m.onnx was not published: The weight 'body.value.bias' .* is not finite"):
        publish_policy_value(small, tmp_path / "m.onnx", observations(small), {})
    assert not list(tmp_path.iterdir())


def test_a_net_whose_outputs_are_not_finite_is_not_published(small, tmp_path):
    with torch.no_grad():
        small.body.policy.weight.fill_(3e38)
    with pytest.raises(BundleError, match="gives numbers that are not finite in 'policy_logits'"):
        publish_policy_value(small, tmp_path / "m.onnx", observations(small), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["mlp", "tower"])
def test_both_seats_see_the_same_board_from_their_own_side(kind):
    """Swap the stones and the player to move: the net must say the same."""
    net = used_net(kind=kind, width=8, depth=1, **CONNECT4).eval()
    batch = torch.from_numpy(observations(net))
    batch[:, 91], batch[:, 92] = 1.0, 0.0
    swapped = batch.clone()
    swapped[:, :42], swapped[:, 42:84] = batch[:, 42:84], batch[:, :42]
    swapped[:, 91], swapped[:, 92] = 0.0, 1.0
    with torch.no_grad():
        for one, two in zip(net(batch), net(swapped), strict=True):
            torch.testing.assert_close(one, two)
