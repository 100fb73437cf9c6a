"""Positions: what is said of them against plain minimax that knows nothing of the solvers."""

from __future__ import annotations

from functools import cache

import pytest

from clew.traces.generators.positions import CONNECT4, TICTACTOE
from clew.traces.schema import InvalidError

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def three(board, side):
    return any(all(board[cell] == side for cell in line) for line in LINES)


@cache
def minimax(board, side):
    """What the side to move reaches: 1, 0, -1."""
    other = "XO"[side == "X"]
    if three(board, other):
        return -1
    moves = [cell for cell in range(9) if board[cell] not in "XO"]
    return max((-minimax(put(board, cell, side), other) for cell in moves), default=0)


def put(board, cell, side):
    return board[:cell] + side + board[cell + 1 :]


def test_right_answers_of_tictactoe_are_those_of_minimax():
    for question in [*TICTACTOE.questions(80, 0), *TICTACTOE.questions(80, 0, "harder")]:
        head, *rows = question.prompt.split("\n")
        board, side = "".join(rows), head.split(", ")[1][0]
        free = [cell for cell in range(9) if board[cell] == str(cell)]
        values = {cell: -minimax(put(board, cell, side), "XO"[side == "X"]) for cell in free}
        right = {cell for cell in free if values[cell] == max(values.values())}
        assert right < set(free)  # something can be done wrong
        assert {cell for cell in range(10) if TICTACTOE.check_answer(question.prompt, str(cell))} == right
        assert question.category == {1: "win", 0: "draw", -1: "loss"}[max(values.values())]


def drop(board, column, side):
    """`board`: the columns from the bottom up."""
    return tuple(stones + side if place == column else stones for place, stones in enumerate(board))


def four(board):
    cells = {(x, y): sign for x, stones in enumerate(board) for y, sign in enumerate(stones)}
    return any(
        all(cells.get((x + k * dx, y + k * dy)) == sign for k in range(4))
        for (x, y), sign in cells.items()
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1))
    )


@cache
def value_of(board, side):
    """Alpha-beta would be quicker; positions of ten free cells do without."""
    best = -1
    moves = [column for column in range(7) if len(board[column]) < 6]
    if not moves:
        return 0
    for column in moves:
        after = drop(board, column, side)
        best = max(best, 1 if four(after) else -value_of(after, "XO"[side == "X"]))
        if best == 1:
            break
    return best


def test_right_answers_of_connect4_are_those_of_minimax():
    for question in CONNECT4.questions(40, 0, "late"):
        head, *rows = question.prompt.split("\n")
        if sum(row.count(".") for row in rows) > 8:
            continue
        side = head.split(", ")[1][0]
        board = tuple("".join(row[x] for row in reversed(rows[:-1]) if row[x] != ".") for x in range(7))
        values = {}
        for column in range(7):
            if len(board[column]) < 6:
                after = drop(board, column, side)
                values[column] = 1 if four(after) else -value_of(after, "XO"[side == "X"])
        right = {column for column, value in values.items() if value == max(values.values())}
        assert {c for c in range(8) if CONNECT4.check_answer(question.prompt, str(c))} == right


BOARD = "Tic-tac-toe, X to move. Which cell?\nX1O\n3X5\n67O"


def test_a_position_is_explained():
    solution = TICTACTOE.solve(BOARD)
    assert [text for _, text in solution.steps] == [
        "X cannot win at once",
        "O threatens 5",
        "X must play 5",
        "5 draws",
        "Best: 5",
    ]
    assert solution.answer == "5"


OPEN = "Tic-tac-toe, X to move. Which cell?\nX12\nO45\nX7O"


@pytest.mark.parametrize(
    ("at", "wrong", "says"),
    [
        (0, "X can win at 1", "'X cannot win at once' is due"),
        (1, "O threatens 4", "'O threatens nothing' is due"),
        (2, "1 wins", "1 draws, and is said to be one that wins"),
        (2, "1 loses to 2", "1 draws"),
        (2, "1 draws to 2", "no reply to name"),
        (6, "7 loses to 1", "the reply 1 does not win against 7"),
        (6, "7 loses", "the reply that wins against 7 is due"),
        (6, "2 wins", "2 was looked at before"),
        (6, "8 wins", "8 is no move to look at"),
        (7, "Best: 2, 4", "the steps name others"),
        (7, "I like 2", "is no step of this kind"),
    ],
)
def test_each_claim_is_judged(at, wrong, says):
    steps = [text for _, text in TICTACTOE.solve(OPEN).steps]
    assert TICTACTOE.check_steps(OPEN, steps, "2") == []
    faults = TICTACTOE.check_steps(OPEN, [*steps[:at], wrong, *steps[at + 1 :]], "2")
    assert any(says in fault for fault in faults), faults


def test_any_winning_reply_may_be_named_and_moves_come_in_any_order():
    steps = [text for _, text in TICTACTOE.solve(OPEN).steps]
    assert steps[6] == "7 loses to 5"
    assert TICTACTOE.check_steps(OPEN, [*steps[:2], *reversed(steps[2:7]), steps[7]], "2") == []


def test_the_answer_is_one_of_the_moves_called_best():
    steps = [text for _, text in TICTACTOE.solve(OPEN).steps]
    assert any("none of the moves" in fault for fault in TICTACTOE.check_steps(OPEN, steps, "1"))


def test_a_board_and_its_turned_or_mirrored_faces_are_one_problem():
    faces = [
        "Tic-tac-toe, X to move. Which cell?\nX12\nO45\nX7O",
        "Tic-tac-toe, X to move. Which cell?\nX7O\nO45\nX12",
        "Tic-tac-toe, X to move. Which cell?\nXOX\n74 1\nO52".replace(" ", ""),
        "Tic-tac-toe, X to move. Which cell?\n01X\n34O\nO7X",
    ]
    assert len({TICTACTOE.key(face) for face in faces}) == 1


def test_levels_are_counted_in_empty_cells():
    for game, level, fewest, most in (
        (TICTACTOE, "3-empty", 2, 3),
        (TICTACTOE, "harder", 6, 9),
        (CONNECT4, "late", 4, 10),
        (CONNECT4, "harder", 17, 22),
    ):
        for question in game.questions(10, 0, level):
            board = question.prompt.partition("\n")[2].removesuffix("\n0123456")
            empty = sum(sign not in "XO\n" for sign in board)
            assert fewest <= empty <= most


@pytest.mark.parametrize(
    "board",
    [
        "XXX\nOO5\n678",  # over
        "XX2\n345\n678",  # X moved twice
        "X1O\n3X5\n678",  # the wrong side is named
        "X1O\n3X5\n67.",
        "X1O\n3X5",
    ],
)
def test_what_cannot_come_up_is_refused(board):
    with pytest.raises(InvalidError, match="is no question of tictactoe"):
        TICTACTOE.solve(f"Tic-tac-toe, X to move. Which cell?\n{board}")


def test_a_stone_that_hangs_in_the_air_and_an_early_board_are_refused():
    (question,) = CONNECT4.questions(1, 0, "late")
    head, *rows = question.prompt.split("\n")
    empty = ["." * 7] * 6
    for board in (empty, [rows[5], *rows[1:5], rows[0]]):
        with pytest.raises(InvalidError, match="is no question of connect4"):
            CONNECT4.check_answer("\n".join([head, *board, rows[6]]), "3")
