"""What a policy/value net is worth: its games against an opponent, from both seats, and its moves against the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from clew.core.files import json_output, text_output, write_json, write_text
from clew.recipes.base import Section, validate

if TYPE_CHECKING:
    from clew.games.arena import MatchResult, PlayedGames
    from clew.games.rules import Game

REPORT_FILES = {
    "report.json": json_output("a report on games", "opponent", "games"),
    "report.md": text_output("a report on games", "# "),
}


class GamesEvaluation(Section):
    """Play a model against an opponent, half of the games from each seat."""

    model: Path = Path("data/models/latest.onnx")
    """The model's ONNX file."""
    db: str = "data/replay.db"
    """The replay database, whose description of the game must agree with the rules here; it may be missing."""
    env_id: str = "tictactoe"
    """The game: tictactoe, connect4, othello, or a file of your own, my_game.py."""
    games: int = pydantic.Field(default=100, ge=2)
    """Games to play: an even number."""
    opponent: str = "random"
    """random, perfect, mcts:N (N simulations a move without a net), or PATH.onnx."""
    simulations: int = pydantic.Field(default=0, ge=0)
    """Simulations a move of the model (and of a model it plays against); 0: the net's policy alone."""
    method: Literal["gumbel", "puct"] = "gumbel"
    """How the model searches."""
    temperature: float = pydantic.Field(default=0.0, ge=0)
    """The model's moves are drawn at this temperature; 0: its best move."""
    opening_plies: int | None = pydantic.Field(default=None, ge=0)
    """Random moves that open each game, the same from both seats. By default none where chance has a part in the game
    anyway, else 2 in tictactoe and 4 in other games: two players without chance play one game again and again. Against
    the perfect player 8 in connect4: with fewer stones it thinks for minutes."""
    solver: bool = False
    """Also hold the net's moves, raw and searched, against perfect play, on positions that are not in the database."""
    solver_simulations: int = pydantic.Field(default=64, ge=1)
    """Simulations a move of that search."""
    position_set: Path | None = None
    """File of the solved positions; made and written there when it is not there. Without it they are made anew."""
    positions: int = pydantic.Field(default=1000, ge=1)
    """How many positions to make; in tictactoe all."""
    seed: int = 42
    """All draws are functions of this."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the net; 0: all cores."""


@dataclass(frozen=True)
class GamesReport:
    """What came out: plain values, a page of Markdown, and a line for each game."""

    values: dict[str, Any]
    page: str
    games: list[str]

    def write(self, folder: Path) -> None:
        """Write report.json and report.md into `folder`, in place of an earlier report and of nothing else."""
        write_json(folder / "report.json", self.values, replaces=REPORT_FILES["report.json"])
        write_text(folder / "report.md", self.page, replaces=REPORT_FILES["report.md"])


def evaluate(model: Path | str, *, say: Callable[[str], None] = lambda text: None, **settings: Any) -> GamesReport:
    """Let `model` play as the fields of `GamesEvaluation` in `settings` say, half of the games from each seat.

    Raises `UsageError` for settings that cannot be and for a game without rules here, `BundleError` for a model that
    is none of the game's.
    """
    return evaluate_games(validate(GamesEvaluation, {"model": Path(model), **settings}, "clew.evaluate"), say=say)


def evaluate_games(wanted: GamesEvaluation, *, say: Callable[[str], None] = lambda text: None) -> GamesReport:
    """`evaluate`, with its settings as a whole."""
    from clew.games.arena import play_games, summed
    from clew.games.opponents import game_to_play, load_model, model_player, opponent_named
    from clew.games.search import SearchSettings

    game = game_to_play(wanted.env_id, wanted.db)
    plays: dict[str, Any] = {
        "simulations": wanted.simulations,
        "settings": SearchSettings(method=wanted.method, foresight=True),
        "temperature": wanted.temperature,
        "threads": wanted.threads,
    }
    if wanted.solver:
        game.solver()  # that there is none is said before the games are played
    one = model_player(wanted.model, game, **plays)
    two = opponent_named(wanted.opponent, game, **plays)
    opening_plies = _opening_plies(wanted, game)
    say(f"{one.name} plays {wanted.games} games of {game.display_name} against {two.name}")
    played = play_games(game, one, two, wanted.games, seed=wanted.seed, opening_plies=opening_plies)
    result = summed(game, one, two, played)
    values, page = _report(wanted, result, opening_plies), markdown(wanted, result, opening_plies)
    if wanted.solver:
        from clew.games.held_against import hold_against_solver

        held = hold_against_solver(
            game,
            load_model(wanted.model, game, threads=wanted.threads).evaluate,
            simulations=wanted.solver_simulations,
            positions=wanted.positions,
            position_set=wanted.position_set,
            db=wanted.db,
            seed=wanted.seed,
        )
        values["strength"] = held.values
        page += "\n" + held.page
    return GamesReport(values, page, _games(played))


