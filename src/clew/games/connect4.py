"""Connect Four."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from clew.core.errors import UsageError
from clew.games import board
from clew.games.bitboards.connect4 import COLUMNS, board_keys
from clew.games.bitboards.dispatch import CONNECT4 as CODE
from clew.games.game import Game
from clew.games.states import States


class ConnectFour(Game):
    """Four in a line on 7 x 6 cells, row 0 the bottom; actions are columns, in which stones fall."""

    code = CODE
    phases = (13, 25)
    solver_named = "clew.games.perfect.connect4:ConnectFourSolver"
    solved_from = 8

    def __init__(self) -> None:
        super().__init__("connect4", 7, 6, actions=COLUMNS, title="Connect 4", symmetry="mirror", max_plies=42)

    def longest_line(self, nodes: int) -> int:
        """See `Game.longest_line`."""
        return self.max_plies + 1

    def position_keys(self, states: States) -> npt.NDArray[np.uint64]:
        """Equal for a board and its mirror image."""
        return board_keys(states)

    def draw(self, state: States) -> str:
        """The board with row 0 at the bottom and its columns numbered."""
        return board.grid(self, board.signs(self, state), bottom_up=True)

    def _meant(self, state: States, text: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", text):
            return board.numbered(self, text, columns=True)
        row, column = board.cell(self, text)
        landing = sum(sign != board.EMPTY for sign in board.signs(self, state)[column::COLUMNS])
        if landing < self.board_height and row != landing:
            raise UsageError(f"A stone in column {column} falls to row {landing}, not to row {row}.")
        return column

    def _why_not(self, state: States, action: int) -> str:
        return f"Column {action} is full."

    def how_to_move(self) -> str:
        """See `Game.how_to_move`."""
        return "write the number of a column, 0 to 6"


CONNECT_FOUR = ConnectFour()
