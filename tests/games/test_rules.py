"""The rules agree with open_spiel move by move, and every format is as other programs read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyspiel
import pytest

from clew.core.errors import EvidenceError, UsageError
from clew.core.randomness import generator
from clew.games.rules import GAMES, GameInfo, find_game

POSITIONS = 100_000
GAMES_AT_ONCE = 1_500
SPIEL = {"tictactoe": "tic_tac_toe", "connect4": "connect_four", "othello": "othello"}
KEPT = {ord("x"): 1, ord("o"): 2, ord("."): 0, ord("-"): 0}
DROPPED = bytes(set(range(256)) - set(KEPT))
CELLS = bytes(KEPT.get(character, 0) for character in range(256))


def board_of(env_id: str, text: str) -> bytes:
    """Cells 0, 1, 2 in the contract's order out of what open_spiel prints."""
    if env_id == "othello":
        text = text[text.index("\n") + 1 :]
    cells = text.encode().translate(CELLS, DROPPED)
    if env_id == "connect4":
        # It prints the highest row first; row 0 is the bottom.
        return b"".join(cells[start : start + 7] for start in range(35, -1, -7))
    return cells


@dataclass
class Visited:
    """What open_spiel says of many games at the same number of moves."""

    boards: list[bytes] = field(default_factory=list)
    legal: list[list[int]] = field(default_factory=list)
    movers: list[int] = field(default_factory=list)
    winners: list[int] = field(default_factory=list)

    def add(self, env_id: str, state: Any, last_player: int) -> None:
        """Note one state; at the end the player to move stays who moved last."""
        ended = state.is_terminal()
        self.boards.append(board_of(env_id, str(state)))
        self.legal.append([] if ended else state.legal_actions())
        self.movers.append(last_player if ended else state.current_player())
        result = state.returns()[0]
        self.winners.append((1 if result > 0 else 2 if result < 0 else 3) if ended else 0)


def expected_observations(info: GameInfo, visited: Visited) -> tuple[np.ndarray, np.ndarray]:
    """[first's cells | second's cells | legal mask | one-hot(player to move)] and the mask, from open_spiel's words."""
    count = len(visited.boards)
    cells = np.frombuffer(b"".join(visited.boards), np.uint8).reshape(count, info.board_width * info.board_height)
    mask = np.zeros((count, info.num_actions), bool)
    for row, actions in enumerate(visited.legal):
        mask[row, actions] = True
    to_move = np.eye(2)[visited.movers]
    return np.concatenate([cells == 1, cells == 2, mask, to_move], axis=1).astype(np.float32), mask


@pytest.mark.parametrize("env_id", list(SPIEL))
def test_a_hundred_thousand_random_positions_agree_with_open_spiel(env_id: str) -> None:
    game, spiel = find_game(env_id), pyspiel.load_game(SPIEL[env_id])
    seen = ends = 0
    attempt = 0
    while seen < POSITIONS:
        random = generator(0, "agreement", env_id, attempt)
        attempt += 1
        states = game.initial(GAMES_AT_ONCE)
        theirs = [spiel.new_initial_state() for _ in range(GAMES_AT_ONCE)]
        last_players = [0] * GAMES_AT_ONCE
        passes = np.zeros(GAMES_AT_ONCE, np.int64)
        while theirs and seen < POSITIONS:
            visited = Visited()
            for state, last_player in zip(theirs, last_players, strict=True):
                visited.add(env_id, state, last_player)
            observations, mask = expected_observations(game, visited)
            winners = np.array(visited.winners)
            np.testing.assert_array_equal(game.observe(states), observations)
            np.testing.assert_array_equal(game.legal_mask(states), mask)
            np.testing.assert_array_equal(game.winner(states), winners)
            np.testing.assert_array_equal(game.mover(states), visited.movers)
            returns = np.array([state.returns()[player] for state, player in zip(theirs, last_players, strict=True)])
            np.testing.assert_array_equal(game.rewards(states), np.where(winners > 0, returns, 0.0))
            for row in range(0, len(theirs), 97):
                tail = [visited.movers[row] + 1, visited.winners[row]] + [int(passes[row])] * (env_id == "othello")
                assert game.to_blob(states[row]) == visited.boards[row] + bytes(tail)
                np.testing.assert_array_equal(game.from_blob(game.to_blob(states[row])), states[row])
            seen += len(theirs)
            ends += int(np.count_nonzero(winners))

            going = np.flatnonzero(winners == 0)
            theirs = [theirs[row] for row in going]
            last_players = [visited.movers[row] for row in going]
            drawn = random.random(len(going))
            chosen = [
                visited.legal[row][int(share * len(visited.legal[row]))]
                for row, share in zip(going, drawn, strict=True)
            ]
            passes = np.where(np.array(chosen) == 64, passes[going] + 1, 0)
            states = game.play(states[going], chosen)
            for state, action in zip(theirs, chosen, strict=True):
                state.apply_action(action)
    assert ends >= GAMES_AT_ONCE


