"""Visit counts against open_spiel's MCTS, with the same evaluator and the same c."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import mcts
from plain_search import HashEvaluator

from clew.games.rules import find_game
from clew.games.search import Search, SearchSettings

NAMES = {"tictactoe": "tic_tac_toe", "connect4": "connect_four", "othello": "othello"}


class SpielEvaluator(mcts.Evaluator):
    """The evaluator of our search, asked by open_spiel: positions are played anew from their moves."""

    def __init__(self, env_id: str, evaluate: HashEvaluator) -> None:
        self.game, self._evaluate = find_game(env_id), evaluate
        self._known: dict[tuple[int, ...], Any] = {}
        self.met_an_end = False

    def _ask(self, state: Any) -> Any:
        history = tuple(state.history())
        if history not in self._known:
            board = self.game.initial()
            for action in history:
                board = self.game.play(board, [action])
            logits, values = self._evaluate(self.game.observe(board))
            self._known[history] = logits[0], float(values[0])
        return self._known[history]

    def evaluate(self, state: Any) -> np.ndarray:
        value = self._ask(state)[1]
        return np.array([value, -value] if state.current_player() == 0 else [-value, value])

    def prior(self, state: Any) -> list[tuple[int, float]]:
        logits = self._ask(state)[0]
        legal = state.legal_actions()
        weights = np.exp(logits[legal].astype(np.float64) - logits[legal].max())
        return [
            (action, float(np.float32(weight))) for action, weight in zip(legal, weights / weights.sum(), strict=True)
        ]


def plain_puct(child: Any, parent_visits: int, c: float) -> float:
    """PUCT for every child. open_spiel's own gives a terminal child its outcome without the bonus for exploring."""
    mean = child.total_reward / child.explore_count if child.explore_count else 0.0
    return float(mean + c * child.prior * np.sqrt(parent_visits) / (child.explore_count + 1))


def their_visits(env_id: str, history: list[int], evaluate: HashEvaluator, simulations: int, puct: Any) -> np.ndarray:
    spiel = pyspiel.load_game(NAMES[env_id])
    state = spiel.new_initial_state()
    for action in history:
        state.apply_action(action)
    # Their first simulation evaluates the root, which ours does before it counts.
    bot = mcts.MCTSBot(
        spiel,
        1.25,
        simulations + 1,
        SpielEvaluator(env_id, evaluate),
        solve=False,
        random_state=np.random.RandomState(0),
        child_selection_fn=puct,
    )
    visits = np.zeros(find_game(env_id).num_actions, np.int32)
    for child in bot.mcts_search(state).children:
        visits[child.action] = child.explore_count
    return visits


def histories(env_id: str, count: int, longest: int) -> list[list[int]]:
    """Random beginnings of games, none of them over."""
    game = find_game(env_id)
    draws = np.random.default_rng(4)
    found = []
    for number in range(count):
        board, history = game.initial(), []
        for _ in range(number * longest // count):
            action = int(draws.choice(np.flatnonzero(game.legal_mask(board)[0])))
            following = game.play(board, [action])
            if game.winner(following)[0]:
                break
            board = following
            history.append(action)
        found.append(history)
    return found


def our_visits(env_id: str, lanes: list[list[int]], evaluate: HashEvaluator, simulations: int) -> np.ndarray:
    game = find_game(env_id)
    states = game.initial(len(lanes))
    for lane, history in enumerate(lanes):
        for action in history:
            states[lane : lane + 1] = game.play(states[lane : lane + 1], [action])
    settings = SearchSettings(method="puct", simulations=simulations, proofs=False)
    return Search(game, len(lanes), settings).run(states, evaluate, seeds=np.zeros(len(lanes), np.uint64)).visits


@pytest.mark.parametrize(("env_id", "longest"), [("tictactoe", 7), ("connect4", 36), ("othello", 56)])
def test_visits_equal_open_spiels_to_the_last_one(env_id: str, longest: int) -> None:
    evaluate = HashEvaluator(find_game(env_id), 21)
    lanes = histories(env_id, 8, longest)
    ours = our_visits(env_id, lanes, evaluate, 150)
    for lane, history in enumerate(lanes):
        assert np.array_equal(ours[lane], their_visits(env_id, history, evaluate, 150, plain_puct))


@pytest.mark.parametrize("env_id", ["connect4", "othello"])
def test_visits_equal_those_of_open_spiels_own_puct_while_no_end_is_in_sight(env_id: str) -> None:
    # Where a terminal child is met, theirs leaves out its bonus, and the counts part by a few visits.
    evaluate = HashEvaluator(find_game(env_id), 22)
    lanes = histories(env_id, 3, 6)
    ours = our_visits(env_id, lanes, evaluate, 60)
    for lane, history in enumerate(lanes):
        theirs = their_visits(env_id, history, evaluate, 60, mcts.SearchNode.puct_value)
        assert np.array_equal(ours[lane], theirs)


def test_shares_of_visits_stay_near_open_spiels_own_puct_at_the_end_of_games() -> None:
    evaluate = HashEvaluator(find_game("tictactoe"), 23)
    lanes = histories("tictactoe", 6, 5)
    ours = our_visits("tictactoe", lanes, evaluate, 200)
    for lane, history in enumerate(lanes):
        theirs = their_visits("tictactoe", history, evaluate, 200, mcts.SearchNode.puct_value)
        assert np.abs(ours[lane] - theirs).sum() / 2 <= 0.15 * 200
