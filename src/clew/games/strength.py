"""How near to perfect a player is: its moves held against the exact score of every move.

A move is value-optimal where it keeps the value of the position: a won one stays won, a drawn one at least drawn; in a
lost one every move is. It is exactly best where no move scores higher: the soonest win, a draw, the latest loss. It is
a blunder where it is not value-optimal: a win turned into a draw or a loss, or a draw into a loss. A position is
decisive where some legal move is a blunder; shares of blunders are of decisive positions, since no others allow one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import ClewError, UsageError
from clew.core.intervals import Share, share
from clew.core.randomness import generator
from clew.games.game import Game
from clew.games.perfect import best_moves, optimal_moves
from clew.games.perfect.exhaustive import Exhaustive, play_all_replies
from clew.games.positions import (
    DEFAULT_SIZE,
    PHASES,
    PositionSet,
    load_positions,
    open_positions,
    position_set,
    save_positions,
)
from clew.games.search import Evaluate, Search, SearchSettings
from clew.games.states import States

__all__ = [
    "DEFAULT_SIZE",
    "PHASES",
    "Exhaustive",
    "PositionSet",
    "Report",
    "Row",
    "Share",
    "load_positions",
    "measure",
    "never_loses",
    "open_positions",
    "position_set",
    "raw_moves",
    "save_positions",
    "searched_moves",
    "table",
]

SEATS = ("first", "second")
_BATCH = 256


@dataclass(frozen=True)
class Row:
    """What the moves in some of the positions are worth."""

    phase: str
    """One of `PHASES`, or "all"."""
    seat: str
    """Who is to move: "first", "second" or "both"."""
    value_optimal: Share
    """Of all positions."""
    exactly_best: Share
    """Of all positions."""
    decisive_value_optimal: Share
    """Of the decisive positions: what is left of it are the blunders."""
    decisive_exactly_best: Share
    """Of the decisive positions."""
    blunders: Share
    """Of the decisive positions."""
    win_to_draw: int
    win_to_loss: int
    draw_to_loss: int


@dataclass(frozen=True)
class Report:
    """The strength of one player of one game."""

    env_id: str
    player: str
    positions: int
    dropped: int
    """Positions taken out of the set because they stand in the training data."""
    seed: int
    digest: str
    """SHA-256 of the position set: only figures on the same set compare."""
    rows: tuple[Row, ...]
    """First all positions, then by seat, by phase, and by both."""

    @property
    def overall(self) -> Row:
        """The row of all positions."""
        return self.rows[0]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure(
    game: Game,
    policy_of: Callable[[States], NDArray[np.int64]],
    positions: PositionSet,
    *,
    player: str = "raw",
) -> Report:
    """Hold the moves that `policy_of` chooses, int64[count] for uint64[count, 3], against perfect play.

    Raises `UsageError` for an empty set or the set of another game and `ClewError` for a move that is not legal.
    """
    if positions.env_id != game.env_id:
        raise UsageError(f"The positions are of {positions.env_id}, not of {game.env_id}.")
    if len(positions) == 0:
        raise UsageError(
            "No position is left to measure on: all of them stand in the training data. Make a larger set, or one of "
            "another seed."
        )
    chosen = np.asarray(policy_of(positions.states), np.int64)
    rows = np.arange(len(positions))
    legal = game.legal_mask(positions.states)
    if chosen.shape != rows.shape or not ((chosen >= 0) & (chosen < game.num_actions)).all():
        raise ClewError(f"'{player}' did not choose one move of {game.display_name} for each position.")
    if not legal[rows, chosen].all():
        wrong = int(chosen[np.flatnonzero(~legal[rows, chosen])[0]])
        raise ClewError(f"'{player}' chose action {wrong} in a {game.display_name} position where it is not legal.")

    after = np.sign(positions.scores[rows, chosen])
    judged = _Judged(
        optimal=optimal_moves(positions.scores)[rows, chosen],
        best=best_moves(positions.scores)[rows, chosen],
        decisive=positions.decisive,
        value=positions.value,
        after=after,
    )
    everywhere = np.ones(len(positions), bool)
    phases = [("all", everywhere)] + [(name, positions.phase == index) for index, name in enumerate(PHASES)]
    seats = [("both", everywhere)] + [(name, positions.seat == index) for index, name in enumerate(SEATS)]
    return Report(
        env_id=game.env_id,
        player=player,
        positions=len(positions),
        dropped=positions.dropped,
        seed=positions.seed,
        digest=positions.digest(),
        rows=tuple(
            judged.row(phase, seat, in_phase & in_seat) for phase, in_phase in phases for seat, in_seat in seats
        ),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """What each move was, [count] each."""

    optimal: NDArray[np.bool_]
    best: NDArray[np.bool_]
    decisive: NDArray[np.bool_]
    value: NDArray[np.int8]
    after: NDArray[np.int8]

    def row(self, phase: str, seat: str, chosen: NDArray[np.bool_]) -> Row:
        """The shares among the positions `chosen`."""
        decisive = self.decisive[chosen]
        optimal, best = self.optimal[chosen], self.best[chosen]
        value, after = self.value[chosen], self.after[chosen]
        return Row(
            phase=phase,
            seat=seat,
            value_optimal=_share(optimal),
            exactly_best=_share(best),
            decisive_value_optimal=_share(optimal[decisive]),
            decisive_exactly_best=_share(best[decisive]),
            blunders=_share(~optimal[decisive]),
            win_to_draw=int(np.count_nonzero((value == 1) & (after == 0))),
            win_to_loss=int(np.count_nonzero((value == 1) & (after == -1))),
            draw_to_loss=int(np.count_nonzero((value == 0) & (after == -1))),
        )


def _share(hits: NDArray[np.bool_]) -> Share:
    return share(int(np.count_nonzero(hits)), len(hits))


def raw_moves(game: Game, evaluate: Evaluate, states: States) -> NDArray[np.int64]:
    """The legal move of the highest logit in each ongoing state, int64[count]; of equal ones the first.

    Raises `ClewError` where the net gives a logit that is not a number.
    """
    moves = np.empty(len(states), np.int64)
    for start in range(0, len(states), _BATCH):
        batch = slice(start, start + _BATCH)
        logits, _ = evaluate(game.observe(states[batch]))
        legal = game.legal_mask(states[batch])
        if not np.isfinite(logits[legal]).all():
            raise ClewError("The net gave a policy that is not a number. It is broken: train or export it anew.")
        moves[batch] = np.where(legal, logits, -np.inf).argmax(axis=1)
    return moves


def searched_moves(
    game: Game, evaluate: Evaluate, states: States, simulations: int, *, seed: int = 0
) -> NDArray[np.int64]:
    """The move that a search of so many simulations chooses in each ongoing state, int64[count].

    Without noise, and with foresight, as a host would search that wants to win.
    """
    settings = SearchSettings(simulations=simulations, foresight=True)
    seeds = generator(seed, "strength", game.env_id).integers(0, 2**64, len(states), np.uint64)
    moves = np.empty(len(states), np.int64)
    for start in range(0, len(states), _BATCH):
        batch = slice(start, start + _BATCH)
        lanes = len(states[batch])
        moves[batch] = Search(game, lanes, settings).run(states[batch], evaluate, seeds=seeds[batch]).action
    return moves


def never_loses(game: Game, evaluate: Evaluate) -> Exhaustive:
    """Play the raw net of a small game against every reply there is, from either seat (see `play_all_replies`)."""
    return play_all_replies(game, lambda states: raw_moves(game, evaluate, states))


def table(reports: Sequence[Report]) -> str:
    """Reports on one position set as a Markdown table, a line for each phase and seat of each player."""
    lines = [
        "| player | phase | to move | value-optimal | exactly best | blunders where possible | win to draw, to loss; "
        "draw to loss |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for report in reports:
        for row in report.rows:
            lines.append(
                f"| {report.player} | {row.phase} | {row.seat} | {_percent(row.value_optimal)} | "
                f"{_percent(row.exactly_best)} | {_percent(row.blunders)} | "
                f"{row.win_to_draw}, {row.win_to_loss}; {row.draw_to_loss} |"
            )
    return "\n".join(lines) + "\n"


def _percent(share: Share) -> str:
    if share.cases == 0:
        return "none of 0"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}) of {share.cases}"
