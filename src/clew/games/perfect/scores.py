"""What a score means, the same for every solved game.

The score of a move, seen by the player who makes it, under perfect play of both from then on: 0 a draw; positive a
win, negative a loss, and its size is how many stones the winner has left at the end plus one, of those that he would
have placed on a full board. So a win is the larger the sooner it comes. In connect4 a win with the 21st stone scores 1
and one with the 4th scores 18; in tictactoe the fifth stone of the first player scores 1.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clew.games.states import States

ILLEGAL = -128
"""The score of a move that is not legal. In a terminal state no move is."""

Scores = NDArray[np.int8]
"""int8[count, actions]: the score of each move, `ILLEGAL` where it is none."""


class Solver(Protocol):
    """Knows the value of every position of one game."""

    def scores(self, states: States) -> Scores:
        """The exact score of every move, int8[count, actions]."""
        ...

    def outcomes(self, states: States) -> Scores:
        """What every move leads to, int8[count, actions]: 1 a win, 0 a draw, -1 a loss, `ILLEGAL` no move."""
        ...


class Careful(Solver, Protocol):
    """A solver of a game that has too many positions to be listed."""

    def careful_moves(self, states: States) -> NDArray[np.bool_]:
        """bool[count, actions]: the moves of a player who looks a move or two ahead; never none."""
        ...


def outcomes_of(scores: Scores) -> Scores:
    """The sign of each score, `ILLEGAL` kept: int8[count, actions]."""
    return np.where(scores == ILLEGAL, ILLEGAL, np.sign(scores)).astype(np.int8)


def values_of(scores: Scores) -> NDArray[np.int8]:
    """The value of each position for the player to move, int8[count]: 1, 0 or -1; 0 where no move is legal."""
    best = scores.max(axis=1)
    return np.where(best == ILLEGAL, 0, np.sign(best)).astype(np.int8)


def optimal_moves(scores: Scores) -> NDArray[np.bool_]:
    """bool[count, actions]: moves that keep the value of the position (in a lost one every legal move)."""
    kept: NDArray[np.bool_] = np.sign(scores) == np.sign(scores.max(axis=1, keepdims=True))
    kept &= scores != ILLEGAL
    return kept


def best_moves(scores: Scores) -> NDArray[np.bool_]:
    """bool[count, actions]: moves of the highest score: the soonest win, or the latest loss."""
    highest: NDArray[np.bool_] = scores == scores.max(axis=1, keepdims=True)
    highest &= scores != ILLEGAL
    return highest


def decisive(scores: Scores) -> NDArray[np.bool_]:
    """bool[count]: positions where not every legal move keeps the value, so that something can be done wrong."""
    spoiling: NDArray[np.bool_] = (scores != ILLEGAL) & ~optimal_moves(scores)
    found: NDArray[np.bool_] = np.asarray(spoiling.any(axis=1))
    return found
