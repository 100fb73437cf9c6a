"""Packed rows: every conversation once a pass and whole, rows alone from their number, nothing else in them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.bundle.chat import Encoded
from clew.traces.chat_rows import IGNORED, PADDING, ChatStream, pack


def conversations(lengths, prompt=2):
    return [
        Encoded(np.arange(length) + 100 * number, np.arange(length) >= min(prompt, length - 1))
        for number, length in enumerate(lengths, 1)
    ]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.randoms())
def test_each_is_packed_once_and_no_row_is_too_long(lengths, random):
    order = list(range(len(lengths)))
    random.shuffle(order)
    rows = pack(lengths, order, 30)
    assert Counter(index for row in rows for index in row) == Counter(range(len(lengths)))
    assert all(row and sum(lengths[index] for index in row) <= 30 for row in rows)
    # Best fit never opens a row while one has room, so at most one row is not more than half full.
    assert sum(sum(lengths[index] for index in row) <= 15 for row in rows) <= 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 20), min_size=1, max_size=40), st.booleans(), st.booleans())
def test_a_pass_teaches_each_token_of_the_assistant_once_after_the_one_before_it(lengths, packing, shuffle):
    given_rows = conversations(lengths)
    stream = ChatStream(given_rows, 19, seed=1, packing=packing, shuffle=shuffle)
    rows = stream.rows(0, stream.rows_per_epoch)
    learnt = Counter()
    for row in range(len(rows.tokens)):
        for at in np.flatnonzero(rows.targets[row] != IGNORED):
            assert rows.tokens[row, at] == rows.targets[row, at] - 1  # the same conversation, one place before
            learnt[int(rows.targets[row, at])] += 1
        for number in set(rows.documents[row]) - {PADDING}:
            inside = np.flatnonzero(rows.documents[row] == number)
            assert (np.diff(inside) == 1).all()
            assert rows.positions[row, inside].tolist() == list(range(len(inside)))
    expected = Counter(int(token) for each in given_rows for token in each.tokens[1:][each.trained[1:]])
    assert learnt == expected


def test_a_row_is_the_same_whatever_was_asked_before():
    given_rows = conversations([5, 9, 14, 3, 8, 2, 11] * 9)
    whole = ChatStream(given_rows, 16, seed=3).rows(0, 80)
    other = ChatStream(given_rows, 16, seed=3)
    for row in (79, 0, 41):
        for name, array in other.rows(row, row + 1)._asdict().items():
            np.testing.assert_array_equal(array[0], getattr(whole, name)[row])


def test_passes_differ_and_seeds_differ_unless_nothing_is_shuffled():
    given_rows = conversations([5, 9, 14, 3, 8, 2, 11] * 9)
    stream = ChatStream(given_rows, 16, seed=3)
    first = [stream.members(row) for row in range(stream.rows_per_epoch)]
    assert first != [stream.members(row + stream.rows_per_epoch) for row in range(stream.rows_per_epoch)]
    other = ChatStream(given_rows, 16, seed=4)
    assert first != [other.members(row) for row in range(other.rows_per_epoch)]
    in_order = ChatStream(given_rows, 16, seed=3, shuffle=False, packing=False)
    assert [in_order.members(row) for row in range(65)] == [[row % 63] for row in range(65)]


@pytest.mark.parametrize("packing", [True, False])
def test_no_row_is_without_something_to_learn(packing):
    stream = ChatStream(conversations([7, 12, 16, 4] * 5, prompt=3), 15, seed=0, packing=packing)
    assert ((stream.rows(0, 60).targets != IGNORED).sum(axis=1) > 0).all()
