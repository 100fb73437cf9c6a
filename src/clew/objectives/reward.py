"""A reward model on preference pairs: one score a sequence, no policy and no reference (Bradley & Terry 1952)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clew.core.randomness import key
from clew.models.chat_net import GPTNet
from clew.models.reward import RewardGPT
from clew.objectives.preference_losses import Scores, margin_loss, scores_of
from clew.objectives.preference_policy import Batch, Preference
from clew.traces.preferences.evidence import PreparedPreference
from clew.traces.preferences.trees import Tokens
from clew.training.devices import Placement


class Reward(Preference):
    """A GPT with a score in place of its output layer; the margin is that of two scores."""

    whole = True

    def __init__(self, prepared: PreparedPreference, net: GPTNet, folder: Path, placement: Placement) -> None:
        super().__init__(prepared, net, folder, placement)
        self._gpt = net
        self.reward = RewardGPT(net.module)
        self.reward.initialise(torch.Generator().manual_seed(key(self.recipe.seed, "score") % 2**63))
        self.model = self.reward.to(placement.device)

    def scores(self, batch: Batch) -> Scores:
        """Loss and score of each pair."""
        hidden = self._gpt.hidden(
            batch.tokens, documents=batch.documents, positions=batch.positions, groups=batch.groups
        )
        found: Tensor = self.reward.score(hidden.index_select(0, batch.ends)).float().view(-1, 2)
        chosen, rejected = found[:, 0], found[:, 1]
        losses = margin_loss(self.recipe.beta * (chosen - rejected), self.recipe.label_smoothing)
        return scores_of(losses, chosen, rejected)

    def to_device(self, numbers: Tokens) -> Batch:
        """The pairs of these numbers as a batch, without a reference."""
        return self._moved(self.stream.rows(numbers), torch.zeros(0))

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes."""
        return self.reward.describe()
