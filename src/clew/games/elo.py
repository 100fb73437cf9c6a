"""Elo ratings from the results between pairs: Bradley-Terry by maximum likelihood, with error bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.core.errors import ClewError

ELO = 400.0 / math.log(10.0)
"""Points of a rating difference for one unit of log odds."""
_Z = 1.959963984540054
_STEPS = 100


@dataclass(frozen=True)
class Pairing:
    """What player `one` scored against player `two` (their numbers)."""

    one: int
    two: int
    wins: int
    draws: int
    losses: int


@dataclass(frozen=True)
class Ratings:
    """Ratings of players, in Elo points."""

    elo: npt.NDArray[np.float64]
    """float64[players]; the anchor's is 0."""
    covariance: npt.NDArray[np.float64]
    """float64[players, players], about the mean of all players."""
    anchor: int

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """float64[players]: half of the 95% interval of each player's distance from the anchor; the anchor's is 0."""
        return np.array([self.difference(player, self.anchor)[1] for player in range(len(self.elo))])

    def difference(self, one: int, two: int) -> tuple[float, float]:
        """How far `one` is above `two`, and half of that distance's 95% interval."""
        spread = self.covariance[one, one] + self.covariance[two, two] - 2 * self.covariance[one, two]
        return float(self.elo[one] - self.elo[two]), _Z * math.sqrt(max(0.0, float(spread)))

    def chance_above(self, one: int, two: int) -> float:
        """The chance that `one` is the stronger, from the normal approximation of the likelihood."""
        distance, half = self.difference(one, two)
        return 0.5 if half == 0 else 0.5 * (1 + math.erf(distance / (half / _Z) / math.sqrt(2)))


def rate(pairings: Sequence[Pairing], players: int, *, anchor: int = 0, prior_draws: float = 0.5) -> Ratings:
    """Elo ratings of `players` players by maximum likelihood (Bradley and Terry 1952), draws counted as half wins.

    Each pair that met gets `prior_draws` draws more, so that whoever won or lost all stays finite. The error bars
    come from the Hessian of the likelihood, which takes each game as decided: many draws make them too wide, never
    too narrow. Raises `ClewError` where results do not connect all players, or nobody's loss bounds a rating.
    """
    points = np.zeros((players, players))
    for pairing in pairings:
        if pairing.wins + pairing.draws + pairing.losses:
            points[pairing.one, pairing.two] += pairing.wins + pairing.draws / 2
            points[pairing.two, pairing.one] += pairing.losses + pairing.draws / 2
    met = (points + points.T) > 0
    points += met * (prior_draws / 2)
    # A finite maximum exists if each player can be reached from each other one by a chain of wins (Ford 1957).
    reached = (points > 0) | np.eye(players, dtype=bool)
    for _ in range(players.bit_length()):
        reached = reached @ reached
    if not reached.all():
        alone = int(np.flatnonzero(~reached[anchor] | ~reached[:, anchor])[0])
        raise ClewError(
            f"Player {alone} cannot be rated against player {anchor}: no chain of games with points for both sides "
            "joins them. Play more pairs, or keep a prior of some draws."
        )
    games = points + points.T
    ratings = np.zeros(players)
    for _ in range(_STEPS):
        expected = games / (1 + np.exp(np.clip(ratings[None, :] - ratings[:, None], -700, 700)))
        gradient = (points - expected).sum(axis=1)
        step = np.linalg.pinv(_information(games, ratings)) @ gradient
        # Far from the maximum Newton's steps overshoot where the logistic is flat.
        ratings += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-12:
            break
    covariance: npt.NDArray[np.float64] = ELO * ELO * np.linalg.pinv(_information(games, ratings)).astype(np.float64)
    return Ratings((ratings - ratings[anchor]) * ELO, covariance, anchor)


def _information(games: npt.NDArray[np.float64], ratings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Minus the Hessian of the log likelihood, a Laplacian matrix: games times p (1 - p)."""
    half = (ratings[:, None] - ratings[None, :]) / 2
    weights = games / (4 * np.cosh(np.clip(half, -350, 350)) ** 2)
    information: npt.NDArray[np.float64] = np.diag(weights.sum(axis=1)) - weights
    return information
