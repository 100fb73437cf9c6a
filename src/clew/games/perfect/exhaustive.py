"""Playing a small game against every reply there is: proof, not a sample, that a player never loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.games.game import Game
from clew.games.perfect.scores import optimal_moves
from clew.games.perfect.tictactoe import reachable_layers
from clew.games.states import DRAW, ONGOING, States


@dataclass(frozen=True)
class Exhaustive:
    """What a player that always moves alike in the same position does, over all games that can be played with it."""

    lost_ends: tuple[int, int]
    """Different final positions in which it has lost, as first and as second player."""
    drawn_ends: tuple[int, int]
    won_ends: tuple[int, int]
    value_optimal: int
    """In how many of all reachable positions that go on its move keeps the value, met in its own games or not."""
    positions: int
    """How many of those there are: of tictactoe 4,520."""

    @property
    def never_loses(self) -> bool:
        """Whether no opponent can win against it, from either seat."""
        return self.lost_ends == (0, 0)

    @property
    def always_optimal(self) -> bool:
        """Whether its move keeps the value in every reachable position."""
        return self.value_optimal == self.positions


def play_all_replies(game: Game, policy_of: Callable[[States], NDArray[np.int64]]) -> Exhaustive:
    """Follow every game, of one that `lists_positions`, where one side moves as `policy_of` says and the other anyhow.

    Raises `UsageError` for another game: it has too many positions.
    """
    every = np.concatenate(reachable_layers(game))
    every = every[game.winner(every) == ONGOING]
    moves = policy_of(every)
    choice = {state.tobytes(): int(move) for state, move in zip(every, moves, strict=True)}
    optimal = optimal_moves(game.solver().scores(every))[np.arange(len(every)), moves]

    ends = np.zeros((2, 4), np.int64)
    for seat in (0, 1):
        states = game.initial()
        while len(states):
            if int(game.mover(states)[0]) == seat:
                states = game.play(states, [choice[state.tobytes()] for state in states])
            else:
                rows, actions = np.nonzero(game.legal_mask(states))
                states = game.play(states[rows], actions)
            states = np.unique(states, axis=0)
            won_by = game.winner(states)
            ends[seat] += np.bincount(won_by, minlength=4)
            states = states[won_by == ONGOING]
    return Exhaustive(
        lost_ends=(int(ends[0, 2]), int(ends[1, 1])),
        drawn_ends=(int(ends[0, DRAW]), int(ends[1, DRAW])),
        won_ends=(int(ends[0, 1]), int(ends[1, 2])),
        value_optimal=int(np.count_nonzero(optimal)),
        positions=len(every),
    )
