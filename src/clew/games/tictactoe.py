"""Tic-Tac-Toe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clew.games import board
from clew.games.bitboards.dispatch import TICTACTOE as CODE
from clew.games.game import Game
from clew.games.states import States


class TicTacToe(Game):
    """Three in a line on 3 x 3 cells; actions are cells."""

    code = CODE
    lists_positions = True
    phases = (2, 5)
    solver_named = "clew.games.perfect.tictactoe:TicTacToeSolver"

    def __init__(self) -> None:
        super().__init__("tictactoe", 3, 3, title="Tic-Tac-Toe", symmetry="all", max_plies=9, opening_plies=2)

    def longest_line(self, nodes: int) -> int:
        """See `Game.longest_line`."""
        return self.max_plies + 1

    def position_keys(self, states: States) -> npt.NDArray[np.uint64]:
        """See `Game.position_keys`."""
        return np.asarray(states[:, 0] | (states[:, 1] << np.uint64(9)), np.uint64)

    def draw(self, state: States) -> str:
        """The board with the numbers of the free cells."""
        cells = [str(cell) if sign == board.EMPTY else sign for cell, sign in enumerate(board.signs(self, state))]
        return "\n---+---+---\n".join(" " + " | ".join(cells[row : row + 3]) for row in (0, 3, 6))

    def move_name(self, action: int) -> str:
        """The number of a cell."""
        return str(action)

    def _why_not(self, state: States, action: int) -> str:
        return f"Cell {action} is taken."

    def how_to_move(self) -> str:
        """See `Game.how_to_move`."""
        return "write the number of a cell, 0 to 8, or row,col"


TICTACTOE = TicTacToe()
