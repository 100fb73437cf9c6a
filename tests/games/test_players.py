"""Players: which moves they choose, from what randomness, and what they say of nets that are broken."""

from __future__ import annotations

import numpy as np
import pyspiel
import pytest
from scipy.special import softmax
from scipy.stats import chisquare

from clew.core.errors import ClewError, UsageError
from clew.games.players import (
    keys_for,
    mcts_player,
    net_player,
    perfect_player,
    random_player,
    uniforms,
)
from clew.games.rollouts import rollouts
from clew.games.rules import find_game
from clew.games.search import Search, SearchSettings
from clew.games.search.chance import hashed, splitmix64


def position(game, *moves):
    """The state after these moves, uint64[1, 3]."""
    state = game.initial()
    for move in moves:
        state = game.play(state, [move])
    return state


def repeated(state, count):
    """One position many times, and a key for each."""
    return np.repeat(state, count, axis=0), keys_for(5, "test", np.arange(count), 0)


def fixed(logits, value=0.0):
    """An evaluator that says the same of every position."""
    row = np.asarray(logits, np.float32)
    return lambda seen: (np.tile(row, (len(seen), 1)), np.full(len(seen), value, np.float32))


def varied(game):
    """An evaluator whose logits differ from position to position."""
    weights = np.random.default_rng(1).normal(size=(game.obs_size, game.num_actions)).astype(np.float32)
    return lambda seen: (seen @ weights, np.tanh(seen @ weights[:, 0] / 3))


def test_keys_are_evenly_spread_and_differ_between_games_plies_and_seeds():
    games = np.arange(5000)
    keys = np.concatenate([keys_for(seed, "moves", games, ply) for seed in (0, 1) for ply in (0, 1, 2)])
    assert len(np.unique(keys)) == len(keys)
    assert chisquare(np.histogram(uniforms(keys), 20, (0, 1))[0]).pvalue > 1e-4
    assert np.array_equal(keys_for(3, "moves", games, 7)[[9, 40]], keys_for(3, "moves", np.array([9, 40]), 7))


def test_a_random_player_chooses_every_legal_move_alike_and_no_other():
    game = find_game("connect4")
    states, keys = repeated(position(game, 2, 2, 2, 2, 2, 2, 5), 6000)
    counts = np.bincount(random_player(game).moves(states, keys), minlength=7)
    assert counts[2] == 0
    assert chisquare(np.delete(counts, 2)).pvalue > 1e-4


def test_a_net_plays_its_highest_legal_logit():
    game = find_game("tictactoe")
    player = net_player(game, fixed([1, 9, 2, 3, 8, 4, 0, 0, 7]))
    assert player.moves(position(game, 0), keys_for(0, "x", np.arange(1), 0)) == [1]
    assert player.moves(position(game, 1, 4), keys_for(0, "x", np.arange(1), 0)) == [8]


def test_a_temperature_draws_from_the_softmax_over_the_legal_moves():
    game = find_game("tictactoe")
    logits = np.array([1.0, 9.0, 2.0, 3.0, 8.0, 4.0, 0.0, 0.0, 2.5])
    states, keys = repeated(position(game, 1, 4), 20000)
    chosen = net_player(game, fixed(logits), temperature=2.0).moves(states, keys)
    legal = [0, 2, 3, 5, 6, 7, 8]
    assert chisquare(np.bincount(chosen, minlength=9)[legal], 20000 * softmax(logits[legal] / 2.0)).pvalue > 1e-4
    assert set(np.unique(chosen)) == set(legal)


@pytest.mark.parametrize("simulations", [0, 12])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_move_does_not_depend_on_the_batch_it_is_asked_for_in(simulations, temperature):
    game = find_game("connect4")
    states = np.concatenate(
        [
            position(game, *(int(digit) for digit in f"{number:03}"))
            for number in range(0, 667, 3)
            if max(f"{number:03}") < "7"
        ]
    )
    keys = keys_for(0, "moves", np.arange(len(states)), 3)
    player = net_player(game, varied(game), simulations=simulations, temperature=temperature)
    together = player.moves(states, keys)
    alone = net_player(game, varied(game), simulations=simulations, temperature=temperature)
    few = slice(20, 31)
    assert np.array_equal(alone.moves(states[few], keys[few]), together[few])
    assert len(np.unique(together)) > 3


def test_more_games_than_a_search_has_lanes_are_searched_in_parts():
    game = find_game("tictactoe")
    states, keys = repeated(position(game, 0, 3, 1, 4), 700)  # the first player wins with 2
    assert (mcts_player(game, 8).moves(states[:3], keys[:3]) == 2).all()
    assert (mcts_player(game, 8).moves(states, keys) == 2).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_search_with_temperature_draws_from_its_distribution_sharpened(temperature):
    game = find_game("tictactoe")
    settings = SearchSettings(simulations=60, method="puct", proofs=False)
    logits = np.linspace(0, 1.5, 9)
    states, keys = repeated(game.initial(), 3000)
    visits = Search(game, 1, settings).run(states[:1], fixed(logits), seeds=keys[:1]).visits[0]
    player = net_player(game, fixed(logits), simulations=60, settings=settings, temperature=temperature)
    counts = np.bincount(player.moves(states, keys), minlength=9)
    weights = visits ** (1 / temperature)
    assert len(set(visits)) > 3
    assert chisquare(counts, 3000 * weights / weights.sum()).pvalue > 1e-4


