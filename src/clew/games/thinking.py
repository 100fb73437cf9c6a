"""A search that tells what it thinks of one position, move after move of one game."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clew.core.randomness import key
from clew.games.game import Game
from clew.games.players import checked
from clew.games.search import Evaluate, Search, SearchSettings
from clew.games.states import States


@dataclass(frozen=True)
class Thought:
    """What is thought of a position, from the view of the player to move."""

    action: int
    """What would be played."""
    value: float
    """-1 lost, 1 won."""
    legal: npt.NDArray[np.bool_]
    """bool[num_actions]."""
    priors: npt.NDArray[np.float64]
    """float64[num_actions]: the evaluator's policy over the legal moves."""
    visits: npt.NDArray[np.int32]
    """int32[num_actions]; all 0 without a search."""
    action_values: npt.NDArray[np.float32]
    """float32[num_actions]; NaN where nothing is known."""
    line: tuple[int, ...]
    """The moves that are expected from here on, `action` first."""

    def best(self, count: int) -> list[int]:
        """The `count` legal moves thought best: what would be played, then by visits, then by prior."""
        ordered = sorted(
            np.flatnonzero(self.legal),
            key=lambda move: (move != self.action, -self.visits[move], -self.priors[move], move),
        )
        return [int(move) for move in ordered[:count]]


class Thinker:
    """Thinks of one game's positions in turn, and keeps what it knows of those to come.

    `simulations` 0: the evaluator's policy and value alone.
    """

    def __init__(
        self, game: Game, evaluate: Evaluate, *, simulations: int, settings: SearchSettings, seed: int, name: str
    ) -> None:
        self._game = game
        self._evaluate = checked(evaluate, game, name)
        self._seed = seed
        self._search = Search(game, 1, replace(settings, simulations=simulations)) if simulations else None

    def think(self, state: States, ply: int) -> Thought:
        """Think of an ongoing position, uint64[3], after `ply` plies."""
        states = state[None]
        logits, values = self._evaluate(self._game.observe(states))
        legal = self._game.legal_mask(states)[0]
        masked = np.where(legal, logits[0].astype(np.float64), -np.inf)
        priors: npt.NDArray[np.float64] = np.exp(masked - masked.max())
        priors /= priors.sum()
        if self._search is None:
            action = int(masked.argmax())
            nothing = np.zeros(self._game.num_actions, np.int32)
            unknown = np.full(self._game.num_actions, np.nan, np.float32)
            return Thought(action, float(values[0]), legal, priors, nothing, unknown, (action,))
        seeds = np.array([key(self._seed, "think", ply) & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)
        found = self._search.run(states, self._evaluate, seeds=seeds)
        return Thought(
            int(found.action[0]),
            float(found.value[0]),
            legal,
            priors,
            found.visits[0],
            found.action_values[0],
            tuple(self._search.principal_variation(0)),
        )

    def advance(self, action: int) -> None:
        """A move was played: keep what is known of what follows it."""
        if self._search is not None:
            self._search.advance(np.array([action], np.int64))

    def reset(self) -> None:
        """Moves were taken back: begin anew."""
        if self._search is not None:
            self._search.reset()
