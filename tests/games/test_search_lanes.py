"""Lanes, waves, noise, kept trees and wrong input of the compiled search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_search import HashEvaluator, random_position
from scipy import stats

from clew.core.errors import ClewError, UsageError
from clew.games.rules import GAMES, States, find_game
from clew.games.search import Search, SearchResult, SearchSettings, uniform
from clew.games.search.chance import dirichlet_draws, gumbel_draws

METHODS = pytest.mark.parametrize("method", ["puct", "gumbel"])
FIELDS = ("visits", "policy", "value", "action_values", "action", "simulations")


def seeds(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def positions(env_id: str, *plies: int) -> States:
    return np.stack([random_position(find_game(env_id), ply, 50 + ply) for ply in plies])


def assert_same(one: SearchResult, lane: int, other: SearchResult, other_lane: int) -> None:
    for name in FIELDS:
        assert np.array_equal(getattr(one, name)[lane], getattr(other, name)[other_lane], True), name


class Peaked:
    """An evaluator that is sure of one action, and sees value 0 everywhere."""

    def __init__(self, num_actions: int, action: int) -> None:
        self.num_actions, self.action = num_actions, action
        self.batches: list[int] = []

    def __call__(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(len(observations))
        logits = np.zeros((len(observations), self.num_actions), np.float32)
        logits[:, self.action] = 3.0
        return logits, np.zeros(len(observations), np.float32)


@METHODS
def test_a_pending_move_looks_worse_to_the_one_who_chooses_it(method: Any) -> None:
    game = find_game("connect4")
    search = Search(game, 2, SearchSettings(method=method, simulations=200, leaves_per_wave=6, proofs=False))
    states = positions("connect4", 0, 1)
    assert game.mover(states).tolist() == [0, 1]
    evaluator = HashEvaluator(game, 3)
    compared = 0

    def looking(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal compared
        edges = search._kept[1]
        waiting = edges[(edges["pending"] > 0) & (edges["visits"] > 0)]
        settled_means = waiting["value_sum"] / waiting["visits"]
        # Values are above -1 here, so that a loss among them lowers the mean: whoever is to move.
        assert (waiting["mean"] < settled_means).all()
        compared += len(waiting)
        return evaluator(observations)

    search.run(states, looking, seeds=seeds(1, 2))
    assert compared > 100
    assert not search._kept[1]["pending"].any()


def test_virtual_loss_sends_the_leaves_of_a_wave_to_different_moves() -> None:
    game = find_game("connect4")
    evaluate = Peaked(7, 3)
    search = Search(game, 1, SearchSettings(method="puct", simulations=8, leaves_per_wave=8))
    result = search.run(game.initial(), evaluate, seeds=seeds(1))
    assert result.visits[0].sum() == 8
    # The root alone, then a wave of several.
    assert evaluate.batches[0] == 1
    assert evaluate.batches[1] >= 4
    assert (result.visits[0] > 0).sum() >= 4
    assert result.policy[0].max() < 0.6


@METHODS
@pytest.mark.parametrize("simulations", [2, 4, 8])
def test_a_search_shorter_than_its_wave_gives_no_one_hot_target(method: Any, simulations: int) -> None:
    for env_id in GAMES:
        game = find_game(env_id)
        settings = SearchSettings(method=method, simulations=simulations, leaves_per_wave=16)
        action = int(np.flatnonzero(game.legal_mask(game.initial())[0])[0])
        result = Search(game, 1, settings).run(game.initial(), Peaked(game.num_actions, action), seeds=seeds(1))
        assert result.visits[0].sum() == simulations
        assert result.policy[0].max() < 0.95


@METHODS
def test_two_descents_to_one_leaf_count_once(method: Any) -> None:
    game = find_game("othello")
    forced = next(
        state[None]
        for seed in range(400)
        for state in [random_position(game, 48, seed)]
        if game.legal_mask(state[None])[0].sum() == 1 and not game.legal_mask(state[None])[0, 64]
    )
    evaluate = HashEvaluator(game, 4)
    settings = SearchSettings(method=method, simulations=20, leaves_per_wave=8, proofs=False)
    result = Search(game, 1, settings).run(forced, evaluate, seeds=seeds(1))
    # The root, then the one leaf below it: the seven descents that would meet it again wait for the next wave.
    assert evaluate.batches[:2] == [1, 1]
    assert result.visits[0].sum() == 20
    assert sum(evaluate.batches) <= 21


@METHODS
@pytest.mark.parametrize("env_id", sorted(GAMES))
def test_a_lane_does_not_depend_on_the_lanes_beside_it(env_id: str, method: Any) -> None:
    game = find_game(env_id)
    states = positions(env_id, 0, 2, 3, 4, 5)
    simulations = np.array([30, 5, 64, 12, 40], np.int32)
    noise = np.array([True, False, True, True, False])
    settings = SearchSettings(method=method, leaves_per_wave=2)
    together = Search(game, 5, settings).run(
        states, HashEvaluator(game, 1), seeds=seeds(5, 6, 7, 8, 9), simulations=simulations, noise=noise
    )
    again = Search(game, 5, settings).run(
        states, HashEvaluator(game, 1), seeds=seeds(5, 6, 7, 8, 9), simulations=simulations, noise=noise
    )
    for lane in range(5):
        alone = Search(game, 1, settings).run(
            states[lane : lane + 1],
            HashEvaluator(game, 1),
            seeds=seeds(5 + lane),
            simulations=simulations[lane : lane + 1],
            noise=bool(noise[lane]),
        )
        assert_same(together, lane, alone, 0)
        assert_same(together, lane, again, lane)
    assert (together.simulations == simulations).sum() >= 3
    assert (together.simulations <= simulations).all()


@METHODS
def test_noise_is_where_it_was_asked_for_and_a_function_of_the_seed(method: Any) -> None:
    game = find_game("connect4")
    states = positions("connect4", 4, 4, 4, 4, 4)
    settings = SearchSettings(method=method, simulations=32, considered_actions=2)
    noise = np.array([False, False, True, True, True])
    result = Search(game, 5, settings).run(states, HashEvaluator(game, 1), seeds=seeds(1, 2, 3, 3, 4), noise=noise)
    assert_same(result, 0, result, 1)
    assert_same(result, 2, result, 3)
    assert not np.array_equal(result.visits[0], result.visits[2])
    assert not np.array_equal(result.visits[2], result.visits[4])


def test_noise_does_not_stay_in_a_kept_tree() -> None:
    game = find_game("connect4")
    search = Search(game, 1, SearchSettings(method="puct", simulations=1))
    state, evaluate = positions("connect4", 4), HashEvaluator(game, 1)
    search.run(state, evaluate, seeds=seeds(1))
    edges = search._kept[1][:7]
    priors = edges["prior"].copy()
    search.run(state, evaluate, seeds=seeds(1), noise=True)
    assert np.abs(edges["prior"] - priors).max() > 0.01
    assert edges["prior"].sum() == pytest.approx(1.0, abs=1e-5)
    search.run(state, evaluate, seeds=seeds(1))
    assert np.array_equal(edges["prior"], priors)


def test_draws_have_the_distributions_of_their_names() -> None:
    gumbels = np.concatenate([gumbel_draws(np.uint64(seed), 7) for seed in range(3000)])
    assert stats.kstest(gumbels, "gumbel_r").pvalue > 0.001
    shares = np.stack([dirichlet_draws(np.uint64(seed), 0.3, 7) for seed in range(6000)])
    assert np.allclose(shares.sum(axis=1), 1.0)
    for place in (0, 6):
        assert stats.kstest(shares[:, place], stats.beta(0.3, 0.3 * 6).cdf).pvalue > 0.001


@METHODS
def test_lanes_whose_game_is_over_are_passed_over(method: Any) -> None:
    game = find_game("tictactoe")
    over = game.initial()
    for action in (0, 3, 1, 4, 2):
        over = game.play(over, [action])
    evaluate = HashEvaluator(game, 1)
    search = Search(game, 2, SearchSettings(method=method, simulations=20))
    result = search.run(np.concatenate([over, game.initial()]), evaluate, seeds=seeds(1, 2))
    assert result.visits[0].sum() == result.policy[0].sum() == result.simulations[0] == result.value[0] == 0
    assert result.action[0] == -1
    assert np.isnan(result.action_values[0]).all()
    assert result.visits[1].sum() == 20
    assert search.principal_variation(0) == []
    alone = Search(game, 1, SearchSettings(method=method)).run(over, evaluate, seeds=seeds(1))
    assert alone.action[0] == -1


@METHODS
def test_a_pass_is_searched_as_the_only_move(method: Any) -> None:
    game = find_game("othello")
    passing = next(
        state[None]
        for seed in range(3000)
        for state in [random_position(game, 50, seed)]
        if game.legal_mask(state[None])[0, 64]
    )
    settings = SearchSettings(method=method, simulations=40)
    result = Search(game, 1, settings).run(passing, HashEvaluator(game, 1), seeds=seeds(1))
    assert result.action[0] == 64
    assert result.policy[0, 64] == pytest.approx(1.0)
    assert result.visits[0, 64] == result.visits[0].sum() == result.simulations[0]


@METHODS
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_not_finite_end_in_a_sentence(method: Any, broken: float) -> None:
    game = find_game("connect4")
    honest = HashEvaluator(game, 1)

    def in_logits(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, values = honest(observations)
        if len(honest.batches) == 5:
            logits[2, 3] = broken
        return logits, values

    def in_values(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, values = honest(observations)
        if len(honest.batches) == 5:
            values[1] = broken
        return logits, values

    search = Search(game, 4, SearchSettings(method=method, simulations=20))
    for evaluate, lane in ((in_logits, 2), (in_values, 1)):
        honest.batches.clear()
        with pytest.raises(ClewError, match=rf"not finite for a position of Connect 4 in lane {lane}"):
            search.run(game.initial(4), evaluate, seeds=seeds(1, 2, 3, 4))
        # And the trees are as if nothing had been.
        after = search.run(game.initial(4), HashEvaluator(game, 1), seeds=seeds(1, 2, 3, 4))
        fresh = Search(game, 4, SearchSettings(method=method, simulations=20)).run(
            game.initial(4), HashEvaluator(game, 1), seeds=seeds(1, 2, 3, 4)
        )
        assert_same(after, 3, fresh, 3)
        search.reset()


def test_wrong_calls_end_in_sentences() -> None:
    game = find_game("connect4")
    search = Search(game, 2, SearchSettings(simulations=10))
    states = game.initial(2)
    with pytest.raises(ClewError, match="Is it a model of another game"):
        search.run(states, uniform_of_tictactoe, seeds=seeds(1, 2))
    with pytest.raises(UsageError, match="up to 10 each"):
        search.run(states, uniform(game), seeds=seeds(1, 2), simulations=np.array([5, 11], np.int32))
    with pytest.raises(UsageError, match="shape"):
        search.run(game.initial(3), uniform(game), seeds=seeds(1, 2))
    with pytest.raises(UsageError, match="seed"):
        search.run(states, uniform(game), seeds=seeds(1))
    with pytest.raises(UsageError, match="one action"):
        search.advance(np.zeros(3, np.int64))
    with pytest.raises(UsageError, match="leaves_per_wave"):
        SearchSettings(leaves_per_wave=0)
    with pytest.raises(UsageError, match="fewer games"):
        Search(find_game("othello"), 100_000, SearchSettings(simulations=800))


def uniform_of_tictactoe(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(observations), 9), np.float32), np.zeros(len(observations), np.float32)


@METHODS
@pytest.mark.parametrize("env_id", sorted(GAMES))
def test_whole_games_on_kept_trees_stay_sound(env_id: str, method: Any) -> None:
    game = find_game(env_id)
    search = Search(game, 4, SearchSettings(method=method, simulations=60, leaves_per_wave=3))
    evaluate = HashEvaluator(game, 6)
    states = game.initial(4)
    before = np.zeros(4, np.int64)
    kept = 0
    for ply in range(200):
        live = game.winner(states) == 0
        if not live.any():
            break
        result = search.run(states, evaluate, seeds=seeds(*range(4)), noise=True)
        legal = game.legal_mask(states)
        assert result.policy[live].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert not result.policy[~legal].any()
        assert not result.visits[~legal].any()
        assert np.array_equal(result.visits.sum(axis=1)[live], (before + result.simulations)[live])
        assert (np.abs(result.value) <= 1).all()
        # Lane 3 forgets its tree each move; another keeps what is below its move.
        actions = np.where(live, result.action, -1)
        actions[3] = -1
        visits = result.visits[np.arange(4), result.action]
        search.advance(actions)
        played = np.where(live, result.action, 0)
        states = states.copy()
        states[live] = game.play(states[live], played[live])
        kept += int((visits[:3] > 1).sum())
        lanes = search._lanes
        before = np.array([_root_visits(search, lane) if lanes["root"][lane] >= 0 else 0 for lane in range(4)])
        assert before[3] == 0
        assert (before[:3] <= visits[:3]).all(), ply
    assert (game.winner(states) != 0).all()
    assert kept > 5


def _root_visits(search: Search, lane: int) -> int:
    nodes, edges = search._kept[0], search._kept[1]
    root = nodes[search._lanes["root"][lane]]
    return int(edges["visits"][root["first_edge"] : root["first_edge"] + root["edge_count"]].sum())


def test_a_lane_that_is_full_begins_anew() -> None:
    game = find_game("connect4")
    search = Search(game, 1, SearchSettings(method="puct", simulations=100, proofs=False))
    fresh = Search(game, 1, SearchSettings(method="puct", simulations=100, proofs=False))
    state = game.initial()
    totals = []
    for _ in range(9):
        result = search.run(state, HashEvaluator(game, 1), seeds=seeds(1))
        totals.append(int(result.visits.sum()))
    assert max(totals) <= 400
    assert totals[0] == 100 == totals[4] == totals[8]
    assert_same(result, 0, fresh.run(state, HashEvaluator(game, 1), seeds=seeds(1)), 0)


def test_another_position_than_the_kept_one_begins_anew() -> None:
    game = find_game("connect4")
    search = Search(game, 1, SearchSettings(simulations=30))
    search.run(game.initial(), HashEvaluator(game, 1), seeds=seeds(1))
    search.advance(np.array([3]))
    elsewhere = game.play(game.initial(), [2])
    moved = search.run(elsewhere, HashEvaluator(game, 1), seeds=seeds(1))
    fresh = Search(game, 1, SearchSettings(simulations=30)).run(elsewhere, HashEvaluator(game, 1), seeds=seeds(1))
    assert_same(moved, 0, fresh, 0)


def test_leaves_are_kept_out_where_edges_run_out() -> None:
    # A search with room for a few edges only goes on evaluating the leaves it cannot keep.
    game = find_game("connect4")
    search = Search(game, 1, SearchSettings(method="puct", simulations=50, proofs=False))
    search._tree = search._tree._replace(edges_per_lane=30)
    evaluate = HashEvaluator(game, 1)
    result = search.run(game.initial(), evaluate, seeds=seeds(1))
    assert result.visits.sum() == 50
    assert sum(evaluate.batches) == 51
    assert search._lanes["nodes_used"][0] == 4


def test_the_improved_policy_improves() -> None:
    # With values that are right, the target of few simulations is worth more than the prior, in nearly every position.
    game = find_game("connect4")
    states = np.stack([random_position(game, 8, seed) for seed in range(40)])
    deep = Search(game, 40, SearchSettings(method="puct", simulations=20_000)).run(
        states, uniform(game), seeds=np.zeros(40, np.uint64)
    )
    logits, _ = HashEvaluator(game, 3)(game.observe(states))
    legal = game.legal_mask(states)
    prior = np.where(legal, np.exp(logits), 0.0)
    prior /= prior.sum(axis=1, keepdims=True)
    truth = np.where(legal, np.nan_to_num(deep.action_values), 0.0)
    by_prior = (prior * truth).sum(axis=1)

    def evaluate(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Random priors, and values of a short search of its own.
        rows = len(observations)
        boards = _boards(observations)
        values = (
            helper.run(boards, uniform(game), seeds=np.zeros(40, np.uint64)).value if rows == 40 else np.zeros(rows)
        )
        return HashEvaluator(game, 3)(observations)[0], values[:rows].astype(np.float32)

    helper = Search(game, 40, SearchSettings(method="puct", simulations=400))
    for method in ("gumbel", "puct"):
        settings = SearchSettings(method=method, simulations=32, proofs=False)
        found = Search(game, 40, settings).run(states, evaluate, seeds=np.zeros(40, np.uint64))
        by_search = (found.policy * truth).sum(axis=1)
        assert (by_search >= by_prior - 0.02).mean() >= 0.9
        assert by_search.mean() > by_prior.mean() + 0.05


def _boards(observations: np.ndarray) -> States:
    """Connect Four positions of their observations."""
    states = np.zeros((len(observations), 3), np.uint64)
    for cell in range(42):
        bit = np.uint64(1) << np.uint64((cell % 7) * 7 + cell // 7)
        states[:, 0] |= np.where(observations[:, cell] == 1.0, bit, np.uint64(0))
        states[:, 1] |= np.where(observations[:, 42 + cell] == 1.0, bit, np.uint64(0))
    states[:, 2] = (observations[:, 92] == 1.0).astype(np.uint64)
    return states
