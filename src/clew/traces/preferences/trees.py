"""Pairs as rows of tokens: what both answers of a pair begin with is computed once.

A pair is a *tree*: a trunk (the prompt, and what the answers have in common) and two branches. In a row the branches
stand behind the trunk, each at the positions that follow it, and neither sees the other; so the logits are those of two
sequences, for the price of little more than one. For a network that cannot be given such a mask the two sequences of a
pair stand apart (`shared=False`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.bundle.chat import Encoded
from clew.core.randomness import generator
from clew.traces.chat_rows import PADDING, pack

Tokens = NDArray[np.int64]
TRUNK, CHOSEN, REJECTED = 0, 1, 2
"""Numbers of the branches."""
_GRAIN = 8
"""Rows are as long as a multiple of this."""
_ALIKE = 0.8
"""A piece shorter than this share of its group's longest begins a new group."""
_ATTENTION = 1024
"""Tokens of a row with which attention costs as much as all the rest of a small network."""


class EncodedPair(NamedTuple):
    """The two sequences of a pair; `trained` marks the tokens whose probability counts."""

    chosen: Encoded
    rejected: Encoded

    @property
    def longest(self) -> int:
        """Tokens of the longer sequence."""
        return max(len(self.chosen.tokens), len(self.rejected.tokens))


class Piece(NamedTuple):
    """What stands in a row without a gap: a tree, or one of two sequences. int64 each.

    `places` [entries]: where in the piece the `targets` are predicted; entry `entries[i]` counts for the sequence
    `sides[i]` (0 chosen, 1 rejected). `ends`: the place of the last token of each sequence that is in this piece, -1
    for one that is not.
    """

    tokens: Tokens
    branches: Tokens
    positions: Tokens
    places: Tokens
    targets: Tokens
    entries: Tokens
    sides: Tokens
    ends: Tokens


class PairRows(NamedTuple):
    """Rows for a forward pass, int64: `tokens`, `documents`, `branches`, `positions` [rows, length].

    `places` [entries] in the flattened rows, with their `targets`; `entries`, `sequences` [parts]: entry `entries[i]`
    counts for sequence `sequences[i]`, which is `2 * pair + side`. `ends` [2 * pairs]: the place of each sequence's
    last token. `lengths` [2 * pairs]: how many tokens count in it.
    """

    tokens: Tokens
    documents: Tokens
    branches: Tokens
    positions: Tokens
    places: Tokens
    targets: Tokens
    entries: Tokens
    sequences: Tokens
    ends: Tokens
    lengths: Tokens
    groups: tuple[tuple[Tokens, Tokens], ...] = ()
    """Of one row without padding: see `clew.models.chat_net.Groups`."""
    back: Tokens | None = None


def pieces_of(pair: EncodedPair, *, shared: bool = True, whole: bool = False) -> tuple[Piece, ...]:
    """The pieces of a pair: one tree (`shared`), or a sequence each.

    `whole`: with the last token of each sequence, which predicts nothing that counts; a reward model reads it.
    """
    chosen, rejected = (_cut(each) for each in pair)
    if not shared:
        return _sequence(chosen, 0, whole=whole), _sequence(rejected, 1, whole=whole)
    trunk = _common(chosen, rejected)
    cut = 0 if whole else 1
    lengths = [len(each.tokens) - trunk - cut for each in (chosen, rejected)]
    starts = [trunk, trunk + lengths[0]]
    tokens = [chosen.tokens[:trunk]]
    places, targets, entries, sides, ends = [], [], [], [], []
    # What the trunk predicts within itself counts for both.
    inner = np.flatnonzero(chosen.trained[1:trunk])
    places.append(inner)
    targets.append(chosen.tokens[inner + 1])
    entries += [np.arange(len(inner))] * 2
    sides += [np.zeros(len(inner), np.int64), np.ones(len(inner), np.int64)]
    count = len(inner)
    for side, each in enumerate((chosen, rejected)):
        tokens.append(each.tokens[trunk : trunk + lengths[side]])
        scored = np.flatnonzero(each.trained[trunk:])
        places.append(np.where(scored == 0, trunk - 1, starts[side] + scored - 1))
        targets.append(each.tokens[trunk + scored])
        entries.append(count + np.arange(len(scored)))
        sides.append(np.full(len(scored), side))
        ends.append(starts[side] + lengths[side] - 1 if lengths[side] else trunk - 1)
        count += len(scored)
    branches = np.repeat([TRUNK, CHOSEN, REJECTED], [trunk, *lengths])
    positions = np.concatenate([np.arange(trunk), *(trunk + np.arange(length) for length in lengths)])
    joined = [np.concatenate(each).astype(np.int64) for each in (tokens, places, targets, entries, sides)]
    return (
        Piece(joined[0], branches, positions, joined[1], joined[2], joined[3], joined[4], np.array(ends, np.int64)),
    )


def _sequence(each: Encoded, side: int, *, whole: bool) -> Piece:
    length = len(each.tokens) - (0 if whole else 1)
    places = np.flatnonzero(each.trained[1:])
    ends = np.full(2, -1)
    ends[side] = length - 1
    count = len(places)
    return Piece(
        each.tokens[:length],
        np.zeros(length, np.int64),
        np.arange(length),
        places,
        each.tokens[places + 1],
        np.arange(count),
        np.full(count, side),
        ends,
    )


