"""Matches against a slow match in plain Python, known shares, and the rules for verdict and gate."""

from __future__ import annotations

import itertools

import numpy as np
import pyspiel
import pytest
from scipy.stats import binomtest

from clew.core.errors import ClewError, UsageError
from clew.core.intervals import wilson
from clew.games.arena import (
    MatchResult,
    Tally,
    play_games,
    play_match,
    replaces_champion,
    summed,
    verdict,
)
from clew.games.players import perfect_player, random_player
from clew.games.rules import find_game

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


class ByOrder:
    """Takes the first free cell of an order."""

    def __init__(self, order):
        self.name, self.order = f"by order {order[0]}", np.array(order)
        self.seen = []

    def moves(self, states, keys):
        self.seen.append((states.copy(), keys.copy()))
        free = find_game("tictactoe").legal_mask(states)
        return self.order[free[:, self.order].argmax(axis=1)]


def slow_winner(moves):
    """1, 2, 3 for a draw, 0 while the game goes on: tictactoe from a list of moves."""
    owner = {cell: ply % 2 for ply, cell in enumerate(moves)}
    for line in LINES:
        owners = {owner.get(cell) for cell in line}
        if len(owners) == 1 and None not in owners:
            return owners.pop() + 1
    return 3 if len(moves) == 9 else 0


def slow_game(orders, opening=()):
    """The moves of a game between two orders."""
    moves = list(opening)
    while not slow_winner(moves):
        moves.append(next(cell for cell in orders[len(moves) % 2] if cell not in moves))
    return moves


def moves_of(row):
    return [int(move) for move in row if move >= 0]


def test_games_are_those_of_a_slow_match_in_plain_python():
    game = find_game("tictactoe")
    orders = [list(map(int, np.random.default_rng(seed).permutation(9))) for seed in range(6)]
    for one, two in itertools.permutations(orders, 2):
        played = play_games(game, ByOrder(one), ByOrder(two), 4, seed=0)
        first, second = slow_game((one, two)), slow_game((two, one))
        assert [moves_of(row) for row in played.actions] == [first, first, second, second]
        result = summed(game, ByOrder(one), ByOrder(two), played)
        winners = [slow_winner(first), slow_winner(second)]
        assert (result.as_first.wins, result.as_second.wins) == (2 * (winners[0] == 1), 2 * (winners[1] == 2))
        assert (result.as_first.losses, result.as_second.losses) == (2 * (winners[0] == 2), 2 * (winners[1] == 1))
        assert result.draws == 2 * winners.count(3)
        assert result.average_length == (len(first) + len(second)) / 2
        assert result.distinct_games == 2


def test_openings_are_random_legal_and_the_same_from_both_seats():
    game, one, two = find_game("tictactoe"), list(range(9)), list(range(8, -1, -1))
    played = play_games(game, ByOrder(one), ByOrder(two), 400, seed=1, opening_plies=3)
    openings = played.actions[:, :3]
    assert np.array_equal(openings[:200], openings[200:])
    assert played.one_first[:200].all()
    assert not played.one_first[200:].any()
    assert len(np.unique(openings, axis=0)) > 130  # of 504, 200 draws meet 166 on average
    for row, (actions, winner) in enumerate(zip(played.actions, played.winners, strict=True)):
        orders = (one, two) if row < 200 else (two, one)
        assert moves_of(actions) == slow_game(orders, moves_of(actions)[:3])
        assert winner == slow_winner(moves_of(actions))


def test_openings_end_no_game_and_are_refused_where_they_would():
    game = find_game("tictactoe")
    played = play_games(game, random_player(game), random_player(game), 300, seed=2, opening_plies=7)
    assert all(slow_winner(moves_of(row)[:7]) == 0 for row in played.actions)
    with pytest.raises(UsageError, match="9 random moves end a game"):
        play_games(game, random_player(game), random_player(game), 2, seed=2, opening_plies=9)


def test_each_player_sees_only_its_own_turns_and_keys_of_their_own():
    one, two = ByOrder(range(9)), ByOrder(range(8, -1, -1))
    game = find_game("tictactoe")
    play_games(game, one, two, 6, seed=3, opening_plies=1)
    keys = np.concatenate([keys for player in (one, two) for _, keys in player.seen])
    assert len(np.unique(keys)) == len(keys)
    for player in (one, two):
        for states, _ in player.seen:
            assert (game.winner(states) == 0).all()
            assert len(set(game.mover(states))) == 1


def test_the_same_seed_plays_the_same_games():
    game = find_game("othello")
    players = random_player(game), random_player(game)
    games = [play_games(game, *players, 10, seed=seed).actions for seed in (1, 1, 2)]
    assert np.array_equal(games[0], games[1])
    assert not np.array_equal(games[0][:, :10], games[2][:, :10])


