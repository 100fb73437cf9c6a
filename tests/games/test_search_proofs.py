"""Terminal proofs: what is certain is believed, played, and taught."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from plain_search import HashEvaluator

from clew.games.rules import States, find_game
from clew.games.search import Search, SearchResult, SearchSettings, uniform

METHODS = pytest.mark.parametrize("method", ["puct", "gumbel"])


def after(env_id: str, actions: tuple[int, ...]) -> States:
    game = find_game(env_id)
    board = game.initial()
    for action in actions:
        board = game.play(board, [action])
    return board


def searched(env_id: str, board: States, **settings: object) -> SearchResult:
    game = find_game(env_id)
    return Search(game, len(board), SearchSettings(**settings)).run(
        board, uniform(game), seeds=np.zeros(len(board), np.uint64)
    )


@METHODS
def test_a_win_in_one_is_proven_played_and_all_of_the_target(method: str) -> None:
    result = searched("tictactoe", after("tictactoe", (0, 3, 1, 4)), method=method, simulations=50)
    assert result.action[0] == 2
    assert result.value[0] == 1.0
    assert result.policy[0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert result.action_values[0, 2] == 1.0
    assert result.simulations[0] < 50


@METHODS
def test_a_double_threat_is_a_win_in_two(method: str) -> None:
    # First on 0 and 8, second on 4 and 2: 6 parries, and threatens 3 (0, 3, 6) and 7 (6, 7, 8) at once.
    result = searched("tictactoe", after("tictactoe", (0, 4, 8, 2)), method=method, simulations=800)
    assert result.value[0] == 1.0
    assert result.action[0] == 6
    assert result.policy[0, 6] == 1.0


@METHODS
def test_connect_four_three_in_an_open_row_is_won(method: str) -> None:
    # Two in the middle of the bottom row with room on both sides: a third makes two threats.
    board = after("connect4", (2, 2, 3, 3))
    game = find_game("connect4")
    result = searched("connect4", board, method=method, simulations=800)
    assert result.value[0] == 1.0
    assert result.action[0] in (1, 4)
    assert result.policy[0, [1, 4]].sum() == pytest.approx(1.0)
    line = Search(game, 1, SearchSettings(method="gumbel", simulations=800))
    found = line.run(board, uniform(game), seeds=np.zeros(1, np.uint64))
    variation = line.principal_variation(0)
    assert variation[0] == found.action[0]
    for action in variation:
        board = game.play(board, [action])
    assert game.winner(board)[0] == 1


@METHODS
def test_a_move_proven_lost_is_not_played_and_not_taught(method: str) -> None:
    # The second player threatens 5; whatever the first plays elsewhere loses. The evaluator would not
    # have the first play 5.
    game = find_game("tictactoe")
    board = after("tictactoe", (0, 3, 8, 4))
    assert game.mover(board)[0] == 0

    def evaluate(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.zeros((len(observations), 9), np.float32)
        logits[observations[:, 27] == 1.0, 5] = -6.0
        return logits, np.zeros(len(observations), np.float32)

    settings = SearchSettings(method=method, simulations=120)
    result = Search(game, 1, settings).run(board, evaluate, seeds=np.zeros(1, np.uint64))
    assert result.action[0] == 5
    assert result.policy[0, 5] == pytest.approx(1.0)
    assert (result.action_values[0, [1, 2, 6, 7]] == -1.0).all()


@functools.cache
def minimax(first: int, second: int, status: int) -> int:
    """Value for the player to move, of a position that goes on."""
    game = find_game("tictactoe")
    board = np.array([[first, second, status]], np.uint64)
    best = -1
    for action in np.flatnonzero(game.legal_mask(board)[0]):
        below = game.play(board, [action])
        ended = game.winner(below)[0]
        best = max(best, int(game.rewards(below)[0]) if ended else -minimax(*(int(word) for word in below[0])))
    return best


@METHODS
def test_proven_values_are_those_of_minimax(method: str) -> None:
    game = find_game("tictactoe")
    draws = np.random.default_rng(8)
    boards = []
    for _ in range(60):
        board = game.initial()
        for _ in range(int(draws.integers(0, 8))):
            below = game.play(board, [draws.choice(np.flatnonzero(game.legal_mask(board)[0]))])
            if game.winner(below)[0]:
                break
            board = below
        boards.append(board[0])
    states = np.stack(boards)
    # An evaluator that is wrong everywhere delays the proofs, and changes none.
    settings = SearchSettings(method=method, simulations=20_000)
    result = Search(game, 60, settings).run(states, HashEvaluator(game, 2), seeds=np.zeros(60, np.uint64))
    proven = result.simulations < 20_000
    assert proven.sum() >= 30
    for lane in np.flatnonzero(proven):
        value = minimax(*(int(word) for word in states[lane]))
        assert result.value[lane] == value
        below = game.play(states[lane : lane + 1], [result.action[lane]])
        kept = game.rewards(below)[0] if game.winner(below)[0] else -minimax(*(int(word) for word in below[0]))
        assert kept == value


@METHODS
def test_without_proofs_every_simulation_is_run(method: str) -> None:
    board = after("tictactoe", (0, 3, 1, 4))
    result = searched("tictactoe", board, method=method, simulations=50, proofs=False)
    assert result.simulations[0] == 50
    assert result.visits[0].sum() == 50
    assert result.action[0] == 2


def test_a_proven_lost_root_still_has_a_target_over_all_moves() -> None:
    game = find_game("tictactoe")
    lost = None
    for state in _ongoing_positions():
        if minimax(*(int(word) for word in state)) == -1 and game.legal_mask(state[None])[0].sum() >= 3:
            lost = state[None]
            break
    assert lost is not None
    for method in ("puct", "gumbel"):
        result = searched("tictactoe", lost, method=method, simulations=800)
        assert result.value[0] == -1.0
        assert result.policy[0].sum() == pytest.approx(1.0)
        assert (result.policy[0] > 0).sum() >= 2
        assert game.legal_mask(lost)[0, result.action[0]]


def _ongoing_positions() -> list[States]:
    game = find_game("tictactoe")
    draws = np.random.default_rng(11)
    found = []
    for _ in range(200):
        board = game.initial()
        while True:
            board = game.play(board, [draws.choice(np.flatnonzero(game.legal_mask(board)[0]))])
            if game.winner(board)[0]:
                break
            found.append(board[0])
    return found
