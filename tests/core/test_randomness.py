"""Randomness as a function of seed, purpose and position."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.randomness import generator, key


def test_the_draws_of_a_key_are_fixed_for_ever():
    # Runs of every version are resumed and repeated by these draws: should this fail, nothing resumes any more.
    assert key(42, "dropout", 7, 3) == 0x06AEF87C8D1A9F610E783160C62BAD96
    assert generator(42, "shuffle", 0).permutation(8).tolist() == [6, 0, 3, 7, 5, 4, 2, 1]
    assert generator(42, "sample").random(2).tolist() == [0.8992094171088634, 0.2649859488104588]


def test_a_draw_does_not_depend_on_what_was_drawn_before():
    alone = generator(1, "shuffle", 5).random(4)
    for position in (3, 9, 5):
        after_others = generator(1, "shuffle", position).random(4)
    np.testing.assert_array_equal(alone, after_others)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "dropout", 2), (1, "dropout", 3)),
        ((1, "dropout", 2), (2, "dropout", 2)),
        ((1, "dropout", 2), (1, "shuffle", 2)),
        ((1, "dropout", 12), (1, "dropout", 1, 2)),
        ((1, "dropout", 1, 2), (1, "dropout", 2, 1)),
        ((1, "2"), (1, 2)),
        ((1,), (1, "")),
        ((1, "ab", "c"), (1, "a", "bc")),
    ],
    ids=str,
)
def test_each_part_of_a_key_counts_in_its_place(one, other):
    assert key(*one) != key(*other)
    assert generator(*one).integers(2**63) != generator(*other).integers(2**63)


def test_neighbouring_positions_give_independent_streams():
    streams = np.stack([generator(0, "noise", position).standard_normal(4096) for position in range(24)])
    correlations = np.corrcoef(streams)[np.triu_indices(24, 1)]
    # Of independent streams each correlation has deviation 1/64; five deviations are passed once in a million pairs.
    assert np.abs(correlations).max() < 5 / 64
    assert abs(streams.mean()) < 5 / 64 / 24**0.5


def test_nothing_reads_or_moves_the_global_generator():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    generator(0, "noise").random(100)
    np.testing.assert_array_equal(before, np.random.get_state()[1])
