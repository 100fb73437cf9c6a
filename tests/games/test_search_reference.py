"""The compiled search against a plain one written from the papers (`plain_search`), and its golden file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from plain_search import (
    GOLDEN,
    HashEvaluator,
    PlainSearch,
    described,
    golden_cases,
    halving,
    plain_result,
    random_position,
    solve_case,
)

from clew.games.rules import GAMES, find_game
from clew.games.search import Search, SearchResult, SearchSettings, uniform
from clew.games.search.chance import dirichlet_draws, gumbel_draws
from clew.games.search.gumbel import considered_visits

SEEDS = np.zeros(1, np.uint64)


def assert_agrees(found: SearchResult, lane: int, plain: dict[str, Any]) -> None:
    """Equal visits, means, value, move and count, to the bit; equal policy to six digits."""
    actions = [int(action) for action in plain["visits"]]
    assert {str(action): int(found.visits[lane, action]) for action in actions} == plain["visits"]
    assert found.visits[lane].sum() == sum(plain["visits"].values())
    for action in actions:
        mean = plain["means"].get(str(action))
        assert np.array_equal(found.action_values[lane, action], np.float32(np.nan if mean is None else mean), True)
        assert found.policy[lane, action] == pytest.approx(plain["policy"].get(str(action), 0.0), abs=1e-6)
    assert found.policy[lane].sum() == pytest.approx(1.0, abs=1e-5)
    assert found.value[lane] == np.float32(plain["value"])
    assert found.action[lane] == plain["action"]
    assert found.simulations[lane] == plain["simulations"]


def test_search_grows_the_golden_trees() -> None:
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) == 72
    for case in cases:
        game = find_game(case["env_id"])
        search = Search(game, 1, SearchSettings(**case["settings"]))
        state = random_position(game, case["plies"], case["seed"])
        found = search.run(state[None], HashEvaluator(game, case["seed"]), seeds=SEEDS)
        assert_agrees(found, 0, case["result"])


def test_the_golden_file_is_what_the_plain_search_says() -> None:
    cases = json.loads(GOLDEN.read_text())
    assert [{key: case[key] for key in ("env_id", "plies", "seed", "settings")} for case in cases] == golden_cases()
    for case in cases[::3]:
        assert json.loads(json.dumps(solve_case(case))) == case["result"]


@pytest.mark.parametrize("method", ["puct", "gumbel"])
@pytest.mark.parametrize("env_id", sorted(GAMES))
def test_lanes_of_unlike_length_agree_with_the_plain_search_each(env_id: str, method: Any) -> None:
    game = find_game(env_id)
    longest = {"tictactoe": 7, "connect4": 38, "othello": 56}[env_id]
    simulations = np.array([3, 64, 17, 120, 1, 50, 33, 80], np.int32)
    states = np.stack([random_position(game, longest * lane // 7, 100 + lane) for lane in range(8)])
    for leaves, proofs in ((1, True), (1, False), (4, True)):
        settings = SearchSettings(method=method, leaves_per_wave=leaves, proofs=proofs, considered_actions=6)
        search = Search(game, 8, settings, max_simulations=120)
        found = search.run(states, HashEvaluator(game, 5), seeds=np.arange(8, dtype=np.uint64), simulations=simulations)
        for lane in range(8):
            plain = PlainSearch(game, states[lane], HashEvaluator(game, 5), settings)
            plain.run(int(simulations[lane]))
            assert_agrees(found, lane, described(plain))


@pytest.mark.parametrize("method", ["puct", "gumbel"])
@pytest.mark.parametrize("env_id", sorted(GAMES))
def test_a_kept_tree_goes_on_as_the_plain_search_does_below_the_move(env_id: str, method: Any) -> None:
    game = find_game(env_id)
    settings = SearchSettings(method=method, simulations=60)
    evaluate = HashEvaluator(game, 9)
    states = np.stack([random_position(game, plies, 7) for plies in (0, 2, 4)])
    search = Search(game, 3, settings)
    plain = [PlainSearch(game, state, evaluate, settings) for state in states]
    for move in range(4):
        found = search.run(states, evaluate, seeds=np.zeros(3, np.uint64))
        for lane in range(3):
            if not game.winner(states[lane : lane + 1])[0]:
                plain[lane].run(60)
                assert_agrees(found, lane, described(plain[lane]))
        # The most visited move and the one after it in turn: not always the one the search would play.
        actions = np.argsort(-found.visits, axis=1, kind="stable")[:, move % 2]
        live = game.winner(states) == 0
        actions = np.where(live & (found.visits[np.arange(3), actions] > 0), actions, found.action)
        search.advance(actions)
        states = states.copy()
        states[live] = game.play(states[live], actions[live])
        for lane in range(3):
            below = plain[lane].root.moves[int(actions[lane])].child if live[lane] else None
            if below is not None:
                plain[lane].root = below
            elif not game.winner(states[lane : lane + 1])[0]:
                plain[lane] = PlainSearch(game, states[lane], evaluate, settings)


def test_going_on_equals_having_searched_for_longer() -> None:
    for env_id in GAMES:
        game = find_game(env_id)
        state = random_position(game, 4, 3)[None]
        once = Search(game, 1, SearchSettings(method="puct"), max_simulations=150)
        twice = Search(game, 1, SearchSettings(method="puct"), max_simulations=150)
        whole = once.run(state, HashEvaluator(game, 1), seeds=SEEDS, simulations=np.array([150], np.int32))
        twice.run(state, HashEvaluator(game, 1), seeds=SEEDS, simulations=np.array([70], np.int32))
        parts = twice.run(state, HashEvaluator(game, 1), seeds=SEEDS, simulations=np.array([80], np.int32))
        assert np.array_equal(whole.visits, parts.visits)
        assert np.array_equal(whole.action_values, parts.action_values, True)


def test_the_schedule_is_sequential_halving_played_through() -> None:
    for considered in (1, 2, 3, 4, 7, 16, 33):
        for simulations in (1, 2, 5, 16, 64, 200):
            found = [considered_visits(considered, simulations, done) for done in range(simulations)]
            assert found == halving(considered, simulations)
    # By hand: 200 simulations over 16 are four phases of 50: 3 visits for 16, 6 for 8, 12 for 4, the rest for 2.
    schedule = halving(16, 200)
    shares = [schedule.count(visits) for visits in range(max(schedule) + 1)]
    assert shares == [16] * 3 + [8] * 6 + [4] * 12 + [2] * 28


def test_uniform_runs_compiled_to_the_same_trees() -> None:
    for env_id in GAMES:
        game = find_game(env_id)
        states = np.stack([random_position(game, plies, 1) for plies in (0, 3, 6)])
        for method in ("puct", "gumbel"):
            known, unknown = uniform(game), uniform(game)
            compiled = Search(game, 3, SearchSettings(method=method, simulations=300))
            in_waves = Search(game, 3, SearchSettings(method=method, simulations=300))
            seeds = np.arange(3, dtype=np.uint64)
            fast = compiled.run(states, known, seeds=seeds, noise=True)
            slow = in_waves.run(states, lambda rows, evaluate=unknown: evaluate(rows), seeds=seeds, noise=True)
            for name in ("visits", "policy", "value", "action", "simulations"):
                assert np.array_equal(getattr(fast, name), getattr(slow, name))


def test_the_plain_search_plays_a_hand_worked_case() -> None:
    game = find_game("tictactoe")
    board = game.initial()
    for action in (0, 3, 1, 4, 5, 2, 6):
        board = game.play(board, [action])
    assert list(np.flatnonzero(game.legal_mask(board)[0])) == [7, 8]

    def evaluate(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.zeros((len(observations), 9), np.float32)
        logits[:, 7], logits[:, 8] = np.log(0.7), np.log(0.3)
        return logits, np.zeros(len(observations), np.float32)

    # The second player's 7 and 8 both end in a draw, and all values are 0: 1.25 * P * sqrt(N) / (1 + n) decides.
    # N = 1: 0.875 against 0.375; N = 2: 0.619 against 0.530; N = 3: 0.505 against 0.650; N = 4: 0.583 against 0.375.
    for simulations, visits in ((1, (1, 0)), (2, (2, 0)), (3, (2, 1)), (4, (3, 1))):
        settings = SearchSettings(method="puct", simulations=simulations, proofs=False)
        result = plain_result(game, board[0], evaluate, settings)
        assert tuple(result["visits"].values()) == visits


def test_noise_enters_at_the_root_as_the_papers_say() -> None:
    game = find_game("connect4")
    evaluate, seed = HashEvaluator(game, 5), np.array([11], np.uint64)
    logits = evaluate(game.observe(game.initial()))[0][0].astype(np.float64)
    # Gumbel: as many simulations as moves considered visit the top ones by gumbel + logit, once each.
    settings = SearchSettings(method="gumbel", simulations=3, considered_actions=3)
    found = Search(game, 1, settings).run(game.initial(), evaluate, seeds=seed, noise=True)
    top = np.argsort(logits + gumbel_draws(seed[0], 7))[-3:]
    assert sorted(np.flatnonzero(found.visits[0])) == sorted(top)
    assert sorted(top) != sorted(np.argsort(logits)[-3:])
    # PUCT: a quarter of the prior is a Dirichlet draw; the first visit goes to the largest of the mixture.
    mixed = 0.75 * np.exp(logits) / np.exp(logits).sum() + 0.25 * dirichlet_draws(seed[0], 0.3, 7)
    settings = SearchSettings(method="puct", simulations=1)
    search = Search(game, 1, settings)
    found = search.run(game.initial(), evaluate, seeds=seed, noise=True)
    assert found.action[0] == mixed.argmax()
    assert search._kept[1]["prior"][:7] == pytest.approx(mixed, abs=1e-6)
