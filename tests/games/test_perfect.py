"""Perfect play is perfect: held against another solver, a plain minimax, and positions worked out by hand."""

from __future__ import annotations

import functools

import numpy as np
import pyspiel
import pytest
from bitbully import BitBully, Board

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.games.bitboards.connect4 import board_keys
from clew.games.perfect import (
    ILLEGAL,
    ConnectFourSolver,
    TicTacToeSolver,
    best_moves,
    decisive,
    optimal_moves,
    outcomes_of,
    perfect_moves,
    reachable_layers,
    values_of,
)
from clew.games.perfect.connect4 import careful_moves
from clew.games.rules import ONGOING, States, find_game

CONNECT4, TICTACTOE = find_game("connect4"), find_game("tictactoe")
NO = ILLEGAL


@pytest.fixture(scope="module")
def solver() -> ConnectFourSolver:
    return ConnectFourSolver(table_bits=20)


def random_states(plies: np.ndarray, *purpose: str | int, careful: bool = False) -> States:
    """Ongoing connect4 positions of so many stones each, of random or of careful games; ended games are left out."""
    random = generator(0, "test_perfect", *purpose)
    states = CONNECT4.initial(len(plies))
    alive = np.ones(len(plies), bool)
    for ply in range(int(plies.max())):
        going = np.flatnonzero(alive & (ply < plies))
        moves = careful_moves(states[going]) if careful else CONNECT4.legal_mask(states[going])
        states[going] = CONNECT4.play(states[going], np.where(moves, random.random(moves.shape), -1).argmax(axis=1))
        alive &= CONNECT4.winner(states) == ONGOING
    return states[alive]


def after(columns: str) -> States:
    """The connect4 position after these moves, columns counted from 1, uint64[1, 3]."""
    states = CONNECT4.initial()
    for column in columns:
        states = CONNECT4.play(states, [int(column) - 1])
    return states


def bitbully_scores(agent: BitBully, states: States) -> np.ndarray:
    """int8[count, 7] by bitbully without its book: its scores count as ours do."""
    scores = np.full((len(states), 7), ILLEGAL, np.int8)
    for state, row in zip(states, scores, strict=True):
        cells = np.frombuffer(CONNECT4.to_blob(state)[:42], np.uint8).reshape(6, 7)
        for column, score in agent.score_all_moves(Board(cells.T.tolist())).items():
            row[column] = score
    return scores


@pytest.mark.parametrize("careful", [False, True])
def test_every_move_of_thousands_of_positions_scores_as_bitbully_says(solver: ConnectFourSolver, careful: bool) -> None:
    plies = generator(0, "plies", int(careful)).integers(19, 42, 3000 if careful else 8000)
    states = random_states(plies, "late", careful=careful)
    assert len(states) > 1400
    np.testing.assert_array_equal(solver.scores(states), bitbully_scores(BitBully(opening_book=None), states))


@pytest.mark.slow
def test_early_positions_score_as_bitbully_says() -> None:
    states = random_states(np.repeat(np.arange(8, 19), 40), "early")
    solver = ConnectFourSolver()
    scores = solver.scores(states)
    np.testing.assert_array_equal(scores, bitbully_scores(BitBully(opening_book=None), states))
    solver.clear()
    np.testing.assert_array_equal(solver.outcomes(states), outcomes_of(scores))


@pytest.mark.slow
def test_the_first_player_wins_from_the_centre_column_only() -> None:
    # Found by J. D. Allen and V. Allis in 1988: the centre wins, the columns beside it draw, the others lose.
    assert ConnectFourSolver(table_bits=24).outcomes(CONNECT4.initial()).tolist() == [[-1, -1, 0, 1, 0, -1, -1]]


def test_a_win_at_once_counts_the_stones_that_are_left(solver: ConnectFourSolver) -> None:
    # First has three side by side on the bottom and another: he wins with the fifth of his 21, and 16 are left.
    scores = solver.scores(after("17273715"))
    assert scores[0, 3] == 17
    assert scores[0, [0, 1, 2, 4, 5, 6]].max() < 17


