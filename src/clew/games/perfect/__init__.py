"""Perfect play: exact scores of every move in tictactoe and connect4, and a player that never errs."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
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
from clew.games.rules import Game, States

__all__ = [
    "ILLEGAL",
    "SOLVED",
    "ConnectFourSolver",
    "Scores",
    "Solver",
    "TicTacToeSolver",
    "best_moves",
    "decisive",
    "find_solver",
    "optimal_moves",
    "outcomes_of",
    "perfect_moves",
    "reachable_layers",
    "values_of",
]

SOLVED = ("tictactoe", "connect4")
"""The games that have a solver."""


@functools.cache
def find_solver(env_id: str) -> Solver:
    """The solver of a game, one a process. Raises `UsageError` for a game that has none."""
    if env_id == "tictactoe":
        return TicTacToeSolver()
    if env_id == "connect4":
        return ConnectFourSolver()
    raise UsageError(f"There is no solver for {env_id}. Games with one: {', '.join(SOLVED)}.")


def perfect_moves(
    game: Game, states: States, random: np.random.Generator, *, solver: Solver | None = None
) -> NDArray[np.int64]:
    """One value-optimal move for each ongoing state, int64[count], drawn evenly among those that keep the value.

    In a lost position every move keeps it, so any may come. Raises `UsageError` for a game without a solver and for a
    terminal state.
    """
    outcomes = (solver or find_solver(game.env_id)).outcomes(states)
    optimal = optimal_moves(outcomes)
    if not optimal.any(axis=1).all():
        raise UsageError(f"There is no move to choose: a {game.display_name} position is already decided.")
    # The largest of independent draws is evenly distributed over those that take part.
    chosen: NDArray[np.int64] = np.where(optimal, random.random(optimal.shape), -1.0).argmax(axis=1)
    return chosen
