"""The exported policy/value net is the net that was trained, for every kind and any game."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from clew.bundle.policy_value import PolicyValueModel
from clew.core.errors import BundleError
from clew.export import onnx_policy_value
from clew.export.onnx_policy_value import policy_value_to_onnx, publish_policy_value
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet

TICTACTOE = {"board_width": 3, "board_height": 3, "num_actions": 9, "obs_size": 29, "legal_mask_offset": 18}
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


@pytest.mark.parametrize(
    "net",
    [
        used_net(kind="mlp", width=24, depth=2, **TICTACTOE),
        used_net(kind="mlp", width=16, depth=1, **STRANGE),
        used_net(kind="tower", width=8, depth=2, **CONNECT4),
        used_net(kind="tower", width=8, depth=1, **STRANGE),
    ],
    ids=["mlp", "mlp of a strange game", "tower", "tower of a strange game"],
)
def test_onnx_runtime_gives_what_torch_gives(net, tmp_path):
    path, batch = tmp_path / "m.onnx", observations(net)
    parity = publish_policy_value(net, path, batch, {"step": "7"})
    assert parity.equal_argmax == 1.0
    model = PolicyValueModel(path)
    assert model.metadata["step"] == "7"
    logits, values = model.evaluate(batch)
    net.eval()
    with torch.no_grad():
        expected_logits, expected_values = net(torch.from_numpy(batch))
    np.testing.assert_allclose(logits, expected_logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(values, expected_values.numpy(), atol=1e-4)
    assert np.ptp(expected_logits.numpy()) > 0.1, "the comparison is of numbers that differ"


def test_names_types_and_the_dynamic_batch_are_the_contract_s():
    net = used_net(kind="tower", width=8, depth=1, **CONNECT4)
    graph = onnx.load_from_string(policy_value_to_onnx(net).SerializeToString()).graph
    described = {
        value.name: (
            value.type.tensor_type.elem_type,
            [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert described == {
        "observation": (onnx.TensorProto.FLOAT, ["batch", 93]),
        "policy_logits": (onnx.TensorProto.FLOAT, ["batch", 7]),
        "value": (onnx.TensorProto.FLOAT, ["batch", 1]),
    }


def test_the_file_is_readable_by_others_and_nothing_is_left_beside_it(tmp_path):
    net = used_net(kind="mlp", width=8, depth=1, **TICTACTOE)
    publish_policy_value(net, tmp_path / "m.onnx", observations(net), {})
    assert (tmp_path / "m.onnx").stat().st_mode & 0o444 == 0o444
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_graph_that_differs_is_not_published(tmp_path, monkeypatch):
    net, other = (used_net(kind="mlp", width=8, depth=1, **TICTACTOE) for _ in range(2))
    with torch.no_grad():
        other.body.policy.bias.add_(0.01)
    (tmp_path / "m.onnx").write_bytes(b"the model before")
    wrong = policy_value_to_onnx(other)
    monkeypatch.setattr(onnx_policy_value, "policy_value_to_onnx", lambda *_: wrong)
    with pytest.raises(BundleError, match="was not published: ONNX Runtime differs from torch by 1"):
        publish_policy_value(net, tmp_path / "m.onnx", observations(net), {})
    assert (tmp_path / "m.onnx").read_bytes() == b"the model before"


def test_a_net_that_gives_nan_is_not_published(tmp_path):
    net = used_net(kind="mlp", width=8, depth=1, **TICTACTOE)
    with torch.no_grad():
        net.body.value.bias.fill_(float("nan"))
    with pytest.raises(BundleError, match="nan"):
        publish_policy_value(net, tmp_path / "m.onnx", observations(net), {})


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
