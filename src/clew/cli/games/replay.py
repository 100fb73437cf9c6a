"""`clew replay`: what is in a replay database. Games move by move, figures, and rows that cannot be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.core.errors import EXIT_DONE, EXIT_FAILED, EvidenceError

if TYPE_CHECKING:
    from clew.games.replay import Transition

COMMANDS = {
    "show": ("clew.cli.games.replay:show", "a game of the database move by move, with the policies"),
    "stats": ("clew.cli.games.replay:stats", "games, outcomes by seat, lengths, policy entropy"),
    "check": ("clew.cli.games.replay:check", "find every row that is broken; exit code 1 if there is one"),
}


def main(arguments: list[str]) -> int:
    """Run `clew replay`."""
    about = "Replay databases: what self-play wrote and a learner reads."
    return dispatch(COMMANDS, arguments, program="clew replay", about=about)


class ShowOptions(Options):
    """Print a game of a replay database: boards, moves, what the search thought."""

    db: Positional[str] = "data/replay.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    env_id: str = ""
    """The game; may be left out where the database holds one only."""
    episode: str = ""
    """Id of the episode (default: the newest)."""
    moves: int = pydantic.Field(default=5, ge=1)
    """How many of the likeliest moves to print of each policy."""


def show(arguments: list[str]) -> int:
    """Run `clew replay show`."""
    options = parse(ShowOptions, arguments, program="clew replay show")
    from clew.games.replay import Replay

    with Replay.open(options.db) as replay:
        env_id = options.env_id
        if options.episode and not env_id:
            env_id = next((each for each in replay.env_ids() if replay.episode(each, options.episode)), "")
        env_id = replay.choose(env_id)
        rows = replay.episode(env_id, options.episode or None)
        players = replay.players(rows)
        name = replay.name
    if not rows:
        which = f"episode {options.episode}" if options.episode else "episode"
        raise EvidenceError(f"{name} holds no {which} of {env_id}. `clew replay stats` tells what it holds.")
    print(f"{rows[0].episode_id}: {env_id}, {len(rows)} moves\n")
    for row, player in zip(rows, players, strict=True):
        print(_move_text(row, _seat(player), options.moves) + "\n")
    last = rows[-1]
    ending = {1.0: "wins", -1.0: "loses", 0.0: "has a draw"}.get(last.reward, f"has a reward of {last.reward:g}")
    over = f"{_seat(players[-1])} {ending}."
    print(over if last.done else "The episode does not end: its last row does not say done.")
    return EXIT_DONE


def _seat(player: int) -> str:
    return ("The first player (x)", "The second player (o)")[player] if player < 2 else f"Player {player + 1}"


def _move_text(row: Transition, seat: str, moves: int) -> str:
    """One move: who, where, how good; the policy; the board after it, where the rules are known."""
    from clew.games.replay import as_floats
    from clew.games.rules import known_game

    game = known_game(row.env_id)

    def name(action: int) -> str:
        return game.move_name(action) if game and 0 <= action < game.num_actions else str(action)

    outcome = "none" if row.game_outcome is None else f"{row.game_outcome:+g}"
    text = f"{row.step_number:>3}. {seat} plays {name(row.action)}  value {row.mcts_value:+.3f}, outcome {outcome}"
    policy = as_floats(row.policy_probs)
    if policy is not None:
        likeliest = sorted(range(len(policy)), key=lambda action: (-float(policy[action]), action))[:moves]
        shown = [f"{name(action)} {policy[action]:.1%}" for action in likeliest if policy[action] != 0]
        text += f"\n     policy: {', '.join(shown) or 'all zero'}"
    else:
        text += "\n     policy: none"
    if game is None:
        return text
    try:
        board = game.draw(game.from_blob(row.next_state))
    except EvidenceError as error:
        return f"{text}\n     {error}"
    return text + "\n" + "\n".join(f"     {line}" for line in board.splitlines())


class StatsOptions(Options):
    """Print figures of the games in a replay database."""

    db: Positional[str] = "data/replay.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    env_id: str = ""
    """One game only (default: all that the database holds)."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def stats(arguments: list[str]) -> int:
    """Run `clew replay stats`."""
    options = parse(StatsOptions, arguments, program="clew replay stats")

    from clew.cli.output import print_json
    from clew.games.replay import Replay

    with Replay.open(options.db) as replay:
        chosen = [replay.choose(options.env_id)] if options.env_id else replay.env_ids()
        games = [replay.statistics(env_id) for env_id in chosen]
        name = replay.name
    print(f"{name}: {sum(game['rows'] for game in games):,} rows" if games else f"{name}: no rows")
    for game in games:
        print(_stats_text(game))
    if options.as_json:
        print_json({"db": name, "games": games})
    return EXIT_DONE


