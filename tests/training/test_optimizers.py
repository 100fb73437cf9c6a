"""Optimisers: torch's own as the other source, and a state that goes to disk and back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clew.core.errors import CheckpointError
from clew.recipes.base import Training
from clew.training.optimizers import Optimizer


class Network(nn.Module):
    """An embedding, a matrix, a vector."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.matrix = nn.Linear(4, 6, bias=False)
        self.norm = nn.RMSNorm(6)
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                parameter.normal_(generator=torch.Generator().manual_seed(number))

    def forward(self, tokens):
        return self.norm(self.matrix(self.embedding(tokens)))


def backward(network, step):
    tokens = torch.randint(0, 5, (7,), generator=torch.Generator().manual_seed(step))
    network(tokens).square().sum().backward()


def train(network, optimizer, steps):
    for step in steps:
        backward(network, step)
        optimizer.set_learning_rate(1.0 / (1 + step))
        optimizer.step()


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_adamw_is_torchs_with_decay_on_matrices_only():
    ours, theirs = Network(), Network()
    training = Training(learning_rate=0.05, weight_decay=0.3, betas=(0.8, 0.9))
    optimizer = Optimizer(ours, training)
    reference = torch.optim.AdamW(
        [
            {"params": [theirs.embedding.weight, theirs.matrix.weight], "weight_decay": 0.3},
            {"params": [theirs.norm.weight], "weight_decay": 0.0},
        ],
        betas=(0.8, 0.9),
        foreach=False,
        fused=False,
    )
    for step in range(5):
        backward(ours, step)
        backward(theirs, step)
        optimizer.set_learning_rate(1.0 / (1 + step))
        for group in reference.param_groups:
            group["lr"] = 0.05 / (1 + step)
        optimizer.step()
        reference.step()
        reference.zero_grad()
    torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-6, rtol=1e-5)


def test_muon_has_the_matrices_inside_and_adamw_the_rest():
    network = Network()
    optimizer = Optimizer(network, Training(optimizer="muon"))
    train(network, optimizer, range(2))
    fields = {}
    for name in optimizer.tensors():
        parameter, _, field = name.rpartition("/")
        fields.setdefault(parameter, set()).add(field)
    assert fields == {
        "matrix.weight": {"momentum_buffer"},
        "embedding.weight": {"step", "exp_avg", "exp_avg_sq"},
        "norm.weight": {"step", "exp_avg", "exp_avg_sq"},
    }


def test_muon_moves_the_matrix_as_torchs_muon_does():
    ours, theirs = Network(), Network()
    optimizer = Optimizer(ours, Training(optimizer="muon", muon_learning_rate=0.1, weight_decay=0.0))
    reference = torch.optim.Muon([theirs.matrix.weight], lr=0.1, weight_decay=0.0)
    backward(ours, 0)
    backward(theirs, 0)
    optimizer.set_learning_rate(0.5)
    reference.param_groups[0]["lr"] = 0.05
    optimizer.step()
    reference.step()
    assert torch.equal(ours.matrix.weight, theirs.matrix.weight)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_state_that_went_through_tensors_continues_to_the_same_bits(kind):
    training = Training(optimizer=kind, learning_rate=0.05)
    straight = Network()
    optimizer = Optimizer(straight, training)
    train(straight, optimizer, range(3))
    broken_off = Network()
    broken_off.load_state_dict(straight.state_dict())
    resumed = Optimizer(broken_off, training)
    # As from a file: other tensors, in another order.
    resumed.load({name: tensor.clone() for name, tensor in sorted(optimizer.tensors().items(), reverse=True)})
    for network, each in ((straight, optimizer), (broken_off, resumed)):
        train(network, each, range(3, 7))
    assert torch.equal(weights(straight), weights(broken_off))
    assert optimizer.tensors().keys() == resumed.tensors().keys()
    assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in optimizer.tensors().items())


def test_a_loaded_state_continues_to_the_same_bits_where_weights_lie_channels_last():
    """A fused step pairs weights and moments by their place in memory, whatever their strides say."""
    torch.manual_seed(0)
    straight = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    broken_off = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    boards = torch.randn(6, 2, 3, 5, 5)
    optimizer = Optimizer(straight, Training())

    def step(network, each, number):
        network(boards[number]).square().sum().backward()
        each.step()

    for number in range(3):
        step(straight, optimizer, number)
    broken_off.load_state_dict(straight.state_dict())
    resumed = Optimizer(broken_off, Training())
    # As from a file, which keeps values in their logical order.
    resumed.load(
        {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in optimizer.tensors().items()}
    )
    for network, each in ((straight, optimizer), (broken_off, resumed)):
        for number in range(3, 6):
            step(network, each, number)
    assert torch.equal(straight.weight, broken_off.weight)


def test_a_loaded_state_does_not_share_memory_with_what_it_was_loaded_from():
    network = Network()
    optimizer = Optimizer(network, Training())
    train(network, optimizer, range(1))
    tensors = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    optimizer.load(tensors)
    train(network, optimizer, range(1, 3))
    assert all(torch.equal(tensors[name], before[name]) for name in tensors)


def test_the_learning_rate_is_the_peak_times_the_factor():
    one, other = Network(), Network()
    for network, peak, factor in ((one, 0.1, 0.25), (other, 0.025, 1.0)):
        optimizer = Optimizer(network, Training(learning_rate=peak))
        backward(network, 0)
        optimizer.set_learning_rate(factor)
        optimizer.step()
    assert torch.equal(weights(one), weights(other))


def test_gradients_are_gone_after_a_step():
    network = Network()
    train(network, Optimizer(network, Training()), range(1))
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state | {"other.weight/exp_avg": torch.zeros(2)}, r"'other\.weight/exp_avg' belongs to another"),
        (lambda state: state | {"matrix.weight/exp_avg": torch.zeros(2, 2)}, r"'matrix\.weight/exp_avg' belongs to"),
        (lambda state: {k: v for k, v in state.items() if "norm" not in k}, r"lacks 'norm\.weight'"),
    ],
)
def test_a_state_of_another_model_is_refused_by_name(change, said):
    network = Network()
    optimizer = Optimizer(network, Training())
    train(network, optimizer, range(1))
    with pytest.raises(CheckpointError, match=said):
        Optimizer(Network(), Training()).load(change(optimizer.tensors()))
