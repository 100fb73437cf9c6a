"""How strong does a net become in how many minutes? `clew loop`, then its models against perfect play, over time.

tictactoe: the share of all 4,520 reachable positions in which the raw net's move keeps the value, and whether it can
lose at all. connect4: the share of moves that keep the value, raw and with 64 simulations, on solved positions that
do not stand in the database. With `--folder` a loop that was run before is measured, or goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from common import emit, figure, say

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from clew.bundle.policy_value import PolicyValueModel
from clew.games.arena import play_match
from clew.games.players import net_player, perfect_player
from clew.games.replay import Replay
from clew.games.rules import find_game
from clew.games.seen import states_seen
from clew.games.strength import measure, never_loses, open_positions, raw_moves, searched_moves

SIMULATIONS = 64


def main() -> None:
    """Run, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="tictactoe", choices=("tictactoe", "connect4"))
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the loop")
    parser.add_argument("--folder", type=Path, help="folder of the loop; kept. By default a temporary one")
    parser.add_argument("--measure-only", action="store_true", help="run no loop: measure what the folder holds")
    parser.add_argument("--points", type=int, default=8, help="models along the curve")
    parser.add_argument("--positions", type=int, default=1000, help="positions of connect4")
    parser.add_argument("--position-set", type=Path, help="file of the solved positions, made when it is not there")
    parser.add_argument("--plot", type=Path, help="write the curve as a PNG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "loop"
        seconds = 0.0
        if not options.measure_only:
            begun = time.monotonic()
            command = ["loop", options.env, "--folder", folder, "--minutes", options.minutes]
            command += ["--max-checkpoints", 1000, "--evaluation-games", 0]
            subprocess.run([sys.executable, "-m", "clew.cli.main", *map(str, command)], check=True)
            seconds = time.monotonic() - begun
        curve = _curve(options, folder)
    for point in curve:
        print(json.dumps(point))
    if options.plot:
        _plot(curve, options.env, options.plot)
    last = curve[-1]
    figures = {
        name: figure(last[name], unit, target=target)
        for name, unit, target in (
            ("value_optimal_raw", "share", 1.0 if options.env == "tictactoe" else 0.9),
            (f"value_optimal_{SIMULATIONS}", "share", None if options.env == "tictactoe" else 0.97),
            ("decisive_raw", "share", None),
            (f"decisive_{SIMULATIONS}", "share", None),
        )
        if name in last
    }
    if options.env == "tictactoe":
        figures["losses_of_1000_games"] = figure(last["losses_of_1000_games"], "games", target=0.0, better="lower")
        figures["ways_to_lose"] = figure(last["ways_to_lose"], "positions", target=0.0, better="lower")
    figures["minutes_to_last_model"] = figure(last["minutes"], "minutes", target=options.minutes, better="lower")
    if seconds:
        figures["seconds_of_the_command"] = figure(seconds, "s")
    emit(f"strength_{options.env}", figures)


def _curve(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """What models along the way are worth; minutes are counted from the net that the run began with."""
    models = sorted((folder / "models").glob("model_step_*.onnx"))
    began = models[0].stat().st_mtime
    chosen = sorted({round(index * (len(models) - 1) / max(1, options.points - 1)) for index in range(options.points)})
    if options.env == "tictactoe":
        chosen = chosen[-1:]
    measured = _tictactoe if options.env == "tictactoe" else connect4_measure(options, folder)
    curve = []
    for index in chosen:
        path = models[index]
        point = {
            "step": int(path.stem.rpartition("_")[2]),
            "minutes": round((path.stat().st_mtime - began) / 60, 2),
            **measured(PolicyValueModel(path)),
        }
        say(json.dumps(point))
        curve.append(point)
    return curve


def _tictactoe(model: PolicyValueModel) -> dict[str, float]:
    game = find_game("tictactoe")
    every = never_loses(game, model.evaluate)
    net, perfect = net_player(game, model.evaluate), perfect_player(game)
    # Against the perfect player a net without chance plays few different games: `every` tells of all of them.
    match = play_match(game, net, perfect, 1000, seed=0)
    return {
        "value_optimal_raw": every.value_optimal / every.positions,
        "ways_to_lose": sum(every.lost_ends),
        "losses_of_1000_games": match.losses,
    }


def connect4_measure(options: argparse.Namespace, folder: Path) -> Callable[[PolicyValueModel], dict[str, float]]:
    """What measures a model on solved positions that do not stand in the database of the loop in `folder`."""
    game = find_game("connect4")
    positions = open_positions(options.position_set, game, seed=42, size=options.positions)
    with Replay.open(folder / "replay.db") as replay:
        held_out = positions.exclude(states_seen(replay, game))
    say(f"{len(held_out):,} positions; {held_out.dropped:,} stand in the database and were taken out")

    def measured(model: PolicyValueModel) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, choose in (
            ("raw", lambda states: raw_moves(game, model.evaluate, states)),
            (str(SIMULATIONS), lambda states: searched_moves(game, model.evaluate, states, SIMULATIONS, seed=0)),
        ):
            overall = measure(game, choose, held_out, player=name).overall
            found[f"value_optimal_{name}"] = overall.value_optimal.value
            found[f"decisive_{name}"] = overall.decisive_value_optimal.value
        return found

    return measured


def _plot(curve: list[dict[str, Any]], env: str, path: Path) -> None:
    figure_, axes = plt.subplots(figsize=(7, 4))
    minutes = [point["minutes"] for point in curve]
    for name, label in (
        ("value_optimal_raw", "raw net"),
        (f"value_optimal_{SIMULATIONS}", f"{SIMULATIONS} simulations"),
        ("decisive_raw", "raw net, decisive positions"),
        (f"decisive_{SIMULATIONS}", f"{SIMULATIONS} simulations, decisive positions"),
    ):
        if name in curve[0]:
            axes.plot(minutes, [100 * point[name] for point in curve], marker="o", label=label)
    axes.set_xlabel("minutes of the loop")
    axes.set_ylabel("value-optimal moves, %")
    axes.set_title(f"{find_game(env).display_name}: moves held against perfect play")
    axes.grid(alpha=0.3)
    axes.legend()
    figure_.tight_layout()
    figure_.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