def _cut(each: Encoded) -> Encoded:
    """A sequence up to the last token that counts: what comes after it changes nothing."""
    end = int(np.flatnonzero(each.trained)[-1]) + 1
    return Encoded(each.tokens[:end], each.trained[:end])


def _common(chosen: Encoded, rejected: Encoded) -> int:
    """How many tokens both begin with, and learn or not alike; at least one token of each is behind them."""
    length = min(len(chosen.tokens), len(rejected.tokens)) - 1
    same = (chosen.tokens[:length] == rejected.tokens[:length]) & (chosen.trained[:length] == rejected.trained[:length])
    return length if same.all() else int(np.argmin(same))


class PairStream:
    """Pairs without an end, with random access: the order of each pass is a function of seed and pass."""

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        numbers: Sequence[int],
        seed: int,
        *,
        shared: bool,
        whole: bool,
        ragged: bool = False,
    ) -> None:
        """`numbers`: of the pairs that the stream goes over. `ragged`: all in one row without padding."""
        self._ragged = ragged
        self._numbers, self._seed = np.asarray(numbers, np.int64), seed
        self._pieces = [pieces_of(pair, shared=shared, whole=whole) for pair in pairs]

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs in a pass."""
        return len(self._numbers)

    def members(self, start: int, stop: int) -> Tokens:
        """Numbers of the pairs `start` to `stop` - 1 of the stream."""
        count = len(self._numbers)
        found = [
            self._numbers[generator(self._seed, "pairs", epoch).permutation(count)]
            for epoch in range(start // count, (stop - 1) // count + 1)
        ]
        first = start // count * count
        return np.concatenate(found)[start - first : stop - first]

    def rows(self, numbers: Sequence[int] | Tokens) -> PairRows:
        """The pairs of these numbers as rows; sequence `2 * i + side` is that of the i-th."""
        held = [(index, piece) for index, number in enumerate(numbers) for piece in self._pieces[number]]
        lengths = [len(piece.tokens) for _, piece in held]
        width, packed = (sum(lengths), [list(range(len(held)))]) if self._ragged else _packed(lengths)
        shape = (len(packed), width)
        rows = [
            np.zeros(shape, np.int64),
            np.full(shape, PADDING),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
        ]
        ends = np.full(2 * len(numbers), -1)
        places, targets, entries, sequences = [], [], [], []
        count = 0
        for row, chosen in enumerate(packed):
            at = 0
            for document, which in enumerate(chosen):
                index, piece = held[which]
                inside = slice(at, at + len(piece.tokens))
                for array, values in zip(rows, (piece.tokens, document, piece.branches, piece.positions), strict=True):
                    array[row, inside] = values
                offset = row * width + at
                places.append(piece.places + offset)
                targets.append(piece.targets)
                entries.append(piece.entries + count)
                sequences.append(piece.sides + 2 * index)
                there = np.flatnonzero(piece.ends >= 0)
                ends[2 * index + there] = piece.ends[there] + offset
                count += len(piece.places)
                at = inside.stop
        joined = [np.concatenate(each) for each in (places, targets, entries, sequences)]
        counted = np.bincount(joined[3], minlength=2 * len(numbers))
        groups, back = _grouped([piece for _, piece in held]) if self._ragged else ((), None)
        filled = (rows[0], rows[1], rows[2], rows[3], joined[0], joined[1], joined[2], joined[3], ends, counted)
        return PairRows(*filled, groups, back)


def _packed(lengths: Sequence[int]) -> tuple[int, list[list[int]]]:
    """A width, and which pieces each row of it holds: the width that costs least, up to twice the longest piece."""
    shortest = -(-max(lengths) // _GRAIN) * _GRAIN
    best: tuple[float, int, list[list[int]]] | None = None
    for width in range(shortest, 2 * shortest + 1, _GRAIN):
        rows = pack(lengths, range(len(lengths)), width)
        cost = len(rows) * width * (1 + width / _ATTENTION)
        if best is None or cost < best[0]:
            best = cost, width, rows
    assert best is not None
    return best[1:]


def _grouped(pieces: Sequence[Piece]) -> tuple[tuple[tuple[Tokens, Tokens], ...], Tokens]:
    """Pieces that stand one behind another, put together by length, so that little of a group is empty."""
    lengths = [len(piece.tokens) for piece in pieces]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    count = int(starts[-1])
    groups: list[list[int]] = []
    for which in sorted(range(len(pieces)), key=lambda which: -lengths[which]):
        if not groups or lengths[which] < _ALIKE * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(which)
    found, back, at = [], np.zeros(count, np.int64), 0
    for group in groups:
        longest = lengths[group[0]]
        index, branches = np.full((len(group), longest), count), np.full((len(group), longest), -1)
        for row, which in enumerate(group):
            places = starts[which] + np.arange(lengths[which])
            index[row, : lengths[which]] = places
            branches[row, : lengths[which]] = pieces[which].branches
            back[places] = at + row * longest + np.arange(lengths[which])
        at += len(group) * longest
        found.append((index, branches))
    return tuple(found), back
