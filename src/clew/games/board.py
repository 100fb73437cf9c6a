"""Boards and moves as people read and write them, as far as games share it. X is the first player, O the second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clew.core.errors import UsageError, nearest
from clew.games.states import States

if TYPE_CHECKING:
    from clew.games.game import Game

EMPTY = "."


def signs(game: Game, state: States) -> list[str]:
    """X, O or `EMPTY` for each cell of a position, uint64[3]."""
    cells = game.to_blob(state)[: game.cells]
    return [f"{EMPTY}XO"[cell] for cell in cells]


def grid(game: Game, cells: Sequence[str], *, bottom_up: bool = False) -> str:
    """The cells as rows with their numbers, below or above a line with those of the columns."""
    width = game.board_width
    header = "    " + " ".join(str(column) for column in range(width))
    lines = [f"{row} | " + " ".join(cells[row * width : row * width + width]) for row in range(game.board_height)]
    return "\n".join([*reversed(lines), header] if bottom_up else [header, *lines])


def named(game: Game, text: str) -> int:
    """The action of this name, capital or small. Raises `UsageError` naming the nearest."""
    names = list(game.move_names or ())
    for known in (names, [name.lower() for name in names]):
        if (text if known is names else text.lower()) in known:
            return known.index(text if known is names else text.lower())
    raise UsageError(f"'{text}' is no move: {game.how_to_move()}.{nearest(text, names)}")


def numbered(game: Game, text: str, *, columns: bool = False) -> int:
    """The action of this number, or of the cell `row,col` where actions are cells. Raises `UsageError`."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        action = int(text)
        if action >= game.num_actions:
            what = "columns" if columns else "moves"
            raise UsageError(f"There is no {action}: {what} are numbered 0 to {game.num_actions - 1}.")
        return action
    if game.num_actions < game.cells:
        raise UsageError(f"'{text}' is no move: {game.how_to_move()}.")
    row, column = cell(game, text)
    return row * game.board_width + column


def cell(game: Game, text: str) -> tuple[int, int]:
    """Row and column of a cell that is written `row,col`. Raises `UsageError`."""
    found = re.fullmatch(r"\(?\s*([0-9]{1,9})\s*[, ]\s*([0-9]{1,9})\s*\)?", text)
    if not found:
        raise UsageError(f"'{text}' is no move: {game.how_to_move()}.")
    row, column = int(found.group(1)), int(found.group(2))
    if row >= game.board_height or column >= game.board_width:
        raise UsageError(
            f"There is no cell {row},{column}: rows are numbered 0 to {game.board_height - 1}, columns 0 to "
            f"{game.board_width - 1}."
        )
    return row, column
