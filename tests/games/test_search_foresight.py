"""Foresight: a leaf in which one move wins is known without asking the net, and what is known is right."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.randomness import generator
from clew.games.perfect import values_of
from clew.games.rules import ONGOING, find_game
from clew.games.search import Search, SearchSettings


def positions(env_id: str, plies: int, count: int) -> np.ndarray:
    """Ongoing positions after random moves."""
    game, random = find_game(env_id), generator(0, "foresight", env_id, plies)
    states = game.initial(count)
    for _ in range(plies):
        legal = game.legal_mask(states)
        states = game.play(states, [random.choice(np.flatnonzero(row)) for row in legal])
        states = states[game.winner(states) == ONGOING]
    return states


def searched(env_id: str, states: np.ndarray, *, foresight: bool, method: str = "puct", simulations: int = 48):
    """The result, and how many positions the net was asked about."""
    game, asked = find_game(env_id), []

    def evaluate(observations):
        asked.append(len(observations))
        zeros = np.zeros(len(observations), np.float32)
        return np.zeros((len(observations), game.num_actions), np.float32), zeros

    search = Search(game, len(states), SearchSettings(simulations=simulations, method=method, foresight=foresight))
    return search.run(states, evaluate, seeds=np.arange(len(states), dtype=np.uint64)), sum(asked)


@pytest.mark.parametrize("method", ["gumbel", "puct"])
def test_fewer_positions_are_asked_about_and_more_moves_keep_the_value(method):
    states = positions("connect4", 20, 120)
    scores = find_game("connect4").solver().scores(states)
    values = values_of(scores)
    kept, asked = {}, {}
    for foresight in (False, True):
        found, asked[foresight] = searched("connect4", states, foresight=foresight, method=method)
        chosen = np.sign(scores[np.arange(len(states)), found.action])
        kept[foresight] = float((chosen == np.sign(values)).mean())
    assert asked[True] < 0.8 * asked[False]
    assert kept[True] >= kept[False]
    if method == "puct":
        assert kept[True] > kept[False] + 0.02


def test_in_tictactoe_a_move_that_lets_the_other_win_at_once_is_never_played_when_there_is_another():
    game = find_game("tictactoe")
    states = positions("tictactoe", 4, 300)
    found, _ = searched("tictactoe", states, foresight=True, simulations=12)

    def gives_away(state: np.ndarray, action: int) -> bool:
        after = game.play(state, [action])
        replies = np.flatnonzero(game.legal_mask(after)[0]) if game.winner(after)[0] == ONGOING else []
        return any(game.winner(game.play(after, [reply]))[0] == 2 - game.mover(state)[0] for reply in replies)

    choices = 0
    for state, action in zip(states[:, None], found.action, strict=True):
        safe = [move for move in np.flatnonzero(game.legal_mask(state)[0]) if not gives_away(state, move)]
        choices += 0 < len(safe) < 5
        assert action in safe or not safe
    assert choices > 50


def test_what_it_settles_is_what_the_search_finds_without_it():
    """With simulations enough, both give the same value, the exact one."""
    states = positions("tictactoe", 3, 100)
    exact = np.sign(values_of(find_game("tictactoe").solver().scores(states)))
    for foresight in (False, True):
        found, _ = searched("tictactoe", states, foresight=foresight, simulations=3000)
        # A draw may stay unproven, with a mean that is nearly 0.
        np.testing.assert_array_equal(np.where(np.abs(found.value) < 0.05, 0, np.sign(found.value)), exact)
