"""`clew replay`: what is in a replay database. Games move by move, figures, and rows that cannot be trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.core.errors import EXIT_DONE, EXIT_FAILED, EvidenceError, UsageError, nearest

if TYPE_CHECKING:
    from clew.games.replay import Replay, Transition
    from clew.games.replay.survey import Survey
    from clew.games.rules import GameInfo

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
    with _opened(options.db) as replay:
        games = replay.env_ids()
        if options.episode and not options.env_id:
            held = [env_id for env_id in games if replay.episode(env_id, options.episode)]
            env_id = held[0] if held else _choose(replay, "", games)
        else:
            env_id = _choose(replay, options.env_id, games)
        rows = replay.episode(env_id, options.episode or None)
        name = replay.name
    if not rows:
        which = f"episode {options.episode}" if options.episode else "episode"
        raise EvidenceError(f"{name} holds no {which} of {env_id}. `clew replay stats` tells what it holds.")
    print(f"{rows[0].episode_id}: {env_id}, {len(rows)} moves\n")
    for row in rows:
        print(_move_text(row, options.moves) + "\n")
    last = rows[-1]
    ending = {1.0: "wins", -1.0: "loses", 0.0: "has a draw"}.get(last.reward, f"has a reward of {last.reward:g}")
    print(f"{_seat(last)} {ending}." if last.done else "The episode does not end: its last row does not say done.")
    return EXIT_DONE


def _seat(row: Transition) -> str:
    return ("The first player (x)", "The second player (o)")[row.step_number % 2]


def _move_text(row: Transition, moves: int) -> str:
    """One move: who, where, how good; the policy; the board after it, where the rules are known."""
    from clew.games.replay import as_floats
    from clew.games.rules import known_game

    game = known_game(row.env_id)

    def name(action: int) -> str:
        return game.move_name(action) if game and 0 <= action < game.num_actions else str(action)

    outcome = "none" if row.game_outcome is None else f"{row.game_outcome:+g}"
    text = (
        f"{row.step_number:>3}. {_seat(row)} plays {name(row.action)}  value {row.mcts_value:+.3f}, outcome {outcome}"
    )
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

    from clew.games.replay.statistics import figures
    from clew.games.replay.survey import survey
    from clew.runs.metrics import print_json

    with _opened(options.db) as replay:
        games = [figures(survey(replay, _info(replay, env_id))) for env_id in _chosen(replay, options.env_id)]
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

    from clew.games.replay.survey import survey
    from clew.runs.metrics import print_json

    reports = []
    broken = False
    with _opened(options.db) as replay:
        name, described = replay.name, replay.metadata()
        chosen = _chosen(replay, options.env_id)
        print(f"{name}: {', '.join(chosen) or 'no rows'}")
        for env_id in chosen:
            try:
                info = _info(replay, env_id)
            except EvidenceError as error:
                broken = True
                print(f"\n{env_id}\n  broken: {error}")
                reports.append({"env_id": env_id, "error": str(error)})
                continue
            found = survey(replay, info)
            broken |= bool(found.faults)
            print(_check_text(found, described=env_id in described))
            reports.append(_check_report(found))
    if options.as_json:
        print_json({"db": name, "clean": not broken, "games": reports})
    return EXIT_FAILED if broken else EXIT_DONE


def _check_text(found: Survey, *, described: bool) -> str:
    lines = [f"\n{found.info.env_id}: {found.rows:,} rows in {len(found.episodes):,} episodes"]
    if not described:
        lines.append("  note: not described in game_metadata; taken as the game known here by that name")
    for what, finding in found.faults.items():
        lines.append(f"  broken: {finding.count:,} rows: {what}; such as {', '.join(finding.examples)}")
    for what, finding in found.notices.items():
        lines.append(f"  note: {finding.count:,} {what}; such as {', '.join(finding.examples)}")
    if not found.faults:
        lines.append("  nothing is broken")
    return "\n".join(lines)


def _check_report(found: Survey) -> dict[str, Any]:
    def listed(findings: Any) -> list[dict[str, Any]]:
        return [{"what": what, "count": each.count, "examples": each.examples} for what, each in findings.items()]

    return {
        "env_id": found.info.env_id,
        "rows": found.rows,
        "episodes": len(found.episodes),
        "faults": listed(found.faults),
        "notices": listed(found.notices),
    }


@contextmanager
def _opened(db: str) -> Iterator[Replay]:
    from clew.games.replay import open_replay

    with open_replay(db) as replay:
        yield replay


def _info(replay: Replay, env_id: str) -> GameInfo:
    from clew.games.replay import find_info

    return find_info(replay, env_id)


def _chosen(replay: Replay, env_id: str) -> list[str]:
    games = replay.env_ids()
    return [_choose(replay, env_id, games)] if env_id else list(games)


def _choose(replay: Replay, env_id: str, games: dict[str, int]) -> str:
    """The game that is meant. Raises a sentence where it is not there, or not told."""
    held = ", ".join(f"{each} ({rows:,} rows)" for each, rows in games.items()) or "no rows"
    if env_id:
        if env_id not in games:
            raise EvidenceError(
                f"{replay.name} holds no rows of '{env_id}'.{nearest(env_id, list(games))} It holds: {held}."
            )
        return env_id
    if len(games) != 1:
        raise UsageError(f"{replay.name} holds {held}. Choose a game with --env-id.")
    return next(iter(games))
