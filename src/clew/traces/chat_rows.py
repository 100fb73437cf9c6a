"""Conversations packed into rows of tokens: batches that are a function of the step alone, for any backend."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.bundle.chat import Encoded
from clew.core.randomness import generator

IGNORED = -100
"""Target of a position that is not learnt."""
PADDING = -1
"""Number of the document of a position that holds no token."""
_BLOCK = 1024
"""Conversations that are packed together: enough to fill rows well, few enough that an order stays one."""

Tokens = NDArray[np.int64]


class ChatRows(NamedTuple):
    """Rows for a forward pass, each array int64 [rows, length].

    `targets` holds the next token of the same conversation where the model learns to write it, or `IGNORED`;
    `documents` numbers the conversation of each position (attention stays inside it), `positions` counts in it.
    """

    tokens: Tokens
    targets: Tokens
    documents: Tokens
    positions: Tokens


def pack(lengths: Sequence[int], order: Sequence[int], length: int, *, packing: bool = True) -> list[list[int]]:
    """Put conversations of `lengths`, none above `length`, into rows: which conversations each row holds.

    Best fit by falling length (as TRL packs), in blocks of `order`; not `packing`: one a row.
    """
    if not packing:
        return [[index] for index in order]
    rows: list[list[int]] = []
    for start in range(0, len(order), _BLOCK):
        block = sorted(order[start : start + _BLOCK], key=lambda index: -lengths[index])
        rooms: list[tuple[int, int]] = []
        for index in block:
            place = bisect_left(rooms, (lengths[index], -1))
            if place == len(rooms):
                room, row = length, len(rows)
                rows.append([])
            else:
                room, row = rooms.pop(place)
            rows[row].append(index)
            insort(rooms, (room - lengths[index], row))
    return rows


class ChatStream:
    """Conversations without an end, with random access by row: each pass packs all of them anew, in an order that is a
    function of seed and pass."""

    def __init__(
        self, conversations: Sequence[Encoded], length: int, seed: int, *, shuffle: bool = True, packing: bool = True
    ) -> None:
        """`conversations`: at least one, each of at most `length` + 1 tokens: the last is never read, only written."""
        self._conversations, self._length, self._seed = conversations, length, seed
        self._shuffle, self._packing = shuffle, packing
        self._lengths = [len(each.tokens) - 1 for each in conversations]
        self._ends: list[int] = []
        """Row of the stream at which each pass that was packed so far ends."""
        self._epoch = lru_cache(maxsize=2)(self._pack_epoch)

    @property
    def rows_per_epoch(self) -> int:
        """Rows in the first pass; later ones may take a row more or less."""
        return len(self._epoch(0))

    def members(self, row: int) -> list[int]:
        """Which conversations row `row` of the stream holds."""
        epoch = 0
        while True:
            if epoch == len(self._ends):
                self._ends.append((self._ends[-1] if self._ends else 0) + len(self._epoch(epoch)))
            if row < self._ends[epoch]:
                return self._epoch(epoch)[row - (self._ends[epoch - 1] if epoch else 0)]
            epoch += 1

    def rows(self, start: int, stop: int) -> ChatRows:
        """Rows `start` to `stop` - 1 of the stream."""
        return self._filled([self.members(row) for row in range(start, stop)])

    def all_rows(self) -> ChatRows:
        """Every conversation once, in the first pass's rows."""
        return self._filled(self._epoch(0))

    def _pack_epoch(self, epoch: int) -> list[list[int]]:
        count = len(self._conversations)
        if not self._shuffle:
            return pack(self._lengths, range(count), self._length, packing=self._packing)
        draws = generator(self._seed, "traces", epoch)
        rows = pack(self._lengths, draws.permutation(count).tolist(), self._length, packing=self._packing)
        # Best fit leaves the fullest rows first: they are shuffled once more.
        return [rows[row] for row in draws.permutation(len(rows)).tolist()]

    def _filled(self, members: Sequence[Sequence[int]]) -> ChatRows:
        width = self._length
        if not self._packing:
            longest = max(self._lengths[index] for row in members for index in row)
            width = min(width, -(-longest // 8) * 8)
        shape = (len(members), width)
        rows = ChatRows(
            np.zeros(shape, np.int64),
            np.full(shape, IGNORED, np.int64),
            np.full(shape, PADDING, np.int64),
            np.zeros(shape, np.int64),
        )
        for row, chosen in enumerate(members):
            at = 0
            for number, index in enumerate(chosen):
                tokens, trained = self._conversations[index]
                end = at + len(tokens) - 1
                rows.tokens[row, at:end] = tokens[:-1]
                rows.targets[row, at:end] = np.where(trained[1:], tokens[1:], IGNORED)
                rows.documents[row, at:end] = number
                rows.positions[row, at:end] = np.arange(end - at)
                at = end
        return rows
