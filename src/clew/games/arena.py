"""Matches: two players, half of the games from each seat, all games in lockstep."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.core.errors import ClewError, UsageError
from clew.core.intervals import wilson
from clew.games.game import Game
from clew.games.players import Player, RandomPlayer, keys_for
from clew.games.states import FIRST_WINS, ONGOING, SECOND_WINS, States

EVAL_WIN_THRESHOLD = 0.55
"""The score above which a candidate replaces the champion."""

_OPENING_ATTEMPTS = 200


@dataclass(frozen=True)
class PlayedGames:
    """Games that were played out, game by game."""

    actions: npt.NDArray[np.int16]
    """int16[games, plies], -1 after a game's end."""
    winners: npt.NDArray[np.int64]
    """int64[games]: 1, 2, or 3 for a draw."""
    one_first: npt.NDArray[np.bool_]
    """bool[games]: whether player one had the first move."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[games]: plies played."""
        plies: npt.NDArray[np.int64] = (self.actions >= 0).sum(axis=1)
        return plies

    @property
    def distinct(self) -> int:
        """How many of the games differ in who began or in some move."""
        return len(np.unique(np.column_stack([self.one_first.astype(np.int16), self.actions]), axis=0))


@dataclass(frozen=True)
class Tally:
    """Results from one seat."""

    wins: int
    draws: int
    losses: int

    @property
    def games(self) -> int:
        """All of them."""
        return self.wins + self.draws + self.losses


@dataclass(frozen=True)
class MatchResult:
    """A match from the view of player `one`."""

    env_id: str
    one: str
    two: str
    as_first: Tally
    as_second: Tally
    average_length: float
    """Plies a game."""
    distinct_games: int
    """Players without chance play the same game again and again: this many differed."""

    @property
    def games(self) -> int:
        """Games played."""
        return self.as_first.games + self.as_second.games

    @property
    def wins(self) -> int:
        """Games that `one` won."""
        return self.as_first.wins + self.as_second.wins

    @property
    def draws(self) -> int:
        """Games drawn."""
        return self.as_first.draws + self.as_second.draws

    @property
    def losses(self) -> int:
        """Games that `one` lost."""
        return self.as_first.losses + self.as_second.losses

    @property
    def win_rate(self) -> float:
        """Wins of all games."""
        return self.wins / self.games

    @property
    def score(self) -> float:
        """(wins + draws / 2) of all games."""
        return (self.wins + self.draws / 2) / self.games

    @property
    def score_interval(self) -> tuple[float, float]:
        """95% Wilson interval of the score. Draws make it wider than need be, never too narrow.

        It holds for games that are independent: where `distinct_games` are few, nothing more was learned from the rest.
        """
        return wilson(self.wins + self.draws / 2, self.games)

    def record(
        self,
        *,
        step: int,
        opponent: str | None = None,
        opponent_iteration: int | None = None,
        became_new_best: bool = False,
        current_iteration: int | None = None,
        timestamp: int | None = None,
    ) -> dict[str, Any]:
        """The evaluation record of stats.json.

        `timestamp` is in unix seconds, now if not given; `opponent` is what it is called there, if not by its name.
        """
        return {
            "step": step,
            "win_rate": self.win_rate,
            "draw_rate": self.draws / self.games,
            "loss_rate": self.losses / self.games,
            "games_played": self.games,
            "avg_game_length": self.average_length,
            "opponent": self.two if opponent is None else opponent,
            "opponent_iteration": opponent_iteration,
            "became_new_best": became_new_best,
            "current_iteration": current_iteration,
            "timestamp": int(time.time()) if timestamp is None else timestamp,
        }


def play_match(game: Game, one: Player, two: Player, games: int, *, seed: int, opening_plies: int = 0) -> MatchResult:
    """Play `games` games, half of them with `one` as first player, half as second.

    `opening_plies` moves at the start of each game are drawn at random, the same for a game and its counterpart from
    the other seat. The result is a function of the players and `seed`. Raises `UsageError` for an odd number of games.
    """
    return summed(game, one, two, play_games(game, one, two, games, seed=seed, opening_plies=opening_plies))


