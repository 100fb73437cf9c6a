"""Packing of token sequences into rows, so that no position is padding and no token is trained twice in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clew.core.randomness import generator

IGNORED = -100
"""Target of a position that is not scored."""

Tokens = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Rows for a forward pass, each array int64 [rows, context_length].

    `documents` numbers the document of each position (attention stays inside it); `targets` holds the next token of
    the same document, or `IGNORED`.
    """

    tokens: Tokens
    targets: Tokens
    documents: Tokens


class PackedStream:
    """All documents end to end, shuffled anew each epoch, cut into rows: an endless stream with random access.

    Epoch e occupies the positions [e N, (e+1) N) of the stream, N being the tokens of all documents, in an order
    that is a function of seed and e. Row r holds positions [r T, (r+1) T). So every token is an input exactly once
    an epoch and, but for the first of its document, a target exactly once; the row of any step is computed alone.
    """

    def __init__(self, documents: Sequence[Tokens], context_length: int, seed: int) -> None:
        self.tokens_per_epoch = sum(len(document) for document in documents)
        self._documents = documents
        self._context_length = context_length
        self._seed = seed
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    @property
    def rows_per_epoch(self) -> float:
        """Rows in one pass over the documents; seldom a whole number."""
        return self.tokens_per_epoch / self._context_length

    def rows(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop` - 1 of the stream."""
        first, last = start * self._context_length, stop * self._context_length
        # One token more: the target of the last position.
        tokens, documents = self._span(first, last + 1)
        targets = np.where(documents[1:] == documents[:-1], tokens[1:], IGNORED)
        shape = (stop - start, self._context_length)
        return Rows(tokens[:-1].reshape(shape), targets.reshape(shape), documents[:-1].reshape(shape))

    def _span(self, first: int, last: int) -> tuple[Tokens, Tokens]:
        tokens, documents = [], []
        position = first
        while position < last:
            epoch, offset = divmod(position, self.tokens_per_epoch)
            epoch_tokens, epoch_documents = self._epoch(epoch)
            taken = min(last - position, self.tokens_per_epoch - offset)
            tokens.append(epoch_tokens[offset : offset + taken])
            documents.append(epoch_documents[offset : offset + taken] + epoch * len(self._documents))
            position += taken
        return np.concatenate(tokens), np.concatenate(documents)

    def _make_epoch(self, epoch: int) -> tuple[Tokens, Tokens]:
        order = generator(self._seed, "shuffle", epoch).permutation(len(self._documents))
        tokens = np.concatenate([self._documents[index] for index in order])
        lengths = [len(self._documents[index]) for index in order]
        return tokens, np.repeat(np.arange(len(order)), lengths)


def evaluation_rows(documents: Sequence[Tokens], context_length: int) -> Rows:
    """Pack documents so that each token but the first of its document is scored exactly once.

    A document longer than a row is covered by windows that overlap by half: each scored token has all of its
    document before it, or at least half a row. Windows are packed into rows, first fit by falling length; what is
    left of a row is its own document that nothing scores.
    """
    windows: list[tuple[Tokens, Tokens]] = []
    half = context_length // 2
    for document in documents:
        scored_until, start = 0, 0
        while scored_until < len(document) - 1:
            stop = min(start + context_length, len(document) - 1)
            targets = document[start + 1 : stop + 1].copy()
            targets[: scored_until - start] = IGNORED
            windows.append((document[start:stop], targets))
            scored_until, start = stop, stop - half
    windows.sort(key=lambda window: -len(window[0]))
    room: list[int] = []
    members: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    for index, (tokens, _) in enumerate(windows):
        fitting = next((free for free in range(len(tokens), context_length + 1) if by_room.get(free)), None)
        if fitting is None:
            row = len(room)
            room.append(context_length)
            members.append([])
        else:
            row = by_room[fitting].pop()
        members[row].append(index)
        room[row] -= len(tokens)
        by_room.setdefault(room[row], []).append(row)
    shape = (len(members), context_length)
    packed = Rows(np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64), np.full(shape, -1, np.int64))
    for row, chosen in enumerate(members):
        at = 0
        for index in chosen:
            tokens, targets = windows[index]
            packed.tokens[row, at : at + len(tokens)] = tokens
            packed.targets[row, at : at + len(tokens)] = targets
            packed.documents[row, at : at + len(tokens)] = index
            at += len(tokens)
    return packed