def _stats_text(game: dict[str, Any]) -> str:
    whole = game["whole_games"]

    def share(name: str) -> str:
        return f"{game[name]:,} ({game[name] / whole:.1%})" if whole else "0"

    def spread(values: dict[str, float] | None) -> str:
        if values is None:
            return "-"
        return f"{values['mean']:g} (median {values['median']:g}, {values['least']:g} to {values['most']:g})"

    by_step = game["policy_entropy_by_step"]
    lines = {
        "rows": f"{game['rows']:,}",
        "episodes": f"{game['episodes']:,}" + ("" if whole == game["episodes"] else f", {whole:,} of them whole"),
        "first player wins": share("first_player_wins"),
        "second player wins": share("second_player_wins"),
        "draws": share("draws"),
        "moves a game": spread(game["length"]),
        "policy entropy, nats": spread(game["policy_entropy_nats"]),
        "at the first moves": ", ".join("-" if each is None else f"{each:g}" for each in by_step[:8]),
        "rows without policy": f"{game['rows_without_policy']:,}",
        "rows without outcome": f"{game['rows_without_outcome']:,}",
        "actors": f"{game['actors']:,}",
    }
    if game["seats_guessed"]:
        lines["seats by turns"] = f"{game['seats_guessed']:,} games, whose rows do not tell who moves"
    if game["broken_rows"]:
        lines["faults"] = f"{game['broken_rows']:,}: see clew replay check"
    return "\n".join([f"\n{game['env_id']}", *(f"  {name:<22} {value}" for name, value in lines.items())])


class CheckOptions(Options):
    """Find the rows of a replay database that cannot be trained on, or say what is not so; exit 1 if there is one."""

    db: Positional[str] = "data/replay.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    env_id: str = ""
    """One game only (default: all that the database holds)."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def check(arguments: list[str]) -> int:
    """Run `clew replay check`."""
    options = parse(CheckOptions, arguments, program="clew replay check")

    from clew.cli.output import print_json
    from clew.games.replay import Replay

    with Replay.open(options.db) as replay:
        name, reports = replay.name, replay.check(options.env_id)
    games = [report["env_id"] for report in reports if report["env_id"] is not None]
    print(f"{name}: {', '.join(games) or 'no rows'}")
    for report in reports:
        print(_check_text(report))
    broken = any("error" in report or report["faults"] for report in reports)
    if options.as_json:
        print_json({"db": name, "clean": not broken, "games": reports})
    return EXIT_FAILED if broken else EXIT_DONE


def _check_text(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"\n{report['env_id'] or 'rows of no game'}\n  broken: {report['error']}"
    lines = [f"\n{report['env_id']}: {report['rows']:,} rows in {report['episodes']:,} episodes"]
    if not report["described"]:
        lines.append("  note: not described in game_metadata; taken as the game known here by that name")
    for each in report["faults"]:
        lines.append(f"  broken: {each['count']:,} rows: {each['what']}; such as {', '.join(each['examples'])}")
    for each in report["notices"]:
        lines.append(f"  note: {each['count']:,} {each['what']}; such as {', '.join(each['examples'])}")
    if not report["faults"]:
        lines.append("  nothing is broken")
    return "\n".join(lines)
