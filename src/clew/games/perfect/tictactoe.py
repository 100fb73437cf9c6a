"""Tic-tac-toe solved outright: every position that can be reached, with the score of every move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.games.game import Game
from clew.games.perfect.scores import ILLEGAL, Scores, outcomes_of
from clew.games.states import DRAW, ONGOING, States
from clew.games.tictactoe import TICTACTOE

_CELLS = 9


class TicTacToeSolver:
    """Minimax over the 5,478 positions that can be reached, done once when it is made (milliseconds)."""

    def __init__(self) -> None:
        self._scores = np.full((1 << (2 * _CELLS), _CELLS), ILLEGAL, np.int8)
        game, layers = TICTACTOE, reachable_layers(TICTACTOE)
        for stones, states in reversed(list(enumerate(layers))):
            legal = game.legal_mask(states)
            rows, actions = np.nonzero(legal)
            after = game.play(states[rows], actions)
            ended = game.winner(after)
            wins = (_CELLS + 1 - stones) // 2
            replies = self._scores[_index(after)].max(axis=1)
            # The last player is the one who won: nobody loses by his own move.
            score = np.where(ended == ONGOING, -replies, np.where(ended == DRAW, 0, wins))
            self._scores[_index(states)[rows], actions] = score

    def scores(self, states: States) -> Scores:
        """The exact score of every move (see `clew.games.perfect.scores`), int8[count, 9]."""
        found: Scores = self._scores[_index(states)]
        return found

    def outcomes(self, states: States) -> Scores:
        """Win, draw or loss of every move, int8[count, 9] of 1, 0, -1 and `ILLEGAL`."""
        return outcomes_of(self.scores(states))


def reachable_layers(game: Game) -> list[States]:
    """All positions of a game that `lists_positions`, by ply, each uint64[count, 3] in a fixed order.

    Of tictactoe there are 5,478 together. Raises `UsageError` for a game that has too many.
    """
    if not game.lists_positions:
        raise UsageError(f"Every game of {game.display_name} cannot be played. Only tictactoe is small enough.")
    layers = [game.initial()]
    while True:
        rows, actions = np.nonzero(game.legal_mask(layers[-1]))
        if not len(rows):
            return layers
        layers.append(np.unique(game.play(layers[-1][rows], actions), axis=0))


def _index(states: States) -> NDArray[np.int64]:
    return (states[:, 0] | (states[:, 1] << np.uint64(_CELLS))).astype(np.int64)
