"""A state as every room of games reads it, and what a trainer must know of a game whose rules it does not have.

A state is three words, uint64[3]: the first player's stones, the second player's stones, and `status`: bit 0 the
player to move (0 the first), bits 8-9 the winner (0 ongoing, 1, 2, 3 draw), bits 16-47 whatever else the rules need
to remember (othello: passes in a row). A board is uint64[count, 3].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

States = npt.NDArray[np.uint64]

ONGOING, FIRST_WINS, SECOND_WINS, DRAW = 0, 1, 2, 3
"""Winner of a state."""
MOST_CELLS = 64
MOST_ACTIONS = 64
"""A game may have one more: the pass, of a player who has no other move."""
PASS = 64
"""The action of a player who has no other."""
EXTRA_SHIFT = 16
MOST_EXTRA_BYTES = 4

_ONE = np.uint64(1)


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


@njit(cache=True, inline="always")
def mover(status: np.uint64) -> int:
    """The player to move: 0 or 1. In a terminal state: who moved last."""
    return int(np.int64(status & _ONE))


@njit(cache=True, inline="always")
def winner(status: np.uint64) -> int:
    """0 ongoing, 1, 2, 3 draw."""
    return int(np.int64((status >> np.uint64(8)) & np.uint64(3)))


@njit(cache=True, inline="always")
def extra(status: np.uint64) -> int:
    """What else the rules remember."""
    return int(np.int64(status >> np.uint64(16)))


@njit(cache=True, inline="always")
def make_status(player: int, won_by: int, remembered: int) -> np.uint64:
    """The status word."""
    return np.uint64(player) | (np.uint64(won_by) << np.uint64(8)) | (np.uint64(remembered) << np.uint64(16))