@pytest.mark.parametrize(
    ("env_id", "display_name", "width", "height", "actions", "obs_size", "mask_at", "state_bytes"),
    [
        ("tictactoe", "Tic-Tac-Toe", 3, 3, 9, 29, 18, 11),
        ("connect4", "Connect 4", 7, 6, 7, 93, 84, 44),
        ("othello", "Othello", 8, 8, 65, 195, 128, 67),
    ],
)
def test_the_sizes_are_those_of_the_formats(
    env_id: str, display_name: str, width: int, height: int, actions: int, obs_size: int, mask_at: int, state_bytes: int
) -> None:
    game = find_game(env_id)
    assert (game.env_id, game.display_name, game.board_width, game.board_height) == (
        env_id,
        display_name,
        width,
        height,
    )
    assert (game.num_actions, game.obs_size, game.legal_mask_offset, game.player_count) == (
        actions,
        obs_size,
        mask_at,
        2,
    )
    assert game.observe(game.initial()).shape == (1, obs_size)
    assert len(game.to_blob(game.initial()[0])) == state_bytes


def played(env_id: str, moves: list[int]) -> np.ndarray:
    """The state after `moves`, uint64[1, 3]."""
    game = find_game(env_id)
    states = game.initial()
    for move in moves:
        states = game.play(states, [move])
    return states


def test_a_connect4_board_is_seen_row_by_row_from_the_bottom() -> None:
    # First plays column 3, second the same column above it, first column 0: cells 3, 10 and 0.
    observation = find_game("connect4").observe(played("connect4", [3, 3, 0]))[0]
    assert np.flatnonzero(observation[:42]).tolist() == [0, 3]
    assert np.flatnonzero(observation[42:84]).tolist() == [10]
    assert observation[84:91].tolist() == [1] * 7
    assert observation[91:].tolist() == [0, 1]


def test_the_planes_are_of_the_first_and_second_player_whoever_moves() -> None:
    game = find_game("tictactoe")
    before, after = game.observe(played("tictactoe", [4]))[0], game.observe(played("tictactoe", [4, 0]))[0]
    assert np.flatnonzero(before[:18]).tolist() == [4]
    assert np.flatnonzero(after[:18]).tolist() == [4, 9]
    assert (before[27:].tolist(), after[27:].tolist()) == ([0, 1], [1, 0])


def test_a_full_column_leaves_the_mask() -> None:
    states = played("connect4", [6, 6, 6, 6, 6, 6])
    assert find_game("connect4").legal_mask(states)[0].tolist() == [True] * 6 + [False]
    assert find_game("connect4").observe(states)[0, 84:91].tolist() == [1] * 6 + [0]


FIRST_WINS_TICTACTOE = [0, 3, 1, 4, 2]
SECOND_WINS_CONNECT4 = [0, 1, 0, 1, 0, 1, 6, 1]
DRAWN_TICTACTOE = [0, 1, 2, 4, 3, 5, 7, 6, 8]


@pytest.mark.parametrize(
    ("env_id", "moves", "winner", "mover", "reward"),
    [
        ("tictactoe", FIRST_WINS_TICTACTOE, 1, 0, 1.0),
        ("connect4", SECOND_WINS_CONNECT4, 2, 1, 1.0),
        ("tictactoe", DRAWN_TICTACTOE, 3, 0, 0.0),
        ("tictactoe", FIRST_WINS_TICTACTOE[:-1], 0, 0, 0.0),
    ],
)
def test_an_end_has_no_moves_and_does_not_switch_the_player(
    env_id: str, moves: list[int], winner: int, mover: int, reward: float
) -> None:
    game, states = find_game(env_id), played(env_id, moves)
    assert (game.winner(states)[0], game.mover(states)[0], game.rewards(states)[0]) == (winner, mover, reward)
    assert game.legal_mask(states).any() == (winner == 0)
    assert game.observe(states)[0, -2:].tolist() == [1 - mover, mover]


def test_the_loser_of_othello_may_be_who_moved_last() -> None:
    # The first player's only move fills the last cell, turns one stone, and leaves him with 2 against 62.
    board = bytearray([2] * 64)
    board[0], board[2] = 0, 1
    game = find_game("othello")
    states = game.play(game.from_blob(bytes(board) + bytes([1, 0, 0]))[None], [0])
    assert game.to_blob(states[0]) == bytes([1, 1, 1] + [2] * 61 + [1, 2, 0])
    assert (game.winner(states)[0], game.mover(states)[0], game.rewards(states)[0]) == (2, 0, -1.0)


