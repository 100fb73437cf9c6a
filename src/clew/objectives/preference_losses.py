"""Log-probabilities of sequences, and losses of pairs of them. Pure tensor code."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from clew.models.chat_net import ChatNet, GPTNet, Groups

MOST_LOGITS = 1 << 24
"""Logits of one piece of the output layer: 64 MiB. More are computed piece by piece, and again in the backward pass."""


class Rows(Protocol):
    """What `log_probabilities` reads of a batch: see `clew.traces.preferences.trees.PairRows`."""

    @property
    def tokens(self) -> Tensor: ...
    @property
    def documents(self) -> Tensor: ...
    @property
    def branches(self) -> Tensor | None: ...
    @property
    def positions(self) -> Tensor: ...
    @property
    def places(self) -> Tensor: ...
    @property
    def targets(self) -> Tensor: ...
    @property
    def entries(self) -> Tensor: ...
    @property
    def sequences(self) -> Tensor: ...
    @property
    def groups(self) -> Groups | None: ...
    @property
    def noise(self) -> object: ...


class Scores(NamedTuple):
    """Of each pair, float32 [pairs]."""

    loss: Tensor
    chosen: Tensor
    """Reward of the chosen answer: beta times its log-ratio; of a reward model, its score."""
    rejected: Tensor
    accuracy: Tensor
    """1 where the chosen answer has the higher reward."""


def log_probabilities(net: ChatNet, rows: Rows, count: int) -> Tensor:
    """float64 [count]: the log-probability of each sequence, the sum over its tokens that count.

    A token that both answers of a pair begin with is predicted once and counts twice. Logits are had only of the places
    that count, and where they are many, piece by piece.
    """
    words = _vocabulary(net)
    if words and len(rows.places) * words > MOST_LOGITS:
        assert isinstance(net, GPTNet)
        hidden = net.hidden(
            rows.tokens, documents=rows.documents, positions=rows.positions, groups=rows.groups
        ).index_select(0, rows.places)
        size = max(1, MOST_LOGITS // words)
        parts = [
            checkpoint(_of_hidden, net, hidden[start : start + size], rows.targets[start : start + size],
                       use_reentrant=False)
            for start in range(0, len(hidden), size)
        ]  # fmt: skip
        found = torch.cat(parts)
    else:
        logits = net.logits(
            rows.tokens,
            documents=rows.documents,
            positions=rows.positions,
            chosen=rows.places,
            noise=rows.noise,
            branches=rows.branches,
            groups=rows.groups,
        )
        found = -F.cross_entropy(logits.float(), rows.targets, reduction="none")
    # In double precision: the sum is in the hundreds, and of two of them the difference counts.
    exact = torch.float32 if found.device.type == "mps" else torch.float64
    sums = torch.zeros(count, dtype=exact, device=found.device)
    return sums.index_add(0, rows.sequences, found.to(exact).index_select(0, rows.entries))


def _vocabulary(net: ChatNet) -> int:
    return net.module.config.vocab_size if isinstance(net, GPTNet) else 0


def _of_hidden(net: GPTNet, hidden: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(net.module.head(hidden).float(), targets, reduction="none")


def preference_loss(
    logps: Tensor,
    reference: Tensor,
    *,
    loss: str,
    beta: float,
    label_smoothing: float,
    lengths: Tensor,
    rpo_alpha: float = 0.0,
) -> Scores:
    """Loss and rewards of pairs: `logps`, `reference` and `lengths` are [2 * pairs], chosen and rejected in turn.

    dpo: Rafailov et al. 2023, equation 7, with label smoothing as in their code (conservative DPO). robust: Chowdhury
    et al. 2024. ipo: Azar et al. 2023, equation 17, of log-ratios that are means over the tokens. To any of them
    `rpo_alpha` times the chosen answer's mean negative log-likelihood a token is added (Pang et al. 2024).
    """
    ratios = (logps - reference.to(logps.dtype)).float().view(-1, 2)
    rewards = beta * ratios
    if loss == "ipo":
        means = ratios / lengths.view(-1, 2).clamp(min=1)
        losses = (means[:, 0] - means[:, 1] - 1 / (2 * beta)) ** 2
    else:
        losses = margin_loss(beta * (ratios[:, 0] - ratios[:, 1]), label_smoothing, unbiased=loss == "robust")
    if rpo_alpha:
        # Each pair's own mean, so that a split batch is the batch.
        losses = losses - rpo_alpha * (logps.view(-1, 2)[:, 0] / lengths.view(-1, 2)[:, 0].clamp(min=1)).float()
    return scores_of(losses, rewards[:, 0], rewards[:, 1])


def margin_loss(margin: Tensor, label_smoothing: float, *, unbiased: bool = False) -> Tensor:
    """-log sigmoid of each margin, where a share `label_smoothing` of the labels is taken to be wrong.

    `unbiased`: so that its mean over labels that are so often wrong is that over right ones.
    """
    right = -F.logsigmoid(margin)
    if not label_smoothing:
        return right
    wrong = -F.logsigmoid(-margin)
    if unbiased:
        return ((1 - label_smoothing) * right - label_smoothing * wrong) / (1 - 2 * label_smoothing)
    return (1 - label_smoothing) * right + label_smoothing * wrong


def scores_of(losses: Tensor, chosen: Tensor, rejected: Tensor) -> Scores:
    """Losses and rewards with which of each pair's is higher."""
    chosen, rejected = chosen.detach(), rejected.detach()
    return Scores(losses, chosen, rejected, (chosen > rejected).float())
