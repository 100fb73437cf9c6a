"""What a policy's outputs mean: probabilities of choices, or a normal distribution over vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clew.environments.spaces import Actions

_ILLEGAL = -1e30
"""Logit of an illegal choice: no infinity, so that its product with a probability of 0 is 0."""


def log_probability_and_entropy(
    actions: Actions, outputs: Tensor, log_std: Tensor | None, taken: Tensor, masks: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Log-probability [rows] of the actions `taken` [rows, columns], and entropy [rows].

    `outputs` [rows, actions.outputs]: logits, of several choices one behind the other, or means. `masks`, of the same
    shape: which choices are legal. Several parts are independent: their logarithms are added.
    """
    if actions.kind == "box":
        assert log_std is not None
        off = (taken - outputs) * torch.exp(-log_std)
        log_probability = -(0.5 * off * off + log_std + 0.5 * math.log(2 * math.pi)).sum(dim=1)
        entropy = (0.5 + 0.5 * math.log(2 * math.pi) + log_std).sum().expand(len(outputs))
        return log_probability, entropy
    if masks is not None:
        outputs = outputs.masked_fill(~masks, _ILLEGAL)
    log_probability = entropy = torch.zeros(len(outputs), dtype=outputs.dtype, device=outputs.device)
    for column, logits in enumerate(torch.split(outputs, list(actions.sizes), dim=1)):
        logs = torch.log_softmax(logits, dim=1)
        log_probability = log_probability + logs.gather(1, taken[:, column : column + 1]).squeeze(1)
        entropy = entropy - (logs.exp() * logs).sum(dim=1)
    return log_probability, entropy


def sample(actions: Actions, outputs: Tensor, log_std: Tensor | None, noise: Tensor, masks: Tensor | None) -> Tensor:
    """Draw an action a row, [rows, columns], from `noise` of the shape of `outputs`: normal for vectors, and Gumbel for
    choices, whose greatest sum of logit and noise is a draw from the softmax (Gumbel 1954). Without noise (zeros) it is
    the most probable action."""
    if actions.kind == "box":
        assert log_std is not None
        return outputs + torch.exp(log_std) * noise
    scores = outputs + noise
    if masks is not None:
        scores = scores.masked_fill(~masks, 2 * _ILLEGAL)
    parts = torch.split(scores, list(actions.sizes), dim=1)
    return torch.stack([part.argmax(dim=1) for part in parts], dim=1)