def test_each_move_is_searched_anew():
    game, asked = find_game("connect4"), []

    def counting(seen):
        asked.append(len(seen))
        return varied(game)(seen)

    player = net_player(game, counting, simulations=20)
    states, keys = repeated(game.initial(), 3)
    moves = player.moves(states, keys)
    once = sum(asked)
    assert np.array_equal(player.moves(states, keys), moves)
    assert sum(asked) == 2 * once == 2 * 3 * 20 + 2 * 3  # the root's own evaluation is not among the simulations


def test_the_perfect_player_takes_every_move_that_keeps_the_value_and_no_other():
    game = find_game("tictactoe")
    corner = position(game, 0)  # the centre alone draws
    states, keys = repeated(corner, 50)
    assert set(perfect_player(game).moves(states, keys)) == {4}
    states, keys = repeated(position(game, 4), 200)  # any corner draws
    assert set(perfect_player(game).moves(states, keys)) == {0, 2, 6, 8}
    with pytest.raises(UsageError, match="no solver for othello"):
        perfect_player(find_game("othello"))


@pytest.mark.parametrize("simulations", [0, 4])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_net_that_gives_no_numbers_is_named(simulations, broken):
    game = find_game("connect4")
    states, keys = repeated(game.initial(), 2)
    with pytest.raises(ClewError, match=r"broken\.onnx"):
        net_player(game, fixed([0, 1, broken, 0, 0, 0, 0]), simulations=simulations, name="broken.onnx").moves(
            states, keys
        )
    with pytest.raises(ClewError, match=r"broken\.onnx"):
        net_player(game, fixed(np.zeros(7), broken), simulations=simulations, name="broken.onnx").moves(states, keys)


@pytest.mark.parametrize("simulations", [0, 4])
def test_a_net_of_another_game_is_told(simulations):
    game = find_game("connect4")
    with pytest.raises(ClewError, match="another game"):
        net_player(game, fixed(np.zeros(9)), simulations=simulations).moves(*repeated(game.initial(), 1))


def test_a_position_without_a_legal_move_is_an_error_for_every_player():
    game = find_game("tictactoe")
    over = position(game, 0, 3, 1, 4, 2)
    players = [random_player(game), net_player(game, fixed(np.zeros(9))), mcts_player(game, 4), perfect_player(game)]
    for player in players:
        with pytest.raises(ClewError, match=f"{player.name} was asked for a move"):
            player.moves(*repeated(over, 1))


@pytest.mark.parametrize(
    ("env_id", "moves"),
    [("tictactoe", (0, 4)), ("connect4", (3, 3, 2)), ("othello", (19, 18))],
)
def test_random_playouts_end_as_those_of_open_spiel_do(env_id, moves):
    game, count = find_game(env_id), 3000
    names = {"tictactoe": "tic_tac_toe", "connect4": "connect_four"}
    begun = pyspiel.load_game(names.get(env_id, env_id)).new_initial_state()
    for move in moves:
        begun.apply_action(move)
    player, random = begun.current_player(), np.random.default_rng(0)
    theirs = []
    for _ in range(count):
        state = begun.clone()
        while not state.is_terminal():
            legal = state.legal_actions()
            state.apply_action(legal[int(random.integers(len(legal)))])
        theirs.append(state.returns()[player])
    seen = game.observe(position(game, *moves))
    ours = [float(rollouts(game, seed)(seen)[1][0]) for seed in range(count)]
    tolerance = 4 * np.sqrt((np.var(ours) + np.var(theirs)) / count)
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=tolerance)
    assert np.mean(np.equal(ours, 0)) == pytest.approx(np.mean(np.equal(theirs, 0)), abs=0.05)


def expected_result(game, state, player):
    """The mean result of random play from `state`, uint64[1, 3], for `player`: over all games, weighed exactly."""
    winner = int(game.winner(state)[0])
    if winner:
        return 0.0 if winner == 3 else 1.0 if winner == player + 1 else -1.0
    legal = np.flatnonzero(game.legal_mask(state)[0])
    return float(np.mean([expected_result(game, game.play(state, [move]), player) for move in legal]))


@pytest.mark.parametrize("moves", [(0, 1, 4, 8, 2, 6, 7), (0, 1, 4, 8, 2, 6), (4, 0, 1, 7), (0, 4, 8)])
def test_random_playouts_have_the_mean_of_all_games(moves):
    game, count = find_game("tictactoe"), 3000
    state = position(game, *moves)
    seen = game.observe(state)
    ours = [float(rollouts(game, seed)(seen)[1][0]) for seed in range(count)]
    exact = expected_result(game, state, int(game.mover(state)[0]))
    assert np.mean(ours) == pytest.approx(exact, abs=4 * np.std(ours) / np.sqrt(count) + 1e-9)


def test_playouts_depend_on_position_and_seed_alone():
    game = find_game("othello")
    states = np.concatenate([position(game, first, second) for first, second in ((19, 18), (19, 20), (26, 18))])
    seen = game.observe(states)
    together = rollouts(game, 4)(seen)[1]
    assert np.array_equal(together, np.concatenate([rollouts(game, 4)(seen[[row]])[1] for row in range(3)]))


def test_splitmix64_is_that_of_its_authors():
    """The first words of seed 1234567, as Vigna's C program prints them."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [int(splitmix64(np.uint64(1234567), place)) for place in range(4)] == expected
    assert hashed(np.array([1234567, 0], np.uint64)).tolist() == [expected[0], 16294208416658607535]
