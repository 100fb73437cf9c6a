"""Players of many games at once: at random, by a net, by a search, perfectly.

A player is asked for one move in each of a batch of positions, with one random key a position. Its move is a function
of position and key alone, so a match is the same however its games are batched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clew.core.errors import ClewError
from clew.core.randomness import key
from clew.games.game import Game
from clew.games.rollouts import rollouts
from clew.games.search import Evaluate, Search, SearchResult, SearchSettings
from clew.games.search.chance import hashed
from clew.games.states import DRAW, States, make_status

Keys = npt.NDArray[np.uint64]
"""uint64[count]: one for each position; every draw for that position is a function of it."""

_SEARCH_CELLS = 1 << 22
"""Numbers of nodes times actions that the trees of one search may hold: what bounds its memory."""
_MOST_LANES = 256
PLAYOUTS = SearchSettings(method="puct", c_puct=2.0)
"""How to search with random playouts: 2.0 is stronger than 1.25 there, and 4.0 is no better."""


class Player(Protocol):
    """Who chooses moves."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def moves(self, states: States, keys: Keys) -> npt.NDArray[np.int64]:
        """A legal action for each of `states`, uint64[count, 3], none of them terminal: int64[count].

        Raises `ClewError` for a position without a legal move, and where a net gives numbers that are none.
        """


def keys_for(seed: int, purpose: str, games: npt.NDArray[np.int64], ply: int) -> Keys:
    """One key for each of `games` (their numbers) at a ply, uint64[count]: the same in whatever batch it stands."""
    base = np.uint64(key(seed, purpose, ply) & 0xFFFF_FFFF_FFFF_FFFF)
    return hashed(base + games.astype(np.uint64))


