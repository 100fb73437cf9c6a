"""Boards as text, and moves as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.errors import UsageError
from clew.games.rules import find_game


def position(env_id, *moves):
    game = find_game(env_id)
    state = game.initial()
    for move in moves:
        state = game.play(state, [move])
    return game, state[0]


def draw(game, state):
    return game.draw(state)


def parse_move(game, state, text):
    return game.parse_move(state, text)


def test_connect4_is_drawn_with_row_0_at_the_bottom_and_numbered_columns():
    assert draw(*position("connect4", 3, 3, 4, 0)).splitlines() == [
        "5 | . . . . . . .",
        "4 | . . . . . . .",
        "3 | . . . . . . .",
        "2 | . . . . . . .",
        "1 | . . . O . . .",
        "0 | O . . X X . .",
        "    0 1 2 3 4 5 6",
    ]


def test_tictactoe_is_drawn_with_the_numbers_of_free_cells():
    assert draw(*position("tictactoe", 0, 5)).splitlines() == [
        " X | 1 | 2",
        "---+---+---",
        " 3 | 4 | O",
        "---+---+---",
        " 6 | 7 | 8",
    ]


def test_othello_is_drawn_with_legal_moves_marked():
    lines = draw(*position("othello")).splitlines()
    assert lines[0] == "    0 1 2 3 4 5 6 7"
    assert lines[4] == "3 | . . * O X . . ."
    assert sum(line.count("*") for line in lines) == 4


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4", "othello"])
def test_what_is_drawn_is_what_is_stored(env_id):
    game, random = find_game(env_id), np.random.default_rng(0)
    state = game.initial()
    while game.winner(state)[0] == 0:
        cells = game.to_blob(state[0])[: game.cells]
        text = draw(game, state[0])
        assert (text.count("X"), text.count("O")) == (cells.count(1), cells.count(2))
        if env_id == "connect4":
            rows = [line[4:].split() for line in text.splitlines()[5::-1]]
            assert [".XO".index(sign) for row in rows for sign in row] == list(cells)
        state = game.play(state, [int(random.choice(np.flatnonzero(game.legal_mask(state)[0])))])


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4", "othello"])
def test_a_move_that_is_written_is_read_as_itself(env_id):
    game, random = find_game(env_id), np.random.default_rng(1)
    state = game.initial()
    while game.winner(state)[0] == 0:
        legal = np.flatnonzero(game.legal_mask(state)[0])
        assert [parse_move(game, state[0], game.move_name(int(move))) for move in legal] == list(legal)
        assert [parse_move(game, state[0], str(move)) for move in legal] == list(legal)
        state = game.play(state, [int(random.choice(legal))])


def test_cells_can_be_named_by_row_and_column():
    assert parse_move(*position("tictactoe"), "1,2") == 5
    assert parse_move(*position("tictactoe"), " (2, 0) ") == 6
    assert parse_move(*position("othello"), "2 3") == 19
    assert parse_move(*position("connect4", 3, 3), "2,3") == 3


@pytest.mark.parametrize(
    ("env_id", "moves", "text", "said"),
    [
        ("connect4", (), "7", "There is no 7: columns are numbered 0 to 6"),
        ("connect4", (), "-1", "'-1' is no move: write the number of a column"),
        ("connect4", (), "a", "'a' is no move"),
        ("connect4", (), "9" * 50, "is no move"),
        ("connect4", (3,), "0,3", "A stone in column 3 falls to row 1, not to row 0"),
        ("connect4", (), "6,0", "There is no cell 6,0"),
        ("connect4", (0,) * 6, "0", "Column 0 is full"),
        ("connect4", (0,) * 6, "5,0", "Column 0 is full"),
        ("tictactoe", (4,), "4", "Cell 4 is taken"),
        ("tictactoe", (4,), "1,1", "Cell 4 is taken"),
        ("tictactoe", (), "pass", "'pass' is no move"),
        ("tictactoe", (), "3,0", "There is no cell 3,0"),
        ("othello", (), "0,0", "0,0 turns no stone over"),
        ("othello", (), "3,3", "Cell 3,3 is taken"),
        ("othello", (), "pass", "You may pass only when you have no other move"),
        ("othello", (), "64", "You may pass only when you have no other move"),
        ("othello", (), "65", "There is no 65"),
    ],
)
def test_what_is_no_move_gets_a_sentence(env_id, moves, text, said):
    with pytest.raises(UsageError, match=said):
        parse_move(*position(env_id, *moves), text)
