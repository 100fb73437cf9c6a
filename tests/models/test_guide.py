"""The guide's net: sizes and names of the contract, normalisation inside it, and a description that builds it again."""

import numpy as np
import pytest
import torch

from clew.core.errors import CheckpointError
from clew.models.guide import Guidance, GuideConfig, GuideNet

REFERENCE = GuideConfig(input_dim=32, hidden=(64,), action_dim=8)
KINDS = [
    REFERENCE,
    GuideConfig(input_dim=5, action_dim=3, hidden=(16, 16, 16), residual=True, layer_norm=True, activation="gelu"),
    GuideConfig(input_dim=4, action_dim=2, hidden=(64, 64), activation="tanh", separate_value=True),
    GuideConfig(input_dim=3, action_dim=1, hidden=(8,), continuous=True),
    GuideConfig(input_dim=3, action_dim=4, hidden=()),
]


def net_of(config: GuideConfig, seed: int = 0) -> GuideNet:
    net = GuideNet(config)
    net.initialise(torch.Generator().manual_seed(seed))
    return net


@pytest.mark.parametrize("config", KINDS)
def test_four_heads_of_the_contracts_names_and_shapes(config):
    said = net_of(config)(torch.randn(7, config.input_dim))
    assert Guidance._fields == ("policy_logits", "value", "guard_logits", "latency")
    assert [tuple(each.shape) for each in said] == [(7, config.action_dim), (7,), (7,), (7,)]


@pytest.mark.parametrize("config", KINDS)
def test_the_first_two_heads_alone_are_the_same_as_among_all(config):
    net, seen = net_of(config), torch.randn(7, config.input_dim)
    for alone, among in zip(net.policy_and_value(seen), net(seen)[:2], strict=True):
        assert torch.equal(alone, among)


@pytest.mark.parametrize("config", KINDS)
def test_a_description_as_json_builds_the_same_net(config):
    import json

    described = json.loads(json.dumps(net_of(config).describe()))
    assert described["family"] == "guide"
    assert GuideConfig.from_json(described, "here") == config


def test_the_reference_net_computes_what_its_weights_say():
    net = net_of(REFERENCE)
    net.set_normalisation(np.full(32, 2.0), np.full(32, 4.0))
    seen = torch.randn(5, 32)
    hidden = np.maximum(((seen.numpy() - 2) / 4) @ net.body.layers[0].weight.detach().numpy().T, 0)
    said = hidden @ net.policy.weight.detach().numpy().T
    np.testing.assert_allclose(net(seen).policy_logits.detach().numpy(), said, atol=1e-6)


def test_what_does_not_vary_is_shifted_and_not_blown_up():
    net = net_of(REFERENCE)
    net.set_normalisation(np.ones(32), np.zeros(32))
    assert float(net.normalised(torch.full((1, 32), 1.5)).max()) == 0.5


def test_an_observation_far_outside_is_clipped():
    net = net_of(REFERENCE)
    assert float(net.normalised(torch.full((1, 32), 1e9)).max()) == REFERENCE.clip


def test_training_begins_with_an_almost_even_policy():
    logits = net_of(REFERENCE)(torch.randn(64, 32)).policy_logits.detach()
    assert float(torch.softmax(logits, 1).max()) < 0.2


def test_weights_are_a_function_of_the_seed():
    one, same, other = net_of(REFERENCE, 1), net_of(REFERENCE, 1), net_of(REFERENCE, 2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.policy.weight, other.policy.weight)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_dim": 0}, "its 'input_dim' is 0"),
        ({"hidden": "64"}, "its 'hidden' is 64"),
        ({"hidden": [64, True]}, "its 'hidden' is"),
        ({"activation": "swish"}, "its 'activation' is swish"),
        ({"clip": float("nan")}, "its 'clip' is nan"),
        ({"residual": 1}, "its 'residual' is 1"),
    ],
)
def test_a_description_of_no_guide_is_refused_in_a_sentence(changes, said):
    with pytest.raises(CheckpointError, match=f"a/checkpoint does not describe a guide: {said}"):
        GuideConfig.from_json({**REFERENCE.as_json(), **changes}, "a/checkpoint")


def test_a_description_that_lacks_a_size_is_refused():
    with pytest.raises(CheckpointError, match="does not describe a guide"):
        GuideConfig.from_json({"input_dim": 3}, "a/checkpoint")
