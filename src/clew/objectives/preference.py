"""Objective `preference`: of two answers a model learns which one is preferred. A policy, or a reward model by name."""

from __future__ import annotations

from pathlib import Path

import torch

from clew.core.named import named
from clew.core.randomness import key
from clew.models.chat_net import ChatNet, GPTNet
from clew.models.gpt import GPT, GPTConfig
from clew.objectives.chat import NETS
from clew.objectives.preference_policy import Preference
from clew.objectives.reward import Reward
from clew.recipes.preference import TINY
from clew.traces.named_models import OURS
from clew.traces.preferences.evidence import PreparedPreference
from clew.training.devices import Placement

TINY_SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_mlp": 128}
"""Of the model that has its weights drawn."""


def make(prepared: PreparedPreference, folder: Path, placement: Placement) -> Preference:
    """The objective of the run in `folder`."""
    if prepared.model.name == TINY and prepared.model.kind == OURS:
        net: ChatNet = _tiny(prepared, placement)
    else:
        net = named(NETS[prepared.model.kind])(prepared, placement)
    if prepared.recipe.loss == "reward":
        assert isinstance(net, GPTNet)
        return Reward(prepared, net, folder, placement)
    return Preference(prepared, net, folder, placement)


def _tiny(prepared: PreparedPreference, placement: Placement) -> GPTNet:
    """A GPT whose weights are drawn by the recipe's seed."""
    words = prepared.model.open_tokenizer().get_vocab_size(with_added_tokens=True)
    gpt = GPT(GPTConfig(vocab_size=words, context_length=prepared.length, **TINY_SIZES))
    gpt.initialise(torch.Generator().manual_seed(key(prepared.recipe.seed, "weights") % 2**63))
    return GPTNet(gpt.to(placement.device).train())
