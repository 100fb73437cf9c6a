"""The protocol of the games: what is legal, what a move does, what a net sees, how a state is stored.

A state is three words, uint64[3]: the first player's stones, the second player's stones, and `status`: bit 0 the
player to move (0 the first), bits 8-9 the winner (0 ongoing, 1, 2, 3 draw), bits 16-17 passes in a row. A board is
uint64[count, 3]. The compiled functions here take single words and serve the search; the methods of `Game` take boards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.core.errors import EvidenceError, UsageError, nearest
from clew.games import connect4, othello, tictactoe

States = npt.NDArray[np.uint64]

TICTACTOE, CONNECT4, OTHELLO = 0, 1, 2
"""What the compiled functions call the games."""
ONGOING, FIRST_WINS, SECOND_WINS, DRAW = 0, 1, 2, 3
"""Winner of a state."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@njit(cache=True, inline="always")
def mover(status: np.uint64) -> int:
    """The player to move: 0 or 1. In a terminal state: who moved last."""
    return int(np.int64(status & _ONE))


@njit(cache=True, inline="always")
def winner(status: np.uint64) -> int:
    """0 ongoing, 1, 2, 3 draw."""
    return int(np.int64((status >> np.uint64(8)) & np.uint64(3)))


@njit(cache=True, inline="always")
def passes(status: np.uint64) -> int:
    """Passes in a row."""
    return int(np.int64((status >> np.uint64(16)) & np.uint64(3)))


@njit(cache=True, inline="always")
def make_status(player: int, won_by: int, passed: int) -> np.uint64:
    """The status word."""
    return np.uint64(player) | (np.uint64(won_by) << np.uint64(8)) | (np.uint64(passed) << np.uint64(16))


@njit(cache=True)
def legal_bits(game: int, first: np.uint64, second: np.uint64, status: np.uint64) -> np.uint64:
    """Bit a is set where action a is legal. None in an ongoing othello state: the only action is the pass (64)."""
    if winner(status) != ONGOING:
        return _NONE
    if game == CONNECT4:
        return connect4.legal_columns(first, second)
    if game == TICTACTOE:
        return tictactoe.legal_cells(first, second)
    if mover(status) == 0:
        return othello.legal_cells(first, second)
    return othello.legal_cells(second, first)


