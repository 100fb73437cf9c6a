"""Elo ratings against hand-worked cases, another optimiser, and simulated tournaments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from clew.core.errors import ClewError
from clew.games.elo import ELO, Pairing, rate


def test_three_points_of_four_are_191_elo():
    ratings = rate([Pairing(0, 1, 25, 0, 75)], 2, prior_draws=0)
    assert ratings.elo[1] - ratings.elo[0] == pytest.approx(190.85, abs=0.01)  # 400 log10(3)
    # The variance of log odds after n games is 1 / (n p q).
    assert ratings.difference(1, 0)[1] == pytest.approx(1.96 * 400 / np.log(10) / np.sqrt(100 * 0.75 * 0.25), rel=1e-3)


def test_a_draw_is_half_a_win_and_half_a_loss():
    drawn = rate([Pairing(0, 1, 60, 40, 20)], 2, prior_draws=0)
    decided = rate([Pairing(0, 1, 80, 0, 40)], 2, prior_draws=0)
    assert drawn.elo == pytest.approx(decided.elo)


def random_pairings(random, players):
    return [
        Pairing(one, two, *map(int, random.integers(0, 30, 3)))
        for one, two in itertools.combinations(range(players), 2)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_ratings_are_those_of_a_general_optimiser(seed):
    pairings = random_pairings(np.random.default_rng(seed), 6)

    def minus_log_likelihood(free):
        strength = np.concatenate([[0.0], free])
        total = 0.0
        for each in pairings:
            ahead = strength[each.one] - strength[each.two]
            total += (each.wins + each.draws / 2) * np.logaddexp(0, -ahead)
            total += (each.losses + each.draws / 2) * np.logaddexp(0, ahead)
        return total

    found = minimize(minus_log_likelihood, np.zeros(5), tol=1e-10)
    assert rate(pairings, 6, prior_draws=0).elo[1:] == pytest.approx(found.x * ELO, abs=0.05)


def test_distances_do_not_depend_on_the_anchor():
    pairings = random_pairings(np.random.default_rng(9), 5)
    one, two = rate(pairings, 5, anchor=0), rate(pairings, 5, anchor=3)
    assert two.elo[3] == 0
    assert two.errors[3] == 0
    assert one.elo - one.elo[3] == pytest.approx(two.elo)
    assert one.difference(1, 4) == pytest.approx(two.difference(1, 4))


def test_who_won_everything_stays_finite_and_above_the_rest():
    ratings = rate([Pairing(0, 1, 0, 0, 50), Pairing(1, 2, 0, 0, 50), Pairing(0, 2, 0, 0, 50)], 3)
    assert np.isfinite(ratings.elo).all()
    assert list(np.argsort(ratings.elo)) == [0, 1, 2]
    assert ratings.chance_above(2, 1) > 0.99
    with pytest.raises(ClewError, match="cannot be rated"):
        rate([Pairing(0, 1, 0, 0, 50)], 2, prior_draws=0)


def test_the_prior_pulls_a_little_towards_equality():
    without, prior = (rate([Pairing(0, 1, 25, 0, 75)], 2, prior_draws=draws).elo[1] for draws in (0, 0.5))
    assert without - 2 < prior < without


def test_players_who_are_joined_by_no_game_are_an_error():
    with pytest.raises(ClewError, match="Player 2 cannot be rated"):
        rate([Pairing(0, 1, 5, 0, 5), Pairing(2, 3, 5, 0, 5)], 4)


def test_the_intervals_hold_the_true_distance_95_times_of_100():
    random, true = np.random.default_rng(3), np.array([0.0, 80.0, 150.0, 300.0])
    pairs = list(itertools.combinations(range(4), 2))
    held = []
    for _ in range(300):
        pairings = []
        for one, two in pairs:
            wins = int(random.binomial(60, 1 / (1 + 10 ** ((true[two] - true[one]) / 400))))
            pairings.append(Pairing(one, two, wins, 0, 60 - wins))
        ratings = rate(pairings, 4)
        held += list(np.abs(ratings.elo - true)[1:] <= ratings.errors[1:])
    assert 0.92 < np.mean(held) < 0.98