def play_games(game: Game, one: Player, two: Player, games: int, *, seed: int, opening_plies: int = 0) -> PlayedGames:
    """The games of `play_match` themselves: first those where `one` has the first move, then those of `two`."""
    if games < 2 or games % 2:
        raise UsageError(f"{games} games cannot be played half from each seat: ask for an even number, 2 at least.")
    half = games // 2
    one_first = np.arange(games) < half
    states, moves = _openings(game, half, opening_plies, seed)
    states, history = np.concatenate([states, states]), [np.concatenate([row, row]) for row in moves]
    ply = opening_plies
    while True:
        ongoing = game.winner(states) == ONGOING
        if not ongoing.any():
            break
        game.check_length(ply)
        actions = np.full(games, -1, np.int16)
        ones_turn = one_first == (game.mover(states) == 0)
        for player, turn in ((one, ongoing & ones_turn), (two, ongoing & ~ones_turn)):
            numbers = np.flatnonzero(turn)
            if len(numbers):
                chosen = player.moves(states[numbers], keys_for(seed, "moves", numbers, ply))
                states[numbers] = _played(game, player, states[numbers], chosen)
                actions[numbers] = chosen
        history.append(actions)
        ply += 1
    return PlayedGames(np.stack(history, axis=1), game.winner(states), one_first)


def summed(game: Game, one: Player, two: Player, played: PlayedGames) -> MatchResult:
    """The result of games that were played, from the view of `one`."""
    tallies = [
        Tally(
            int((played.winners[seat] == won).sum()),
            int((played.winners[seat] > SECOND_WINS).sum()),
            int((played.winners[seat] == lost).sum()),
        )
        for seat, won, lost in (
            (played.one_first, FIRST_WINS, SECOND_WINS),
            (~played.one_first, SECOND_WINS, FIRST_WINS),
        )
    ]
    return MatchResult(
        game.env_id, one.name, two.name, tallies[0], tallies[1], float(played.lengths.mean()), played.distinct
    )


def replaces_champion(result: MatchResult, threshold: float = EVAL_WIN_THRESHOLD) -> bool:
    """Whether the candidate, `one`, scored above `threshold` over the champion, draws counted as half wins."""
    return result.score > threshold


def verdict(win_rate: float, opponent: str = "random") -> str:
    """What a win rate in [0, 1] says."""
    if win_rate > 0.7:
        return f"significantly better than {opponent}"
    if win_rate > 0.5:
        return f"slightly better than {opponent}"
    if win_rate > 0.3:
        return f"roughly equivalent to {opponent}"
    return f"worse than {opponent}"


def _played(game: Game, player: Player, states: States, chosen: npt.NDArray[np.int64]) -> States:
    try:
        return game.play(states, chosen)
    except UsageError as error:
        raise ClewError(f"{player.name} broke the rules: {error}") from error


def _openings(game: Game, count: int, plies: int, seed: int) -> tuple[States, list[npt.NDArray[np.int16]]]:
    """`count` ongoing positions after `plies` random moves, uint64[count, 3], and those moves, ply by ply."""
    states = game.initial(count)
    moves = [np.empty(count, np.int16) for _ in range(plies)]
    anyone = RandomPlayer(game)
    left = np.arange(count)
    for attempt in range(_OPENING_ATTEMPTS):
        current = game.initial(len(left))
        going_on = np.ones(len(left), bool)
        for ply in range(plies):
            chosen = anyone.moves(current[going_on], keys_for(seed, f"opening {attempt}", left[going_on], ply))
            moves[ply][left[going_on]] = chosen
            current[going_on] = game.play(current[going_on], chosen)
            going_on = game.winner(current) == ONGOING
            if not going_on.any():
                break
        states[left[going_on]] = current[going_on]
        left = left[~going_on]
        if not len(left):
            return states, moves
    raise UsageError(f"{plies} random moves end a game of {game.display_name} nearly always: open with fewer.")
