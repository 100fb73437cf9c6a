"""Packing: no padding, every token once an epoch, no target across documents, random access."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.objectives.packing import IGNORED, PackedStream, evaluation_rows

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12).filter(lambda found: sum(found) >= 2)


def numbered(lengths):
    """Documents whose tokens are all different, so that each can be followed."""
    starts = np.cumsum([0, *lengths])
    return [np.arange(start, start + length, dtype=np.int64) for start, length in zip(starts, lengths, strict=False)]


def following(documents):
    """Token -> the token after it in its document."""
    return {int(a): int(b) for document in documents for a, b in pairwise(document)}


def epoch_of(stream, rows_needed):
    """Tokens, targets and documents of the first epoch, flat, read in one piece."""
    rows = stream.rows(0, rows_needed)
    return [array.reshape(-1)[: stream.tokens_per_epoch] for array in rows]


@given(lengths=lengths, context=st.integers(8, 24), seed=st.integers(0, 5))
@settings(max_examples=120, deadline=None)
def test_an_epoch_reads_every_token_once_and_scores_every_successor_once(lengths, context, seed):
    documents = numbered(lengths)
    stream = PackedStream(documents, context, seed)
    tokens, targets, owners = epoch_of(stream, -(-stream.tokens_per_epoch // context))
    assert sorted(tokens.tolist()) == list(range(sum(lengths)))
    after = following(documents)
    # The last token of a document has no target, all others have their successor.
    assert [after.get(int(token), IGNORED) for token in tokens] == targets.tolist()
    assert sorted(target for target in targets.tolist() if target != IGNORED) == sorted(after.values())
    document_of = {int(token): number for number, document in enumerate(documents) for token in document}
    first_owner = {}
    for token, owner in zip(tokens, owners, strict=True):
        assert first_owner.setdefault(document_of[int(token)], owner) == owner
    assert len(set(first_owner.values())) == len(documents), "no two documents share a number"


@given(lengths=lengths, context=st.integers(8, 24), cuts=st.lists(st.integers(0, 30), min_size=2, max_size=6))
@settings(max_examples=80, deadline=None)
def test_any_row_can_be_had_without_those_before_it(lengths, context, cuts):
    documents = numbered(lengths)
    whole = PackedStream(documents, context, 3).rows(0, 31)
    for start in cuts:
        part = PackedStream(documents, context, 3).rows(start, start + 1)
        for one, other in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, other[start : start + 1])


def test_each_epoch_has_an_order_of_its_own_and_no_document_number_comes_back():
    stream = PackedStream(numbered([16] * 8), 16, seed=0)
    first, second = stream.rows(0, 8), stream.rows(8, 16)
    assert sorted(first.tokens.flatten()) == sorted(second.tokens.flatten())
    assert first.tokens.tolist() != second.tokens.tolist()
    assert not set(first.documents.flatten()) & set(second.documents.flatten())


def test_the_same_document_at_the_end_of_one_epoch_and_the_start_of_the_next_is_two():
    # One document: each epoch begins with it, and its last token must not predict its first.
    stream = PackedStream(numbered([10]), 8, seed=0)
    rows = stream.rows(0, 5)
    assert [int(target) for target in rows.targets.flatten()] == [*range(1, 10), IGNORED] * 4


def test_another_seed_shuffles_otherwise():
    documents = numbered([5] * 20)
    assert PackedStream(documents, 10, 1).rows(0, 10).tokens.tolist() != (
        PackedStream(documents, 10, 2).rows(0, 10).tokens.tolist()
    )


@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=12), context=st.integers(8, 24))
@settings(max_examples=150, deadline=None)
def test_evaluation_scores_each_successor_once_with_history_enough(lengths, context):
    documents = numbered(lengths)
    after = following(documents)
    rows = evaluation_rows(documents, context)
    starts = {int(document[0]): document for document in documents}
    place = {int(token): (number, at) for number, document in enumerate(documents) for at, token in enumerate(document)}
    scored = []
    for tokens, targets, owners in zip(*rows, strict=True):
        for position, (token, target) in enumerate(zip(tokens, targets, strict=True)):
            if target == IGNORED:
                continue
            assert owners[position] >= 0
            assert after[int(token)] == target
            scored.append(int(target))
            # What the model sees: the same owner, up to here. It must be the document's own tokens without a gap.
            seen = [int(tokens[other]) for other in range(position + 1) if owners[other] == owners[position]]
            _, at = place[int(token)]
            assert seen == list(range(int(token) - len(seen) + 1, int(token) + 1))
            assert len(seen) == at + 1 or len(seen) >= context // 2
    assert sorted(scored) == sorted(after.values())
    assert len(starts) == len(documents)


@given(lengths=st.lists(st.integers(2, 90), min_size=1, max_size=30), context=st.integers(8, 24))
@settings(max_examples=60, deadline=None)
def test_evaluation_wastes_less_than_half_of_its_positions(lengths, context):
    rows = evaluation_rows(numbered(lengths), context)
    used = (rows.documents >= 0).sum()
    # First fit: of two rows more than half empty, one would have gone into the other.
    assert used > rows.tokens.size / 2 or len(rows.tokens) == 1


@pytest.mark.parametrize("context", [8, 9])
def test_the_windows_of_a_long_document_by_hand(context):
    rows = evaluation_rows(numbered([20]), context)
    windows = [row[owners >= 0].tolist() for row, owners in zip(rows.tokens, rows.documents, strict=True)]
    half = context // 2
    expected, start = [], 0
    while True:
        stop = min(start + context, 19)
        expected.append(list(range(start, stop)))
        if stop == 19:
            break
        start = stop - half
    assert sorted(windows) == sorted(expected)


def test_a_document_of_one_token_predicts_nothing():
    assert len(evaluation_rows(numbered([1, 1]), 8).tokens) == 0