@njit(cache=True)
def play(
    game: int, first: np.uint64, second: np.uint64, status: np.uint64, action: int
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The state after a legal `action` in an ongoing state. At the end the player to move is not switched."""
    player = mover(status)
    own, other = (first, second) if player == 0 else (second, first)
    won_by, passed = ONGOING, 0
    if game == CONNECT4:
        own = connect4.drop(own, other, action)
        if connect4.has_four(own):
            won_by = player + 1
        elif own | other == connect4.ALL_CELLS:
            won_by = DRAW
    elif game == TICTACTOE:
        own = tictactoe.place(own, action)
        if tictactoe.has_line(own):
            won_by = player + 1
        elif own | other == tictactoe.ALL_CELLS:
            won_by = DRAW
    else:
        if action == othello.PASS:
            passed = passes(status) + 1
        else:
            turned = othello.flips(own, other, action)
            own |= turned | (_ONE << np.uint64(action))
            other &= ~turned
        if passed == 2 or (othello.legal_cells(other, own) == _NONE and othello.legal_cells(own, other) == _NONE):
            mine, theirs = othello.count(own), othello.count(other)
            won_by = DRAW if mine == theirs else (player + 1 if mine > theirs else 2 - player)
    next_player = player if won_by != ONGOING else 1 - player
    if player == 0:
        return own, other, make_status(next_player, won_by, passed)
    return other, own, make_status(next_player, won_by, passed)


@njit(cache=True, inline="always")
def cell_bit(game: int, cell: int) -> np.uint64:
    """The bit that stands for `cell` = row * width + column."""
    if game == CONNECT4:
        return _ONE << np.uint64((cell % 7) * 7 + cell // 7)
    return _ONE << np.uint64(cell)


@njit(cache=True)
def _play_all(game: int, states: States, actions: npt.NDArray[np.int64]) -> None:
    for index in range(len(states)):
        state = states[index]
        state[0], state[1], state[2] = play(game, state[0], state[1], state[2], actions[index])


@njit(cache=True)
def fill_mask(game: int, num_actions: int, first: np.uint64, second: np.uint64, status: np.uint64, mask: Any) -> None:
    """Write 1 into `mask[a]` where action a is legal, 0 elsewhere."""
    bits = legal_bits(game, first, second, status)
    for action in range(min(num_actions, 64)):
        mask[action] = (bits >> np.uint64(action)) & _ONE
    if num_actions == 65:
        mask[64] = 1 if bits == _NONE and winner(status) == ONGOING else 0


@njit(cache=True)
def fill_observation(
    game: int, cells: int, num_actions: int, first: np.uint64, second: np.uint64, status: np.uint64, observation: Any
) -> None:
    """Write [first's cells | second's cells | legal mask | one-hot(player to move)] into `observation`."""
    for cell in range(cells):
        bit = cell_bit(game, cell)
        observation[cell] = 1.0 if first & bit else 0.0
        observation[cells + cell] = 1.0 if second & bit else 0.0
    fill_mask(game, num_actions, first, second, status, observation[2 * cells : 2 * cells + num_actions])
    player = mover(status)
    observation[2 * cells + num_actions] = 1.0 - player
    observation[2 * cells + num_actions + 1] = player


@njit(cache=True)
def _observe_all(game: int, cells: int, num_actions: int, states: States, out: npt.NDArray[np.float32]) -> None:
    for index in range(len(states)):
        state = states[index]
        fill_observation(game, cells, num_actions, state[0], state[1], state[2], out[index])


@njit(cache=True)
def _mask_all(game: int, num_actions: int, states: States, out: npt.NDArray[np.uint8]) -> None:
    for index in range(len(states)):
        state = states[index]
        fill_mask(game, num_actions, state[0], state[1], state[2], out[index])


@dataclass(frozen=True)
class GameInfo:
    """What the replay database's `game_metadata` says of a game: all that a trainer needs, for any game."""

    env_id: str
    display_name: str
    board_width: int
    board_height: int
    num_actions: int
    obs_size: int
    legal_mask_offset: int
    player_count: int = 2


@dataclass(frozen=True)
class Game(GameInfo):
    """A game whose rules are here. Compiled functions know it by `code`."""

    code: int = field(kw_only=True)
    state_bytes: int = field(kw_only=True)

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.board_width * self.board_height

    def initial(self, count: int = 1) -> States:
        """`count` first positions, uint64[count, 3]."""
        states = np.zeros((count, 3), np.uint64)
        if self.code == OTHELLO:
            states[:, 0], states[:, 1] = othello.START_FIRST, othello.START_SECOND
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
        _play_all(self.code, played, chosen)
        return played

    def legal_mask(self, states: States) -> npt.NDArray[np.bool_]:
        """bool[count, num_actions]; all False in a terminal state."""
        mask = np.empty((len(states), self.num_actions), np.uint8)
        _mask_all(self.code, self.num_actions, states, mask)
        return mask.view(np.bool_)

    def observe(self, states: States) -> npt.NDArray[np.float32]:
        """float32[count, obs_size]: what the net sees."""
        observations = np.empty((len(states), self.obs_size), np.float32)
        _observe_all(self.code, self.cells, self.num_actions, states, observations)
        return observations

    def winner(self, states: States) -> npt.NDArray[np.int64]:
        """int64[count]: 0 ongoing, 1, 2, 3 draw."""
        return ((states[:, 2] >> np.uint64(8)) & np.uint64(3)).astype(np.int64)

    def mover(self, states: States) -> npt.NDArray[np.int64]:
        """int64[count]: the player to move, 0 or 1; in a terminal state who moved last."""
        return (states[:, 2] & _ONE).astype(np.int64)

    def rewards(self, states: States) -> npt.NDArray[np.float32]:
        """float32[count], from the view of the player who has just moved: 1 won, -1 lost, 0 draw or ongoing."""
        won_by = self.winner(states)
        decided = (won_by == FIRST_WINS) | (won_by == SECOND_WINS)
        # At the end the player to move is not switched: it is who moved last.
        return np.where(decided, np.where(won_by == self.mover(states) + 1, 1.0, -1.0), 0.0).astype(np.float32)

    def to_blob(self, state: States) -> bytes:
        """The stored form of one state, uint64[3]: cells (0, 1, 2), player (1, 2), winner, and othello's passes."""
        blob = np.zeros(self.state_bytes, np.uint8)
        for cell in range(self.cells):
            bit = cell_bit(self.code, cell)
            blob[cell] = 1 if state[0] & bit else 2 if state[1] & bit else 0
        blob[self.cells] = mover(state[2]) + 1
        blob[self.cells + 1] = winner(state[2])
        if self.code == OTHELLO:
            blob[self.cells + 2] = passes(state[2])
        return blob.tobytes()

    def from_blob(self, blob: bytes) -> States:
        """The state, uint64[3], of its stored form. Raises `EvidenceError` for a wrong length or wrong values."""
        if len(blob) != self.state_bytes:
            raise EvidenceError(
                f"A stored state of {self.display_name} has {len(blob)} bytes where {self.state_bytes} are due."
            )
        values = np.frombuffer(blob, np.uint8)
        tail = values[self.cells :]
        if values[: self.cells].max() > 2 or tail[0] not in (1, 2) or tail[1] > 3 or (len(tail) > 2 and tail[2] > 2):
            raise EvidenceError(f"A stored state of {self.display_name} holds a cell, player or winner that is none.")
        state = np.zeros(3, np.uint64)
        for cell in np.flatnonzero(values[: self.cells]):
            state[values[cell] - 1] |= cell_bit(self.code, int(cell))
        state[2] = make_status(int(tail[0]) - 1, int(tail[1]), int(tail[2]) if len(tail) > 2 else 0)
        return state


GAMES = {
    game.env_id: game
    for game in (
        Game("tictactoe", "Tic-Tac-Toe", 3, 3, 9, 29, 18, code=TICTACTOE, state_bytes=11),
        Game("connect4", "Connect 4", 7, 6, 7, 93, 84, code=CONNECT4, state_bytes=44),
        Game("othello", "Othello", 8, 8, 65, 195, 128, code=OTHELLO, state_bytes=67),
    )
}
"""The games whose rules are here, by env_id."""


def find_game(env_id: str) -> Game:
    """The game called `env_id`. Raises `UsageError` naming the nearest for an unknown one."""
    if env_id not in GAMES:
        raise UsageError(
            f"There is no game '{env_id}'.{nearest(env_id, list(GAMES))} Games with rules here: {', '.join(GAMES)}."
        )
    return GAMES[env_id]