def test_a_row_of_three_with_two_open_ends_is_lost_for_the_other_player(solver: ConnectFourSolver) -> None:
    # First has columns 3, 4 and 5 of the bottom: second can close one end, first wins with the fourth stone.
    states = after("33445")
    assert solver.scores(states)[0].tolist() == [-18] * 7
    assert values_of(solver.scores(states)).tolist() == [-1]
    assert not decisive(solver.scores(states))[0]


def test_the_only_block_is_the_only_move_that_does_not_lose_at_once(solver: ConnectFourSolver) -> None:
    # First has 1, 2 and 3 of the bottom, the second stones above the first two.
    scores = solver.scores(after("11223"))[0]
    assert np.flatnonzero(scores > -18).tolist() == [3]
    np.testing.assert_array_equal(careful_moves(after("11223"))[0], np.arange(7) == 3)


def test_the_last_stone_can_win_or_draw(solver: ConnectFourSolver) -> None:
    states = random_states(np.full(60_000, 41), "last")
    scores = solver.scores(states)
    wins = CONNECT4.winner(CONNECT4.play(states, scores.argmax(axis=1))) == CONNECT4.mover(states) + 1
    assert 0 < np.count_nonzero(wins) < len(states)
    assert ((scores != ILLEGAL).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(scores.max(axis=1), np.where(wins, 1, 0))


def test_a_full_column_and_a_decided_game_have_no_scores(solver: ConnectFourSolver) -> None:
    decided = after("1212121")
    assert solver.scores(decided).tolist() == [[ILLEGAL] * 7]
    assert values_of(solver.scores(decided)).tolist() == [0]
    crowded = random_states(np.full(200, 30), "crowded")
    np.testing.assert_array_equal(solver.scores(crowded) == ILLEGAL, ~CONNECT4.legal_mask(crowded))


def test_what_was_solved_before_changes_nothing() -> None:
    states = random_states(np.repeat(np.arange(16, 30), 20), "warm")
    tiny, large = ConnectFourSolver(table_bits=3), ConnectFourSolver(table_bits=18)
    scores = large.scores(states)
    np.testing.assert_array_equal(large.scores(states), scores)
    np.testing.assert_array_equal(tiny.scores(states[::-1])[::-1], scores)
    nodes = large.nodes
    large.clear()
    assert (nodes > 0, large.nodes) == (True, 0)
    np.testing.assert_array_equal(large.outcomes(states), outcomes_of(scores))


def test_a_mirrored_board_has_mirrored_scores_and_the_same_key(solver: ConnectFourSolver) -> None:
    moves = generator(0, "mirror").integers(0, 7, (300, 18))
    boards, mirrored = CONNECT4.initial(300), CONNECT4.initial(300)
    for ply in range(18):
        legal = CONNECT4.legal_mask(boards)[np.arange(300), moves[:, ply]]
        boards[legal] = CONNECT4.play(boards[legal], moves[legal, ply])
        mirrored[legal] = CONNECT4.play(mirrored[legal], 6 - moves[legal, ply])
    np.testing.assert_array_equal(solver.scores(boards), solver.scores(mirrored)[:, ::-1])
    np.testing.assert_array_equal(board_keys(boards), board_keys(mirrored))
    cells = [CONNECT4.to_blob(state)[:42] for state in boards]
    alike = {min(each, b"".join(each[row : row + 7][::-1] for row in range(0, 42, 7))) for each in cells}
    assert len(set(board_keys(boards).tolist())) == len(alike)


def test_tictactoe_is_solved_as_a_plain_minimax_solves_it() -> None:
    spiel = pyspiel.load_game("tic_tac_toe")

    @functools.cache
    def value(moves: tuple[int, ...]) -> tuple[int, ...]:
        state = spiel.new_initial_state()
        for move in moves:
            state.apply_action(move)
        scores = [ILLEGAL] * 9
        for action in state.legal_actions():
            child = state.child(action)
            if child.is_terminal():
                # Of a full board the first player fills five cells, the second four.
                left = (5, 4)[len(moves) % 2] - (len(moves) // 2 + 1)
                scores[action] = int(child.returns()[len(moves) % 2]) * (left + 1)
            else:
                scores[action] = -max(value(canonical((*moves, action))))
        return tuple(scores)

    def canonical(moves: tuple[int, ...]) -> tuple[int, ...]:
        # The same board by another order of moves is the same position.
        first, second = sorted(moves[::2]), sorted(moves[1::2])
        return tuple((first if ply % 2 == 0 else second)[ply // 2] for ply in range(len(moves)))

    solver = TicTacToeSolver()
    states = np.concatenate(reachable_layers(TICTACTOE))
    assert len(states) == 5478
    ongoing = states[TICTACTOE.winner(states) == ONGOING]
    assert len(ongoing) == 4520
    for state, scores in zip(ongoing, solver.scores(ongoing), strict=True):
        cells = [[cell for cell in range(9) if int(stones) >> cell & 1] for stones in state[:2]]
        moves = tuple(cells[ply % 2][ply // 2] for ply in range(len(cells[0]) + len(cells[1])))
        assert tuple(scores.tolist()) == value(moves)
    assert (solver.scores(states[TICTACTOE.winner(states) != ONGOING]) == ILLEGAL).all()


def test_optimal_best_and_decisive_of_scores_written_by_hand() -> None:
    scores = np.array([[5, 2, 0, NO], [0, -3, 0, NO], [-4, -1, NO, NO], [3, 1, NO, 3], [NO, NO, NO, NO]], np.int8)
    assert optimal_moves(scores).astype(int).tolist() == [
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 1, 0, 0],
        [1, 1, 0, 1],
        [0] * 4,
    ]
    assert best_moves(scores).astype(int).tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1], [0] * 4]
    assert decisive(scores).tolist() == [True, True, False, False, False]
    assert values_of(scores).tolist() == [1, 0, -1, 1, 0]
    assert outcomes_of(scores)[:2].tolist() == [[1, 1, 0, NO], [0, -1, 0, NO]]


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4"])
def test_a_perfect_player_draws_every_optimal_move_alike_and_no_other(env_id: str) -> None:
    game = find_game(env_id)
    # Tictactoe after a corner: only the centre draws. Connect4: four columns keep this win.
    state = game.play(game.initial(), [0]) if env_id == "tictactoe" else random_states(np.full(40, 24), "draws")[:1]
    states = np.concatenate([np.repeat(state, 600, axis=0), np.repeat(game.initial(), 0, axis=0)])
    optimal = optimal_moves(find_game(env_id).solver().scores(state))[0]
    moves = perfect_moves(game, states, generator(0, "players"))
    shares = np.bincount(moves, minlength=game.num_actions) / 600
    np.testing.assert_allclose(shares, optimal / optimal.sum(), atol=0.1)
    assert (shares[~optimal] == 0).all()
    np.testing.assert_array_equal(moves, perfect_moves(game, states, generator(0, "players")))
    assert (perfect_moves(game, states, generator(1, "players")) != moves).any() == (optimal.sum() > 1)


def test_two_perfect_players_of_tictactoe_always_draw() -> None:
    states = TICTACTOE.initial(300)
    for ply in range(9):
        states = TICTACTOE.play(states, perfect_moves(TICTACTOE, states, generator(0, "draw", ply)))
    assert (TICTACTOE.winner(states) == 3).all()


def test_there_is_no_perfect_player_of_othello_and_no_move_after_the_end() -> None:
    othello = find_game("othello")
    with pytest.raises(UsageError, match=r"There is no solver for othello\. Games with one: tictactoe, connect4"):
        perfect_moves(othello, othello.initial(), generator(0, "none"))
    with pytest.raises(UsageError, match="a Connect 4 position is already decided"):
        perfect_moves(CONNECT4, after("1212121"), generator(0, "none"))
