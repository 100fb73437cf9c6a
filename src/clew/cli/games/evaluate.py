"""`clew evaluate games`: a model's games against an opponent, from both seats."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from clew.cli.flags import Json, Options, parse
from clew.core.errors import EXIT_DONE
from clew.core.files import write_json, write_text
from clew.runs.metrics import print_json

if TYPE_CHECKING:
    from clew.games.arena import MatchResult, PlayedGames
    from clew.games.rules import Game

QUIET = ("WARNING", "ERROR")


class EvaluateGamesOptions(Options):
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
    verbose: bool = False
    """Print each game."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG prints each game too; WARNING and ERROR say nothing on the way."""
    output: Path | None = None
    """Folder for report.json and report.md."""
    as_json: Json = False
    """Print the report as one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate games`."""
    options = parse(EvaluateGamesOptions, arguments, program="clew evaluate games")

    from clew.cli.games.opponents import game_to_play, load_model, model_player, opponent_named
    from clew.games.arena import play_games, summed
    from clew.games.search import SearchSettings

    game = game_to_play(options.env_id, options.db)
    plays: dict[str, Any] = {
        "simulations": options.simulations,
        "settings": SearchSettings(method=options.method, foresight=True),
        "temperature": options.temperature,
        "threads": options.threads,
    }
    if options.solver:
        game.solver()  # that there is none is said before the games are played
    one = model_player(options.model, game, **plays)
    two = opponent_named(options.opponent, game, **plays)
    opening_plies = _opening_plies(options, game)
    if options.log_level not in QUIET:
        print(f"{one.name} plays {options.games} games of {game.display_name} against {two.name}", file=sys.stderr)
    played = play_games(game, one, two, options.games, seed=options.seed, opening_plies=opening_plies)
    result = summed(game, one, two, played)
    page = sys.stderr if options.as_json else sys.stdout
    if options.verbose or options.log_level == "DEBUG":
        print("\n".join(_games(played)) + "\n", file=page)
    report = _report(options, result, opening_plies)
    text = markdown(options, result, opening_plies)
    if options.solver:
        from clew.cli.games.solver import hold_against_solver

        held = hold_against_solver(
            game,
            load_model(options.model, game, threads=options.threads).evaluate,
            simulations=options.solver_simulations,
            positions=options.positions,
            position_set=options.position_set,
            db=options.db,
            seed=options.seed,
        )
        report["strength"] = held.values
        text += "\n" + held.page
    if options.output is not None:
        write_json(options.output / "report.json", report)
        write_text(options.output / "report.md", text)
    print(text, file=page)
    if options.as_json:
        print_json(report)
    return EXIT_DONE


def step_of(model: Path) -> int | None:
    """The step in a model's name, model_step_000100.onnx; None where it says none."""
    found = re.search(r"step_(\d+)", model.stem)
    return int(found.group(1)) if found else None


def _opening_plies(options: EvaluateGamesOptions, game: Game) -> int:
    if options.opening_plies is not None:
        return options.opening_plies
    from clew.cli.games.opponents import default_opening_plies

    perfect = options.opponent == "perfect"
    if options.opponent == "random" or (perfect and game.lists_positions) or (options.temperature > 0 and not perfect):
        return 0
    return default_opening_plies(game, perfect=perfect)


def _report(options: EvaluateGamesOptions, result: MatchResult, opening_plies: int) -> dict[str, Any]:
    from clew.core.intervals import wilson
    from clew.games.arena import verdict

    return {
        "model": str(options.model),
        "env_id": result.env_id,
        "player": result.one,
        "opponent": result.two,
        "simulations": options.simulations,
        "method": options.method,
        "temperature": options.temperature,
        "opening_plies": opening_plies,
        "seed": options.seed,
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
        "record": result.record(step=step_of(options.model) or 0),
    }


def markdown(options: EvaluateGamesOptions, result: MatchResult, opening_plies: int) -> str:
    """The report as a page."""
    from clew.core.intervals import wilson
    from clew.games.arena import verdict

    first, second = result.as_first, result.as_second
    rows = [
        f"# {options.model} against {result.two}: {result.env_id}",
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