def uniforms(keys: Keys) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each key, float64[count]."""
    return (hashed(keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def sample(weights: npt.NDArray[np.float64], keys: Keys) -> npt.NDArray[np.int64]:
    """An action for each row of `weights`, float64[count, actions], drawn in proportion to them: int64[count]."""
    heaped = np.cumsum(weights, axis=1)
    drawn = uniforms(keys) * heaped[:, -1]
    # A row's sum may be reached by rounding: the last action that weighs anything is the last that can be drawn.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    chosen: npt.NDArray[np.int64] = np.minimum((heaped <= drawn[:, None]).sum(axis=1), last)
    return chosen


def legal_moves(game: Game, states: States, name: str) -> npt.NDArray[np.bool_]:
    """bool[count, num_actions]. Raises `ClewError` where a position has no legal move."""
    legal = game.legal_mask(states)
    stuck = ~legal.any(axis=1)
    if stuck.any():
        raise ClewError(
            f"{name} was asked for a move in a {game.display_name} position that has none: the game is over there."
        )
    return legal


def checked(evaluate: Evaluate, game: Game, name: str) -> Evaluate:
    """`evaluate`, with a `ClewError` where logits or values are NaN, infinite or of another game's size."""

    def evaluate_checked(
        observations: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        logits, values = evaluate(observations)
        if logits.shape != (len(observations), game.num_actions):
            raise ClewError(
                f"{name} rates {logits.shape[-1]} actions where {game.display_name} has {game.num_actions}: it is a "
                "model of another game."
            )
        if not (np.isfinite(logits).all() and np.isfinite(values).all()):
            what = "policy" if np.isfinite(values).all() else "value"
            raise ClewError(
                f"The {what} of {name} is not a number in some position: its training broke. Use an earlier model."
            )
        return logits, values

    return evaluate_checked


class RandomPlayer:
    """Plays uniformly over the legal moves."""

    def __init__(self, game: Game, *, name: str = "random") -> None:
        self.name = name
        self._game = game

    def moves(self, states: States, keys: Keys) -> npt.NDArray[np.int64]:
        """See `Player.moves`."""
        return sample(legal_moves(self._game, states, self.name).astype(np.float64), keys)


class NetPlayer:
    """Plays by the policy of a net alone: the likeliest legal move at `temperature` 0, else drawn from the softmax."""

    def __init__(self, game: Game, evaluate: Evaluate, *, temperature: float = 0.0, name: str) -> None:
        self.name = name
        self._game = game
        self._evaluate = checked(evaluate, game, name)
        self._temperature = temperature

    def moves(self, states: States, keys: Keys) -> npt.NDArray[np.int64]:
        """See `Player.moves`."""
        legal = legal_moves(self._game, states, self.name)
        logits, _ = self._evaluate(self._game.observe(states))
        masked = np.where(legal, logits.astype(np.float64), -np.inf)
        best: npt.NDArray[np.int64] = masked.argmax(axis=1)
        if self._temperature <= 0:
            return best
        highest = np.take_along_axis(masked, best[:, None], axis=1)
        return sample(np.exp((masked - highest) / self._temperature), keys)


class SearchPlayer:
    """Plays what a search finds, begun anew for each move: its own choice at `temperature` 0, else drawn from
    its distribution raised to 1 / temperature."""

    def __init__(
        self, game: Game, evaluate: Evaluate, settings: SearchSettings, *, temperature: float = 0.0, name: str
    ) -> None:
        self.name = name
        self._game = game
        self._evaluate = evaluate
        self._settings = settings
        self._temperature = temperature
        self._most = max(1, min(_MOST_LANES, _SEARCH_CELLS // (4 * settings.simulations * game.num_actions)))
        self._lanes = 0
        self._search: Search | None = None

    def moves(self, states: States, keys: Keys) -> npt.NDArray[np.int64]:
        """See `Player.moves`."""
        legal_moves(self._game, states, self.name)
        wanted = min(self._most, len(states))
        if self._search is None or wanted > self._lanes:
            self._lanes = wanted
            self._search = Search(self._game, wanted, self._settings)
        chosen = np.empty(len(states), np.int64)
        for start in range(0, len(states), self._lanes):
            part = slice(start, min(start + self._lanes, len(states)))
            found = self._run(self._search, states[part], keys[part])
            if self._temperature <= 0:
                chosen[part] = found.action[: part.stop - start]
            else:
                policy = found.policy[: part.stop - start].astype(np.float64)
                sharpened = (policy / policy.max(axis=1, keepdims=True)) ** (1.0 / self._temperature)
                chosen[part] = sample(sharpened, keys[part])
        return chosen

    def _run(self, search: Search, states: States, keys: Keys) -> SearchResult:
        """Search `states`, which may be fewer than the lanes: the other lanes get a game that is over."""
        padded = self._game.initial(self._lanes)
        padded[:, 2] = make_status(0, DRAW, 0)
        padded[: len(states)] = states
        seeds = np.zeros(self._lanes, np.uint64)
        seeds[: len(states)] = keys
        search.reset()
        try:
            return search.run(padded, self._evaluate, seeds=seeds)
        except ClewError as error:
            raise ClewError(f"{self.name}: {error}") from error


class PerfectPlayer:
    """Plays a move that keeps the value of the position, any of them alike.

    Raises `UsageError` for a game without a solver.
    """

    def __init__(self, game: Game, *, name: str = "perfect") -> None:
        self.name = name
        self._game = game
        self._solver = game.solver()

    def moves(self, states: States, keys: Keys) -> npt.NDArray[np.int64]:
        """See `Player.moves`."""
        from clew.games.perfect import optimal_moves

        legal_moves(self._game, states, self.name)
        return sample(optimal_moves(self._solver.outcomes(states)).astype(np.float64), keys)


def random_player(game: Game) -> Player:
    """Plays uniformly over the legal moves."""
    return RandomPlayer(game)


def perfect_player(game: Game) -> Player:
    """Never spoils a position. Raises `UsageError` for a game without a solver."""
    return PerfectPlayer(game)


def net_player(
    game: Game,
    evaluate: Evaluate,
    *,
    simulations: int = 0,
    settings: SearchSettings | None = None,
    temperature: float = 0.0,
    name: str = "net",
) -> Player:
    """Plays by a net, with a search of so many simulations a move; 0: by its policy alone.

    `settings` say how it searches otherwise.
    """
    if simulations == 0:
        return NetPlayer(game, evaluate, temperature=temperature, name=name)
    wanted = replace(settings or SearchSettings(), simulations=simulations)
    return SearchPlayer(game, evaluate, wanted, temperature=temperature, name=name)


def mcts_player(game: Game, simulations: int, *, temperature: float = 0.0) -> Player:
    """A search of so many simulations without a net: PUCT with equal priors and random playouts."""
    settings = replace(PLAYOUTS, simulations=simulations)
    evaluate = rollouts(game, key(0, "playouts", game.env_id))
    return SearchPlayer(game, evaluate, settings, temperature=temperature, name=f"mcts:{simulations}")
