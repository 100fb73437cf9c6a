"""Boards and moves as people read and write them, as far as games share it. X is the first player, O the second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from clew.core.errors import UsageError, nearest
from clew.games.states import States

EMPTY = "."


class Board(Protocol):
    """What of a game is needed to draw its board and to read a move."""

    @property
    def board_width(self) -> int:
        """Columns."""

    @property
    def board_height(self) -> int:
        """Rows."""

    @property
    def num_actions(self) -> int:
        """Actions that a policy has."""

    @property
    def move_names(self) -> Sequence[str] | None:
        """What the actions are called; None where they are numbers or cells."""

    @property
    def cells(self) -> int:
        """Cells of the board."""

    def to_blob(self, state: States) -> bytes:
        """The stored form of a position: first its cells, 0, 1 or 2."""

    def how_to_move(self) -> str:
        """How a move is written, as a clause."""


def signs(game: Board, state: States) -> list[str]:
    """X, O or `EMPTY` for each cell of a position, uint64[3]."""
    cells = game.to_blob(state)[: game.cells]
    return [f"{EMPTY}XO"[cell] for cell in cells]


def grid(game: Board, cells: Sequence[str], *, bottom_up: bool = False) -> str:
    """The cells as rows with their numbers, below or above a line with those of the columns."""
    width = game.board_width
    header = "    " + " ".join(str(column) for column in range(width))
    lines = [f"{row} | " + " ".join(cells[row * width : row * width + width]) for row in range(game.board_height)]
    return "\n".join([*reversed(lines), header] if bottom_up else [header, *lines])


def named(game: Board, text: str) -> int:
    """The action of this name, capital or small. Raises `UsageError` naming the nearest."""
    names = list(game.move_names or ())
    for known in (names, [name.lower() for name in names]):
        if (text if known is names else text.lower()) in known:
            return known.index(text if known is names else text.lower())
    raise UsageError(f"'{text}' is no move: {game.how_to_move()}.{nearest(text, names)}")


def numbered(game: Board, text: str, *, columns: bool = False) -> int:
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


def cell(game: Board, text: str) -> tuple[int, int]:
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
