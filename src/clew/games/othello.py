"""Othello."""

from __future__ import annotations

from clew.games import board
from clew.games.bitboards.dispatch import OTHELLO as CODE
from clew.games.bitboards.othello import START_FIRST, START_SECOND
from clew.games.game import Game
from clew.games.states import PASS, States


class Othello(Game):
    """Turn over what stands between your stones, on 8 x 8 cells; actions are cells, and the pass (64)."""

    code = CODE
    _most_actions = PASS + 1

    def __init__(self) -> None:
        start = (int(START_FIRST), int(START_SECOND))
        # Remembered: passes in a row, up to two.
        super().__init__(
            "othello",
            8,
            8,
            actions=PASS + 1,
            title="Othello",
            start=start,
            extra_bytes=1,
            symmetry="all",
            max_plies=129,  # a pass between any two stones
            mover_may_lose=True,
        )

    @property
    def most_extra(self) -> int:
        """Passes in a row, at most."""
        return 2

    @property
    def legal_at_once(self) -> int:
        """33 at most in known games, and about 8 on average."""
        return 32

    def longest_line(self, nodes: int) -> int:
        """See `Game.longest_line`."""
        return self.max_plies + 1

    def draw(self, state: States) -> str:
        """The board with rows and columns numbered and legal moves as *."""
        legal = self.legal_mask(state[None])[0]
        cells = ["*" if legal[cell] else sign for cell, sign in enumerate(board.signs(self, state))]
        return board.grid(self, cells)

    def move_name(self, action: int) -> str:
        """`row,col`, or pass."""
        return "pass" if action == PASS else f"{action // self.board_width},{action % self.board_width}"

    def _meant(self, state: States, text: str) -> int:
        return PASS if text.lower() == "pass" else board.numbered(self, text)

    def _why_not(self, state: States, action: int) -> str:
        if action == PASS:
            return "You may pass only when you have no other move."
        if board.signs(self, state)[action] != board.EMPTY:
            return f"Cell {self.move_name(action)} is taken."
        return f"{self.move_name(action)} turns no stone over: moves that do are marked *, and without any, write pass."

    def how_to_move(self) -> str:
        """See `Game.how_to_move`."""
        return "write row,col, the number of a cell, or pass"


OTHELLO = Othello()
