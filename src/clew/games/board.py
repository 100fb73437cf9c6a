"""Boards and moves as people read and write them. X is the first player, O the second."""

from __future__ import annotations

import re

from clew.core.errors import UsageError
from clew.games.othello import PASS
from clew.games.rules import CONNECT4, OTHELLO, TICTACTOE, Game, States, cell_bit

SIGNS = "XO"


def draw(game: Game, state: States) -> str:
    """The position `state`, uint64[3], as lines of text: Connect Four with row 0 at the bottom and its columns
    numbered, tictactoe with the numbers of the free cells, Othello with rows and columns numbered and legal moves as *.
    """
    width, height = game.board_width, game.board_height
    legal = game.legal_mask(state[None])[0]
    signs = [_sign(game, state, cell) for cell in range(game.cells)]
    if game.code == TICTACTOE:
        rows = [
            " | ".join(signs[cell].strip() or str(cell) for cell in range(row * width, (row + 1) * width))
            for row in range(height)
        ]
        return "\n---+---+---\n".join(f" {row}" for row in rows)
    if game.code == OTHELLO:
        signs = ["*" if legal[cell] else sign for cell, sign in enumerate(signs)]
    order = range(height - 1, -1, -1) if game.code == CONNECT4 else range(height)
    header = "    " + " ".join(str(column) for column in range(width))
    lines = [
        f"{row} | " + " ".join(sign if sign != " " else "." for sign in signs[row * width : row * width + width])
        for row in order
    ]
    return "\n".join([*lines, header] if game.code == CONNECT4 else [header, *lines])


def _sign(game: Game, state: States, cell: int) -> str:
    bit = cell_bit(game.code, cell)
    return SIGNS[0] if state[0] & bit else SIGNS[1] if state[1] & bit else " "


def move_name(game: Game, action: int) -> str:
    """How a move is written: a column, the number of a cell, `row,col` in Othello, or pass."""
    if game.code == OTHELLO:
        return "pass" if action == PASS else f"{action // game.board_width},{action % game.board_width}"
    return str(action)


def parse_move(game: Game, state: States, text: str) -> int:
    """The action that a person means by `text` in an ongoing `state`, uint64[3]: its number, `row,col`, or pass.

    Raises `UsageError` that says what is wrong with it.
    """
    legal = game.legal_mask(state[None])[0]
    action = _meant(game, state, text.strip().lower())
    if not legal[action]:
        raise UsageError(_why_not(game, state, action))
    return action


def _meant(game: Game, state: States, text: str) -> int:
    if text == "pass" and game.code == OTHELLO:
        return PASS
    if re.fullmatch(r"[0-9]{1,9}", text):
        action = int(text)
        if action >= game.num_actions:
            what = "columns" if game.code == CONNECT4 else "moves"
            raise UsageError(f"There is no {action}: {what} are numbered 0 to {game.num_actions - 1}.")
        return action
    found = re.fullmatch(r"\(?\s*([0-9]{1,9})\s*[, ]\s*([0-9]{1,9})\s*\)?", text)
    if not found:
        raise UsageError(f"'{text}' is no move: {_how(game)}.")
    row, column = int(found.group(1)), int(found.group(2))
    if row >= game.board_height or column >= game.board_width:
        raise UsageError(
            f"There is no cell {row},{column}: rows are numbered 0 to {game.board_height - 1}, columns 0 to "
            f"{game.board_width - 1}."
        )
    if game.code != CONNECT4:
        return row * game.board_width + column
    landing = sum(bool((state[0] | state[1]) & cell_bit(game.code, each * 7 + column)) for each in range(6))
    if landing < game.board_height and row != landing:
        raise UsageError(f"A stone in column {column} falls to row {landing}, not to row {row}.")
    return column


def _why_not(game: Game, state: States, action: int) -> str:
    if game.code == CONNECT4:
        return f"Column {action} is full."
    if action == PASS:
        return "You may pass only when you have no other move."
    if (state[0] | state[1]) & cell_bit(game.code, action):
        return f"Cell {move_name(game, action)} is taken."
    return f"{move_name(game, action)} turns no stone over: moves that do are marked *, and without any, write pass."


def _how(game: Game) -> str:
    if game.code == CONNECT4:
        return "write the number of a column, 0 to 6"
    if game.code == TICTACTOE:
        return "write the number of a cell, 0 to 8, or row,col"
    return "write row,col, the number of a cell, or pass"
