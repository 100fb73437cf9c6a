"""Perfect play: exact scores of every move in tictactoe and connect4, and a player that never errs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.games.game import Game
from clew.games.perfect.connect4 import ConnectFourSolver
from clew.games.perfect.scores import (
    ILLEGAL,
    Scores,
    Solver,
    best_moves,
    decisive,
    optimal_moves,
    outcomes_of,
    values_of,
)
from clew.games.perfect.tictactoe import TicTacToeSolver, reachable_layers
from clew.games.states import States

__all__ = [
    "ILLEGAL",
    "ConnectFourSolver",
    "Scores",
    "Solver",
    "TicTacToeSolver",
    "best_moves",
    "decisive",
    "optimal_moves",
    "outcomes_of",
    "perfect_moves",
    "reachable_layers",
    "values_of",
]


def perfect_moves(
    game: Game, states: States, random: np.random.Generator, *, solver: Solver | None = None
) -> NDArray[np.int64]:
    """One value-optimal move for each ongoing state, int64[count], drawn evenly among those that keep the value.

    In a lost position every move keeps it, so any may come. Raises `UsageError` for a game without a solver and for a
    terminal state.
    """
    outcomes = (solver or game.solver()).outcomes(states)
    optimal = optimal_moves(outcomes)
    if not optimal.any(axis=1).all():
        raise UsageError(f"There is no move to choose: a {game.display_name} position is already decided.")
    # The largest of independent draws is evenly distributed over those that take part.
    chosen: NDArray[np.int64] = np.where(optimal, random.random(optimal.shape), -1.0).argmax(axis=1)
    return chosen
