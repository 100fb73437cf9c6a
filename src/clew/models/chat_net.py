"""A language model as the objective `chat` sees it, whichever library its network comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from clew.models.gpt import GPT
from clew.training.checkpoint import Frozen


class Groups(NamedTuple):
    """Texts of about one length, for attention: which tokens of a row without padding belong together."""

    pieces: tuple[tuple[Tensor, Tensor], ...]
    """Of each group the places of the tokens, int64 [texts, length], the number of all tokens where a shorter text has
    ended; and their branches, -1 there."""
    back: Tensor
    """int64 [tokens]: where each token stands in the groups, one behind another."""


class ChatNet(Protocol):
    """A network, and how its logits are had."""

    @property
    def module(self) -> nn.Module:
        """What trains and is saved."""

    @property
    def frozen(self) -> Frozen | None:
        """Weights that do not train and are not copied into checkpoints."""

    def noise(self, step: int, rows: range) -> Any:
        """What the dropout of `rows` of the batch of `step` draws from, for `logits`; None: nothing is dropped."""

    def logits(
        self,
        tokens: Tensor,
        *,
        documents: Tensor,
        positions: Tensor,
        chosen: Tensor | None = None,
        noise: Any = None,
        branches: Tensor | None = None,
        groups: Groups | None = None,
    ) -> Tensor:
        """Logits [batch * seq, vocab_size] for `tokens` int64 [batch, seq].

        `documents` int64 [batch, seq]: a token attends only to earlier tokens with its own number. `positions`: its
        place in its document. `chosen` int64 [n]: the places of the flattened rows that logits are wanted of; the
        result is then [n, vocab_size], and the head, the dearest layer of a small network, runs on these alone.
        `branches` int64 [batch, seq]: of a document that branches, 0 in its trunk; a token of branch 1 or 2 sees the
        trunk and its own branch. Only for a network that `shares` says can be given it. `groups`: for one that is
        `ragged`, which tokens of one long row without padding belong together.
        """

    @property
    def ragged(self) -> bool:
        """Whether `logits` wants one row without padding, and `groups`, where texts branch."""

    def shares(self) -> bool:
        """Whether `logits` can be given `branches`."""

    def describe(self) -> dict[str, Any]:
        """Family and sizes as JSON; who reads a checkpoint builds the network from it."""


class GPTNet:
    """A GPT of ours. Its rotary positions are relative, so it needs no `positions` but where texts branch."""

    frozen: Frozen | None = None
    ragged = True

    def __init__(self, module: GPT) -> None:
        self.module = module

    def noise(self, step: int, rows: range) -> None:
        """None: fine-tuning drops nothing."""

    def logits(
        self,
        tokens: Tensor,
        *,
        documents: Tensor,
        positions: Tensor,
        chosen: Tensor | None = None,
        noise: None = None,
        branches: Tensor | None = None,
        groups: Groups | None = None,
    ) -> Tensor:
        """See `ChatNet`."""
        hidden = self.hidden(tokens, documents=documents, positions=positions, groups=groups)
        return self.module.head(hidden if chosen is None else hidden.index_select(0, chosen))

    def hidden(self, tokens: Tensor, *, documents: Tensor, positions: Tensor, groups: Groups | None = None) -> Tensor:
        """What the head reads, [batch * seq, d_model]."""
        if groups is None:
            return self.module.hidden(tokens, documents=documents).flatten(0, 1)
        pieces = [(index, own_branch(branches).unsqueeze(1)) for index, branches in groups.pieces]
        return self.module.hidden_of_pieces(tokens.flatten(), positions.flatten(), pieces, groups.back)

    def shares(self) -> bool:
        """A GPT of ours takes any mask."""
        return True

    def describe(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": "gpt", **asdict(self.module.config)}


def branching_mask(documents: Tensor, branches: Tensor) -> Tensor:
    """bool [batch, 1, seq, seq]: an earlier token (or itself) of the document, of its trunk or of one's own branch."""
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return (same & own_branch(branches)).unsqueeze(1)


def own_branch(branches: Tensor) -> Tensor:
    """bool [batch, seq, seq]: an earlier token (or itself) of the trunk, 0, or of one's own branch."""
    return ((branches.unsqueeze(2) == branches.unsqueeze(1)) | (branches == 0).unsqueeze(1)).tril()
