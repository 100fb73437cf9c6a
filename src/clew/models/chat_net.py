"""A language model as the objective `chat` sees it, whichever library its network comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from torch import Tensor, nn

from clew.models.gpt import GPT
from clew.training.checkpoint import Frozen


class ChatNet(Protocol):
    """A network, and how its logits are had."""

    module: nn.Module
    """What trains and is saved."""
    frozen: Frozen | None
    """Weights that do not train and are not copied into checkpoints."""

    def noise(self, step: int, rows: range) -> Any:
        """What the dropout of `rows` of the batch of `step` draws from, for `logits`; None: nothing is dropped."""

    def logits(
        self, tokens: Tensor, *, documents: Tensor, positions: Tensor, chosen: Tensor | None = None, noise: Any = None
    ) -> Tensor:
        """Logits [batch * seq, vocab_size] for `tokens` int64 [batch, seq].

        `documents` int64 [batch, seq]: a token attends only to earlier tokens with its own number. `positions`: its
        place in its document. `chosen` int64 [n]: the places of the flattened rows that logits are wanted of; the
        result is then [n, vocab_size], and the head, the dearest layer of a small network, runs on these alone.
        """

    def describe(self) -> dict[str, Any]:
        """Family and sizes as JSON; who reads a checkpoint builds the network from it."""


class GPTNet:
    """A GPT of ours. Its rotary positions are relative, so it needs no `positions`."""

    frozen: Frozen | None = None

    def __init__(self, module: GPT) -> None:
        self.module = module

    def noise(self, step: int, rows: range) -> None:
        """None: fine-tuning drops nothing."""

    def logits(
        self, tokens: Tensor, *, documents: Tensor, positions: Tensor, chosen: Tensor | None = None, noise: None = None
    ) -> Tensor:
        """See `ChatNet`."""
        hidden = self.module.hidden(tokens, documents=documents).flatten(0, 1)
        return self.module.head(hidden if chosen is None else hidden.index_select(0, chosen))

    def describe(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": "gpt", **asdict(self.module.config)}
