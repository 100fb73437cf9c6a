"""A game: its rules, and all that the rest of Clew asks of it. Nothing else asks which game it is.

The shipped games stand in `tictactoe`, `connect4` and `othello`; one of your own is made of two functions:

    def legal(first, second, player): ...          # bits of the legal actions
    def play(first, second, player, action): ...   # -> first, second, winner

    GAME = Game("hex5", 5, 5, legal, play)

See docs/own-game.md.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from clew.core.errors import EvidenceError, UsageError
from clew.games import board
from clew.games.bitboards.dispatch import cell_bit, mask_all, observe_all, play_all
from clew.games.codec import Blobs, Codec
from clew.games.own import GameError, OwnRules
from clew.games.states import (
    FIRST_WINS,
    MOST_ACTIONS,
    MOST_CELLS,
    MOST_EXTRA_BYTES,
    ONGOING,
    SECOND_WINS,
    GameInfo,
    States,
)

if TYPE_CHECKING:
    from clew.games.perfect.scores import Solver

Symmetry = Literal["none", "mirror", "turn", "all"]
"""What the rules do not change under: mirror: left and right; turn: half a turn of the board; all: the eight of a
square."""


class Game(GameInfo):
    """A game for two whose rules are here. All methods take boards, uint64[count, 3], if they do not say otherwise."""

    extra_bytes: int = 0
    """Bytes that the rules remember beside the board, the player and the winner."""
    symmetry: Symmetry = "none"
    """What the rules do not change under."""
    max_plies: int
    """The most moves that a game can have."""
    opening_plies: int = 4
    """Random moves that tell games of players without chance apart, and leave enough of a game to be played."""
    move_names: Sequence[str] | None = None
    """How each action is written; None: as a column, `row,col` or its number."""
    mover_may_lose: bool = False
    """Whether who makes the last move may have lost by it."""
    lists_positions: bool = False
    """Whether all positions that can be reached are few enough to be listed."""
    phases: tuple[int, int] | None = None
    """The last ply of the opening, and of the middle game."""
    solver_named: str | None = None
    """module:class of a solver, loaded when it is asked for."""
    solved: ClassVar[tuple[str, ...]] = ()
    """The shipped games that have a solver."""
    solved_from: int = 0
    """Stones on the board from which the solver needs seconds at the most; before, minutes."""

    _most_actions = MOST_ACTIONS

    def __init__(
        self,
        name: str,
        width: int,
        height: int,
        legal: Callable[..., Any] | None = None,
        play: Callable[..., Any] | None = None,
        *,
        actions: int | None = None,
        title: str | None = None,
        start: tuple[int, int] = (0, 0),
        extra_bytes: int = 0,
        symmetry: Symmetry = "none",
        max_plies: int | None = None,
        opening_plies: int | None = None,
        move_names: Sequence[str] | None = None,
        mover_may_lose: bool = False,
    ) -> None:
        """A game of `width` x `height` cells, up to 64, and so many `actions`, up to 64, by default one a cell.

        `legal` and `play`: see `clew.games.own`. `start`: the stones of both players in the first position.
        `max_plies`: by default four times the cells; `opening_plies`: a quarter of the cells, 4 at most. Raises
        `UsageError` for what does not fit, with a sentence.
        """
        cells = width * height
        count = cells if actions is None else actions
        self._check(name, width, height, count, start, extra_bytes, symmetry, move_names)
        offset = 2 * cells
        super().__init__(name, title or name, width, height, count, offset + count + 2, offset)
        self.extra_bytes, self.symmetry = extra_bytes, symmetry
        self.opening_plies = min(4, cells // 4) if opening_plies is None else opening_plies
        self.max_plies = 4 * cells if max_plies is None else max_plies
        self.move_names, self.mover_may_lose = move_names, mover_may_lose
        self.start = start
        self.rules: OwnRules | None = None
        """The rules that a user wrote; None where they ship."""
        if legal is not None and play is not None:
            self.rules = OwnRules(
                self.display_name, legal, play, width=width, cells=cells, actions=count, extra_bytes=extra_bytes
            )

    def _check(
        self,
        name: str,
        width: int,
        height: int,
        actions: int,
        start: tuple[int, int],
        extra_bytes: int,
        symmetry: str,
        move_names: Sequence[str] | None,
    ) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise UsageError(f"A game's name is letters, digits, '_', '.' and '-', 64 at most; {name!r} is none.")
        cells, most = width * height, self._most_actions
        faults = {
            f"it has {width} x {height} cells, where 1 to {MOST_CELLS} fit": not (
                width > 0 and height > 0 and cells <= MOST_CELLS
            ),
            f"it has {actions} actions, where 1 to {MOST_ACTIONS} fit": not 1 <= actions <= most,
            "its start has stones beside the board, or two on one cell": not (
                min(start) >= 0 and max(start) < 1 << cells and not start[0] & start[1]
            ),
            f"it remembers {extra_bytes} bytes, where 0 to {MOST_EXTRA_BYTES} fit": not (
                0 <= extra_bytes <= MOST_EXTRA_BYTES
            ),
            f"its symmetry is {symmetry!r}, where none, mirror, turn and all are known": symmetry
            not in ("none", "mirror", "turn", "all"),
            f"its board is {width} x {height}, which has not the symmetries of a square": symmetry == "all"
            and width != height,
            f"its move_names are not {actions} different ones": move_names is not None
            and len(set(move_names)) != actions,
        }
        for what, holds in faults.items():
            if holds:
                raise UsageError(f"The game '{name}' does not fit: {what}.")

    @property
    def code(self) -> int:
        """What the compiled functions call the game."""
        if self.rules is None:
            raise UsageError(f"The game '{self.env_id}' has no rules: give it the functions legal and play.")
        return self.rules.code

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.board_width * self.board_height

    @property
    def state_bytes(self) -> int:
        """Length of a stored state."""
        return self.cells + 2 + self.extra_bytes

    @property
    def legal_at_once(self) -> int:
        """Room for the legal moves of a position in a search, on average."""
        return self.num_actions

    def longest_line(self, nodes: int) -> int:
        """Room for the moves of one descent in a tree of so many nodes. A descent passes each at most once."""
        return nodes + 1

    @cached_property
    def codec(self) -> Codec:
        """How states are stored."""
        own = self.rules is not None
        # Neither of the shipped games has an address to know its cells by, nor does a user's need one.
        bits = [1 << cell if own else cell_bit(self.code, cell) for cell in range(self.cells)]
        return Codec(np.array(bits, np.uint64), self.extra_bytes, self.most_extra)

    @property
    def most_extra(self) -> int:
        """The largest number that the rules remember."""
        return int((1 << 8 * self.extra_bytes) - 1)

    def check_length(self, plies: int) -> None:
        """Raise `GameError` for a game that goes on after so many plies, and should not."""
        if plies >= self.max_plies:
            raise GameError(
                f"A game of {self.display_name} goes on after {plies} moves, and {self.max_plies} are the most that it "
                "may have: end it, or give the game a larger max_plies."
            )

    def raise_error(self) -> None:
        """Raise what went wrong in a user's rules while compiled code called them. Raises `GameError`."""
        if self.rules is not None:
            self.rules.raise_error()

    def initial(self, count: int = 1) -> States:
        """`count` first positions, uint64[count, 3]."""
        states = np.zeros((count, 3), np.uint64)
        states[:, 0], states[:, 1] = self.start
        return states

    def play(self, states: States, actions: npt.ArrayLike) -> States:
        """The states after one action each; `states` stay as they are.

        Raises `UsageError` for an action that is not legal.
        """
        chosen = np.asarray(actions, np.int64)
        legal = self.legal_mask(states)
        fits = (chosen >= 0) & (chosen < self.num_actions)
        fits[fits] &= legal[np.flatnonzero(fits), chosen[fits]]
        if not fits.all():
            wrong = int(np.flatnonzero(~fits)[0])
            raise UsageError(f"Action {chosen[wrong]} is not legal in this {self.display_name} position.")
        played = states.copy()
        play_all(self.code, played, chosen)
        self.raise_error()
        return played

    def legal_mask(self, states: States) -> npt.NDArray[np.bool_]:
        """bool[count, num_actions]; all False in a terminal state."""
        mask = np.empty((len(states), self.num_actions), np.uint8)
        mask_all(self.code, self.num_actions, states, mask)
        self.raise_error()
        return mask.view(np.bool_)

    def observe(self, states: States) -> npt.NDArray[np.float32]:
        """float32[count, obs_size]: what the net sees."""
        observations = np.empty((len(states), self.obs_size), np.float32)
        observe_all(self.code, self.cells, self.num_actions, states, observations)
        self.raise_error()
        return observations

    def winner(self, states: States) -> npt.NDArray[np.int64]:
        """int64[count]: 0 ongoing, 1, 2, 3 draw."""
        return ((states[:, 2] >> np.uint64(8)) & np.uint64(3)).astype(np.int64)

    def mover(self, states: States) -> npt.NDArray[np.int64]:
        """int64[count]: the player to move, 0 or 1; in a terminal state who moved last."""
        return (states[:, 2] & np.uint64(1)).astype(np.int64)

    def rewards(self, states: States) -> npt.NDArray[np.float32]:
        """float32[count], from the view of the player who has just moved: 1 won, -1 lost, 0 draw or ongoing."""
        won_by = self.winner(states)
        decided = (won_by == FIRST_WINS) | (won_by == SECOND_WINS)
        # At the end the player to move is not switched: it is who moved last.
        return np.where(decided, np.where(won_by == self.mover(states) + 1, 1.0, -1.0), 0.0).astype(np.float32)

    def position_keys(self, states: States) -> npt.NDArray[np.uint64]:
        """uint64[count]: equal for positions that count as one, and hardly ever for others."""
        return np.asarray(states[:, 0] * np.uint64(0x9E3779B97F4A7C15) + states[:, 1], np.uint64)

    def to_blob(self, state: States) -> bytes:
        """The stored form of one state, uint64[3]; see `codec`."""
        return bytes(self.codec.to_blobs(state[None])[0])

    def from_blob(self, blob: bytes) -> States:
        """The state, uint64[3], of its stored form. Raises `EvidenceError` for a wrong length or wrong values."""
        if len(blob) != self.state_bytes:
            raise EvidenceError(
                f"A stored state of {self.display_name} has {len(blob)} bytes where {self.state_bytes} are due."
            )
        values: Blobs = np.frombuffer(blob, np.uint8)[None]
        if not self.codec.are_states(values)[0]:
            raise EvidenceError(f"A stored state of {self.display_name} holds a cell, player or winner that is none.")
        return np.asarray(self.codec.to_states(values)[0], np.uint64)

    def draw(self, state: States) -> str:
        """The position `state`, uint64[3], as lines of text. X is the first player, O the second."""
        return board.grid(self, board.signs(self, state))

    def move_name(self, action: int) -> str:
        """How a move is written: its name, a column, or `row,col`; else its number."""
        if self.move_names is not None:
            return self.move_names[action]
        if self.num_actions == self.cells:
            return f"{action // self.board_width},{action % self.board_width}"
        return str(action)

    def parse_move(self, state: States, text: str) -> int:
        """The action that a person means by `text` in an ongoing `state`, uint64[3].

        Raises `UsageError` that says what is wrong with it.
        """
        action = self._meant(state, text.strip())
        if not self.legal_mask(state[None])[0, action]:
            raise UsageError(self._why_not(state, action))
        return action

    def _meant(self, state: States, text: str) -> int:
        if self.move_names is not None:
            return board.named(self, text)
        return board.numbered(self, text, columns=self.board_width == self.num_actions < self.cells)

    def _why_not(self, state: States, action: int) -> str:
        return f"{self.move_name(action)} is not allowed in this position."

    def how_to_move(self) -> str:
        """What a person who wrote no move is told."""
        if self.move_names is not None:
            return f"write the name of a move, such as {self.move_names[0]}"
        if self.num_actions == self.cells:
            return "write row,col, or the number of a cell"
        return f"write a number, 0 to {self.num_actions - 1}"

    @cached_property
    def _solver(self) -> Solver:
        module, _, name = (self.solver_named or "").partition(":")
        made: Solver = getattr(importlib.import_module(module), name)()
        return made

    def solver(self) -> Solver:
        """Who knows the value of every position, one a game. Raises `UsageError` for a game without a solver."""
        if self.solver_named is None:
            raise UsageError(f"There is no solver for {self.env_id}. Games with one: {', '.join(self.solved)}.")
        return self._solver


__all__ = ["ONGOING", "Game", "GameInfo", "States", "Symmetry"]
