"""The part of `clew evaluate games` that holds a net against perfect play."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clew.core.progress import stage
from clew.games.opponents import exists

if TYPE_CHECKING:
    from clew.games.rules import Game
    from clew.games.search import Evaluate
    from clew.games.strength import PositionSet


@dataclass(frozen=True)
class Held:
    """What came out, as plain values and as a page."""

    values: dict[str, Any]
    page: str


def hold_against_solver(
    game: Game,
    evaluate: Evaluate,
    *,
    simulations: int,
    positions: int,
    position_set: Path | None,
    db: str,
    seed: int,
) -> Held:
    """Value-optimal moves of the raw net and of its search, on positions that do not stand in the database `db`.

    Raises `UsageError` for a game without a solver.
    """
    from clew.games.strength import measure, never_loses, raw_moves, searched_moves, table

    held_out = _positions(game, positions, position_set, db, seed)
    raw = measure(game, lambda states: raw_moves(game, evaluate, states), held_out, player="raw net")
    searched = measure(
        game,
        lambda states: searched_moves(game, evaluate, states, simulations, seed=seed),
        held_out,
        player=f"{simulations} simulations",
    )
    values: dict[str, Any] = {"raw": raw.as_json(), "searched": searched.as_json() | {"simulations": simulations}}
    lines = [
        "## Against perfect play",
        "",
        f"On {len(held_out):,} solved positions (set {held_out.digest()[:12]}), "
        + (
            f"without {held_out.dropped:,} that stand in {Path(db).name}."
            if held_out.dropped
            else "none of which was taken out."
        ),
        "",
        table([raw, searched]),
    ]
    if game.lists_positions:
        every = never_loses(game, evaluate)
        values["every_game"] = asdict(every) | {"never_loses": every.never_loses}
        lost = f"{every.lost_ends[0]} ways to lose as first player and {every.lost_ends[1]} as second"
        lines.append(
            f"Against every reply there is, the raw net {'never loses' if every.never_loses else 'has ' + lost}. Its "
            f"move keeps the value in {every.value_optimal:,} of all {every.positions:,} reachable positions.\n"
        )
    return Held(values, "\n".join(lines))


def _positions(game: Game, size: int, path: Path | None, db: str, seed: int) -> PositionSet:
    from clew.games.strength import open_positions

    with contextlib.ExitStack() as bars:
        ticks: list[Callable[[], None]] = []

        def progress(done: int, total: int) -> None:
            if not ticks:
                ticks.append(stage(bars, "positions to solve", total))
            ticks[0]()

        made = open_positions(path, game, seed=seed, size=size, progress=progress)
    # Every position of a game this small is reached sooner or later: the whole game is what is measured.
    if game.lists_positions or not exists(db):
        return made
    from clew.games.replay import Replay
    from clew.games.seen import states_seen

    with Replay.open(db) as replay:
        return made.exclude(states_seen(replay, game))