def test_games_of_a_match_do_not_depend_on_how_many_there_are():
    game = find_game("connect4")
    few, many = (
        play_games(game, random_player(game), random_player(game), games, seed=5, opening_plies=2) for games in (6, 60)
    )
    assert [moves_of(row) for row in few.actions[:3]] == [moves_of(row) for row in many.actions[:3]]


def test_the_first_player_at_random_wins_connect4_as_often_as_in_open_spiel():
    game, theirs, random = find_game("connect4"), [], np.random.default_rng(0)
    for _ in range(2000):
        state = pyspiel.load_game("connect_four").new_initial_state()
        while not state.is_terminal():
            legal = state.legal_actions()
            state.apply_action(legal[int(random.integers(len(legal)))])
        theirs.append((state.returns()[0], state.move_number()))
    played = play_games(game, random_player(game), random_player(game), 4000, seed=1)
    share, lengths = np.mean(played.winners == 1), played.lengths
    assert share == pytest.approx(np.mean([result == 1 for result, _ in theirs]), abs=4 * np.sqrt(0.25 / 1333))
    assert share == pytest.approx(0.556, abs=4 * np.sqrt(0.25 / 4000))
    spread = np.std(lengths) * np.sqrt(1 / 2000 + 1 / 4000)
    assert np.mean(lengths) == pytest.approx(np.mean([length for _, length in theirs]), abs=4 * spread)
    result = summed(game, random_player(game), random_player(game), played)
    assert result.score == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 4000))
    assert result.as_first.wins / 2000 == pytest.approx(0.556, abs=4 * np.sqrt(0.25 / 2000))


def test_perfect_play_draws_tictactoe_and_never_loses_to_chance():
    game = find_game("tictactoe")
    result = play_match(game, perfect_player(game), perfect_player(game), 300, seed=1)
    assert (result.draws, result.average_length) == (300, 9)
    assert result.distinct_games > 100
    result = play_match(game, perfect_player(game), random_player(game), 300, seed=1)
    assert result.losses == 0
    assert result.as_first.wins > 120


@pytest.mark.parametrize("games", [0, 1, 7])
def test_a_number_of_games_that_cannot_be_shared_evenly_is_refused(games):
    game = find_game("tictactoe")
    with pytest.raises(UsageError, match="even number"):
        play_match(game, random_player(game), random_player(game), games, seed=0)


def test_a_player_that_breaks_the_rules_is_named():
    class Stubborn(ByOrder):
        def moves(self, states, keys):
            return np.zeros(len(states), np.int64)

    with pytest.raises(ClewError, match="by order 5 broke the rules: Action 0"):
        play_match(find_game("tictactoe"), ByOrder([0, *range(1, 9)]), Stubborn([5]), 2, seed=0)


def result_of(wins, draws, losses):
    return MatchResult("tictactoe", "net", "random", Tally(wins, draws, losses), Tally(0, 0, 0), 7.5, 10)


@pytest.mark.parametrize(
    ("counts", "better"),
    [((11, 0, 9), False), ((56, 0, 44), True), ((10, 2, 8), False), ((30, 60, 10), True), ((0, 50, 0), False)],
)
def test_a_champion_is_replaced_above_a_score_of_55_percent_with_draws_as_halves(counts, better):
    assert replaces_champion(result_of(*counts)) is better


def test_the_threshold_of_the_gate_can_be_chosen():
    assert replaces_champion(result_of(51, 0, 49), threshold=0.5)
    assert not replaces_champion(result_of(59, 0, 41), threshold=0.6)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.71, "significantly better than random"),
        (0.7, "slightly better than random"),
        (0.51, "slightly better than random"),
        (0.5, "roughly equivalent to random"),
        (0.31, "roughly equivalent to random"),
        (0.3, "worse than random"),
        (0.0, "worse than random"),
    ],
)
def test_the_verdict_changes_above_70_50_and_30_percent(rate, words):
    assert verdict(rate) == words


def test_a_record_has_the_fields_that_web_pages_read():
    result = MatchResult("connect4", "net", "random", Tally(20, 3, 2), Tally(15, 1, 9), 21.5, 50)
    assert result.record(step=300, opponent_iteration=2, became_new_best=True, current_iteration=3, timestamp=17) == {
        "step": 300,
        "win_rate": 0.7,
        "draw_rate": 0.08,
        "loss_rate": 0.22,
        "games_played": 50,
        "avg_game_length": 21.5,
        "opponent": "random",
        "opponent_iteration": 2,
        "became_new_best": True,
        "current_iteration": 3,
        "timestamp": 17,
    }
    assert result.record(step=0, opponent="best")["opponent"] == "best"


@pytest.mark.parametrize(("points", "games"), [(0, 10), (10, 10), (3, 10), (55, 100), (499, 1000)])
def test_intervals_are_wilsons(points, games):
    interval = binomtest(points, games).proportion_ci(method="wilson")
    assert wilson(points, games) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert wilson(points, games)[0] <= points / games <= wilson(points, games)[1]
