"""`clew tournament`: models against each other, every pair, and the Elo ratings that follow."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import is_folder, write_json, write_text
from clew.games.evaluation import step_of

if TYPE_CHECKING:
    from clew.games.arena import MatchResult
    from clew.games.elo import Ratings
    from clew.games.players import Player
    from clew.games.rules import Game


class TournamentOptions(Options):
    """Let models play each other, every pair from both seats, and rate them."""

    models: Positional[tuple[Path, ...]] = ()
    """ONNX files; or leave them out and name --model-dir."""
    model_dir: Path | None = None
    """Folder whose model_step_*.onnx play."""
    at_most: int = pydantic.Field(default=10, ge=2)
    """Of the folder's models, so many at most, evenly spaced, the first and the last among them."""
    env_id: str = "tictactoe"
    """The game: tictactoe, connect4, othello, or a file of your own, my_game.py."""
    games: int = pydantic.Field(default=50, ge=2)
    """Games for each pair: an even number."""
    include_random: bool = False
    """Let a player of random moves take part."""
    include_mcts: tuple[int, ...] = ()
    """Let searches without a net take part, of so many simulations a move."""
    include_perfect: bool = False
    """Let the perfect player take part, where the game has a solver."""
    simulations: int = pydantic.Field(default=0, ge=0)
    """Simulations a move of each model; 0: the net's policy alone."""
    method: Literal["gumbel", "puct"] = "gumbel"
    """How the models search."""
    temperature: float = pydantic.Field(default=0.0, ge=0)
    """The models' moves are drawn at this temperature; 0: their best move."""
    opening_plies: int | None = pydantic.Field(default=None, ge=0)
    """Random moves that open each game, the same from both seats of a pair: players without chance would play one game
    again and again. By default 2 in tictactoe, 4 in other games; 8 in connect4 where the perfect player takes part,
    which thinks for minutes with fewer stones."""
    anchor: str | None = None
    """The player whose Elo is 0; by default the first model."""
    seed: int = 42
    """All draws are functions of this."""
    threads: int = pydantic.Field(default=1, ge=0)
    """CPU threads of the nets; 0: all cores."""
    output: Path | None = None
    """Folder for tournament.json, tournament.md and tournament.png."""
    as_json: Json = False
    """Print the result as one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew tournament`."""
    options = parse(TournamentOptions, arguments, program="clew tournament")

    from clew.core.progress import stage
    from clew.core.randomness import key
    from clew.games.arena import play_match
    from clew.games.elo import Pairing, rate
    from clew.games.opponents import default_opening_plies, game_to_play

    game = game_to_play(options.env_id)
    opening_plies = options.opening_plies
    if opening_plies is None:
        opening_plies = default_opening_plies(game, perfect=options.include_perfect)
    paths = _paths(options)
    players = _players(options, game, paths)
    names = [player.name for player in players]
    anchor = _anchor(options, names)
    steps = [step_of(path) for path in paths] + [None] * (len(players) - len(paths))
    pairs = list(itertools.combinations(range(len(players)), 2))
    results: list[MatchResult] = []
    with contextlib.ExitStack() as bars:
        tick = stage(bars, f"pairs of {len(players)} players", len(pairs))
        for one, two in pairs:
            seed = key(options.seed, "pair", names[one], names[two]) % 2**63
            results.append(
                play_match(game, players[one], players[two], options.games, seed=seed, opening_plies=opening_plies)
            )
            tick()
    pairings = [
        Pairing(one, two, result.wins, result.draws, result.losses)
        for (one, two), result in zip(pairs, results, strict=True)
    ]
    ratings = rate(pairings, len(players), anchor=anchor)
    report = _report(options, game, opening_plies, names, steps, results, ratings)
    text = markdown(options, report)
    if options.output is not None:
        from clew.games.plot_elo import draw_elo

        write_json(options.output / "tournament.json", report)
        write_text(options.output / "tournament.md", text)
        draw_elo(
            names,
            ratings.elo.tolist(),
            ratings.errors.tolist(),
            steps,
            options.output / "tournament.png",
            title=f"{game.display_name}, {options.games} games a pair",
            anchor=names[anchor],
        )
    print(text, file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(report)
    return EXIT_DONE


def evenly_spaced(paths: Sequence[Path], at_most: int) -> list[Path]:
    """`at_most` of `paths`, evenly spaced in their order, the first and the last among them."""
    if len(paths) <= at_most:
        return list(paths)
    return [paths[round(index * (len(paths) - 1) / (at_most - 1))] for index in range(at_most)]


def _paths(options: TournamentOptions) -> list[Path]:
    if options.model_dir is None:
        return list(options.models)
    if options.models:
        raise UsageError("Name models or --model-dir, not both.")
    # A path that is too long for this system is no folder, and not to be looked through.
    inside = options.model_dir.glob("model_step_*.onnx") if is_folder(options.model_dir) else ()
    found = sorted(inside, key=lambda path: (step_of(path) or 0, path.name))
    if not found:
        raise UsageError(f"There is no model_step_*.onnx in {options.model_dir}: name a folder that a training wrote.")
    return evenly_spaced(found, options.at_most)


def _players(options: TournamentOptions, game: Game, paths: Sequence[Path]) -> list[Player]:
    from clew.games.opponents import model_player
    from clew.games.players import mcts_player, perfect_player, random_player
    from clew.games.search import SearchSettings

    # Files of one name in several folders are told apart by their paths.
    same = len({path.name for path in paths}) < len(paths)
    players = [
        model_player(
            path,
            game,
            simulations=options.simulations,
            settings=SearchSettings(method=options.method),
            temperature=options.temperature,
            threads=options.threads,
            name=str(path) if same else path.name,
        )
        for path in paths
    ]
    players += [random_player(game)] if options.include_random else []
    players += [mcts_player(game, simulations) for simulations in options.include_mcts]
    players += [perfect_player(game)] if options.include_perfect else []
    names = [player.name for player in players]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named twice: each player takes part once.")
    if len(players) < 2:
        raise UsageError(
            "A tournament needs two players at least: name models, or a --model-dir, or add --include-random."
        )
    return players


def _anchor(options: TournamentOptions, names: Sequence[str]) -> int:
    if options.anchor is None:
        return 0
    if options.anchor not in names:
        raise UsageError(f"There is no player '{options.anchor}' to be the anchor. Players: {', '.join(names)}.")
    return names.index(options.anchor)


def _report(
    options: TournamentOptions,
    game: Game,
    opening_plies: int,
    names: Sequence[str],
    steps: Sequence[int | None],
    results: Sequence[MatchResult],
    ratings: Ratings,
) -> dict[str, Any]:
    """Players from the strongest down, and all matches."""
    order = sorted(range(len(names)), key=lambda index: -ratings.elo[index])
    players: list[dict[str, Any]] = []
    for place, index in enumerate(order):
        mine = [(result.score, result.games) for result in results if result.one == names[index]]
        mine += [(1 - result.score, result.games) for result in results if result.two == names[index]]
        games = sum(count for _, count in mine)
        below = order[place + 1] if place + 1 < len(order) else None
        players.append(
            {
                "name": names[index],
                "step": steps[index],
                "elo": float(ratings.elo[index]),
                "error": float(ratings.errors[index]),
                "score": sum(score * count for score, count in mine) / games,
                "games": games,
                "chance_above_next": None if below is None else ratings.chance_above(index, below),
            }
        )
    return {
        "env_id": game.env_id,
        "anchor": names[ratings.anchor],
        "games_a_pair": options.games,
        "simulations": options.simulations,
        "temperature": options.temperature,
        "opening_plies": opening_plies,
        "seed": options.seed,
        "players": players,
        "matches": [asdict(result) | {"score": result.score} for result in results],
    }


def markdown(options: TournamentOptions, report: dict[str, Any]) -> str:
    """The table as a page."""
    rows = [
        f"# {report['env_id']}: {len(report['players'])} players, {options.games} games a pair",
        "",
        "| | player | Elo | 95% | score | games | better than the next |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for place, player in enumerate(report["players"], 1):
        chance = player["chance_above_next"]
        error = "anchor" if player["name"] == report["anchor"] else f"± {player['error']:.0f}"
        rows.append(
            f"| {place} | {player['name']} | {player['elo']:+.0f} | {error} | {player['score']:.1%} | "
            f"{player['games']} | {'' if chance is None else f'{chance:.0%}'} |"
        )
    few = [match for match in report["matches"] if match["distinct_games"] < options.games / 2]
    rows += [
        "",
        f"Elo above {report['anchor']}, by maximum likelihood with draws as half wins; ± is half of the 95% interval "
        "of that distance.",
        f"Each game began with {report['opening_plies']} random moves, the same from both seats."
        if report["opening_plies"]
        else "No game began with random moves.",
    ]
    if few:
        rows.append(
            f"In {len(few)} of {len(report['matches'])} matches fewer than half of the games differ from one another, "
            "so the intervals are too narrow: vary the games with --temperature or --opening-plies."
        )
    return "\n".join(rows) + "\n"