def step_of(model: Path) -> int | None:
    """The step in a model's name, model_step_000100.onnx; None where it says none."""
    found = re.search(r"step_(\d+)", model.stem)
    return int(found.group(1)) if found else None


def _opening_plies(wanted: GamesEvaluation, game: Game) -> int:
    if wanted.opening_plies is not None:
        return wanted.opening_plies
    from clew.games.opponents import default_opening_plies

    perfect = wanted.opponent == "perfect"
    if wanted.opponent == "random" or (perfect and game.lists_positions) or (wanted.temperature > 0 and not perfect):
        return 0
    return default_opening_plies(game, perfect=perfect)


def _report(wanted: GamesEvaluation, result: MatchResult, opening_plies: int) -> dict[str, Any]:
    from clew.core.intervals import wilson
    from clew.games.arena import verdict

    return {
        "model": str(wanted.model),
        "env_id": result.env_id,
        "player": result.one,
        "opponent": result.two,
        "simulations": wanted.simulations,
        "method": wanted.method,
        "temperature": wanted.temperature,
        "opening_plies": opening_plies,
        "seed": wanted.seed,
        "games": result.games,
        "distinct_games": result.distinct_games,
        "wins": {"all": result.wins, "as_first": result.as_first.wins, "as_second": result.as_second.wins},
        "losses": {"all": result.losses, "as_first": result.as_first.losses, "as_second": result.as_second.losses},
        "draws": {"all": result.draws, "as_first": result.as_first.draws, "as_second": result.as_second.draws},
        "average_length": result.average_length,
        "win_rate": result.win_rate,
        "win_rate_interval": wilson(result.wins, result.games),
        "score": result.score,
        "score_interval": result.score_interval,
        "verdict": verdict(result.win_rate, result.two),
        "record": result.record(step=step_of(wanted.model) or 0),
    }


def markdown(wanted: GamesEvaluation, result: MatchResult, opening_plies: int) -> str:
    """The report as a page."""
    from clew.core.intervals import wilson
    from clew.games.arena import verdict

    first, second = result.as_first, result.as_second
    rows = [
        f"# {wanted.model} against {result.two}: {result.env_id}",
        "",
        "| games | all | as first | as second |",
        "| --- | --- | --- | --- |",
        f"| games | {result.games} | {first.games} | {second.games} |",
        f"| wins | {result.wins} | {first.wins} | {second.wins} |",
        f"| losses | {result.losses} | {first.losses} | {second.losses} |",
        f"| draws | {result.draws} | {first.draws} | {second.draws} |",
        "",
        f"Average length: {result.average_length:.1f} plies.",
        f"Win rate: {_share(result.win_rate, wilson(result.wins, result.games))}. "
        f"Score, draws as half wins: {_share(result.score, result.score_interval)}.",
    ]
    if opening_plies:
        rows.append(f"Each game began with {opening_plies} random moves, the same from both seats.")
    if result.distinct_games < result.games:
        rows.append(f"Only {result.distinct_games} of the {result.games} games differ from one another.")
        if result.distinct_games < result.games / 2:
            rows.append("So the intervals are too narrow: vary the games with --temperature or --opening-plies.")
    rows += ["", f"Verdict: **{verdict(result.win_rate, result.two)}**."]
    return "\n".join(rows) + "\n"


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.1%} (95% {interval[0]:.1%} to {interval[1]:.1%})"


def _games(played: PlayedGames) -> list[str]:
    """A line for each game, from the view of the model."""
    lines = []
    for number, (moves, winner, one_first) in enumerate(
        zip(played.actions, played.winners, played.one_first, strict=True), 1
    ):
        ending = "drawn" if winner == 3 else "won" if (winner == 1) == one_first else "lost"
        seat = "first" if one_first else "second"
        said = " ".join(str(move) for move in moves if move >= 0)
        lines.append(f"game {number}, as {seat}: {ending} after {(moves >= 0).sum()} plies: {said}")
    return lines