def test_a_player_without_a_move_passes() -> None:
    # Cells 0 first, 1 second, 63 second: the first player turns cell 1 from cell 2; the second has nothing to turn.
    game = find_game("othello")
    board = bytearray(64)
    board[0], board[1], board[63] = 1, 2, 2
    states = game.from_blob(bytes(board) + bytes([2, 0, 0]))[None]
    assert np.flatnonzero(game.legal_mask(states)[0]).tolist() == [64]
    assert np.flatnonzero(game.observe(states)[0, 128:193]).tolist() == [64]
    passed = game.play(states, [64])
    assert game.to_blob(passed[0])[64:] == bytes([1, 0, 1])
    assert np.flatnonzero(game.legal_mask(passed)[0]).tolist() == [2]


def test_othello_ends_where_neither_player_has_a_move() -> None:
    # Cells 0 to 2 and 63 as above: turning cell 1 leaves nothing between stones of the other colour, for either.
    game = find_game("othello")
    board = bytearray(64)
    board[0], board[1], board[63] = 1, 2, 2
    ended = game.play(game.from_blob(bytes(board) + bytes([1, 0, 0]))[None], [2])
    assert game.to_blob(ended[0])[64:] == bytes([1, 1, 0])
    assert not game.legal_mask(ended).any()


def test_othello_states_of_programs_that_wait_for_two_passes_can_be_played_on() -> None:
    game = find_game("othello")
    board = bytearray(64)
    board[0], board[63] = 1, 2
    passed_once = game.from_blob(bytes(board) + bytes([1, 0, 1]))[None]
    assert np.flatnonzero(game.legal_mask(passed_once)[0]).tolist() == [64]
    assert game.to_blob(game.play(passed_once, [64])[0])[64:] == bytes([1, 3, 2])


@pytest.mark.parametrize(
    ("env_id", "moves", "blob"),
    [
        ("tictactoe", [], "000000000" "10"),
        ("tictactoe", [4, 0], "200010000" "10"),
        ("tictactoe", FIRST_WINS_TICTACTOE, "111220000" "11"),
        ("tictactoe", DRAWN_TICTACTOE, "121122211" "13"),
        ("connect4", [3, 3, 0], "1001000" "0002000" + 4 * "0000000" + "20"),
        ("connect4", SECOND_WINS_CONNECT4, "1200001" "1200000" "1200000" "0200000" "0000000" "0000000" "22"),
        ("othello", [], 27 * "0" + "21" + 6 * "0" + "12" + 27 * "0" + "100"),
        ("othello", [19], 19 * "0" + "1" + 7 * "0" + "11" + 6 * "0" + "12" + 27 * "0" + "200"),
    ],
)  # fmt: skip
def test_a_stored_state_is_cells_player_winner_and_passes(env_id: str, moves: list[int], blob: str) -> None:
    game, states = find_game(env_id), played(env_id, moves)
    expected = bytes(int(digit) for digit in blob)
    assert game.to_blob(states[0]) == expected
    np.testing.assert_array_equal(game.from_blob(expected), states[0])


@pytest.mark.parametrize("env_id", list(GAMES))
def test_a_stored_state_of_a_wrong_length_is_refused(env_id: str) -> None:
    game = find_game(env_id)
    whole = game.to_blob(game.initial()[0])
    for blob in (b"", whole[:-1], whole + b"\0"):
        with pytest.raises(EvidenceError, match=f"has {len(blob)} bytes where {len(whole)} are due"):
            game.from_blob(blob)


@pytest.mark.parametrize(("place", "value"), [(0, 3), (64, 0), (64, 3), (65, 4), (66, 3)])
def test_a_stored_state_with_a_value_that_means_nothing_is_refused(place: int, value: int) -> None:
    game = find_game("othello")
    blob = bytearray(game.to_blob(game.initial()[0]))
    blob[place] = value
    with pytest.raises(EvidenceError, match="cell, player or winner that is none"):
        game.from_blob(bytes(blob))


@pytest.mark.parametrize(
    ("env_id", "moves", "action"),
    [
        ("tictactoe", [4], 4),
        ("tictactoe", [], 9),
        ("tictactoe", [], -1),
        ("tictactoe", FIRST_WINS_TICTACTOE, 8),
        ("connect4", [6, 6, 6, 6, 6, 6], 6),
        ("connect4", [], 7),
        ("connect4", SECOND_WINS_CONNECT4, 3),
        ("othello", [], 64),
        ("othello", [], 0),
        ("othello", [], 65),
    ],
)
def test_a_move_that_is_not_legal_is_refused_with_a_sentence(env_id: str, moves: list[int], action: int) -> None:
    game, states = find_game(env_id), played(env_id, moves)
    with pytest.raises(UsageError, match=rf"^Action {action} is not legal in this {game.display_name} position\.$"):
        game.play(states, [action])


def test_play_leaves_the_states_before_it_as_they_are() -> None:
    game = find_game("connect4")
    states = game.initial(3)
    after = game.play(states, [0, 3, 6])
    assert not states.any()
    assert (game.mover(after) == 1).all()


def test_an_unknown_game_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'connect4'"):
        find_game("conect4")
