"""A reward model: a GPT that reads a prompt with a response and gives it one number."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from clew.models.gpt import GPT, GPTConfig

FAMILY = "reward"


class RewardGPT(nn.Module):
    """The network without its output layer, and a score of what it makes of the last token."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt
        self.score = nn.Linear(gpt.config.d_model, 1, bias=False)

    @classmethod
    def of_config(cls, config: GPTConfig) -> RewardGPT:
        """One of these sizes, its weights not drawn."""
        return cls(GPT(config))

    @torch.no_grad()
    def initialise(self, random: torch.Generator) -> None:
        """Draw the score: normal with deviation 1 / sqrt(d_model + 1) (Stiennon et al. 2020); the rest stays."""
        self.score.weight.normal_(0.0, (self.gpt.config.d_model + 1) ** -0.5, generator=random)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Score [batch] and embedding [batch, d_model] of `tokens` int64 [batch, seq], of which `lengths` count."""
        hidden = self.gpt.hidden(tokens)
        place = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
        embedding = hidden.gather(1, place).squeeze(1)
        return self.score(embedding).squeeze(1), embedding

    def describe(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": FAMILY, **asdict(self.gpt.config)}
