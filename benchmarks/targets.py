"""Which targets teach best? Nets trained anew on the rows of a finished loop, held against perfect play.

Two questions, each with all else equal (rows, steps, net, seed): which share of the search's root value belongs into
the value target, beside the outcome of the game, and how often a row may be seen. A limit on reuse is played through
by taking so many of the newest rows that each is seen so often in the steps at hand. Strength, not speed, is measured,
so other work beside it does no harm.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import emit, figure, say
from strength import connect4_measure

from clew import recipes
from clew.bundle.policy_value import PolicyValueModel
from clew.games.rules import find_game
from clew.games.strength import never_loses

SHARES = (0.0, 0.5, 1.0)
REUSE = (2, 8, 32)
USUAL = (0.5, 8)
"""What one is held at while the other is varied: the presets' choice."""


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="tictactoe", choices=("tictactoe", "connect4"))
    parser.add_argument(
        "--folder", type=Path, help="folder of a loop that was run; by default a short one is run first"
    )
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps of each net")
    parser.add_argument("--seeds", type=int, default=1, help="nets of each kind; their mean is told")
    parser.add_argument("--positions", type=int, default=1000, help="positions of connect4")
    parser.add_argument("--position-set", type=Path, help="file of the solved positions, made when it is not there")
    options = parser.parse_args()
    kinds = sorted({(share, USUAL[1]) for share in SHARES} | {(USUAL[0], reuse) for reuse in REUSE})
    found: dict[tuple[float, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or _short_loop(Path(temporary) / "loop", options.env)
        measured = _tictactoe if options.env == "tictactoe" else connect4_measure(options, folder)
        for seed in range(options.seeds):
            for kind in kinds:
                where = Path(temporary) / f"{kind}-{seed}"
                model = PolicyValueModel(_trained(options, folder / "replay.db", where, kind, seed))
                found.setdefault(kind, []).append(measured(model))
                say(f"root value {kind[0]:g}, reuse {kind[1]}, seed {seed}: {found[kind][-1]}")
    emit(f"targets_{options.env}", _figures(found))


def _figures(found: Mapping[tuple[float, int], list[dict[str, float]]]) -> dict[str, dict[str, Any]]:
    return {
        f"{name}_root_{share:g}_reuse_{reuse}": figure(statistics.mean(each[name] for each in measured), "share")
        for (share, reuse), measured in found.items()
        for name in measured[0]
    }


def _short_loop(folder: Path, env: str) -> Path:
    minutes = "0.25" if env == "tictactoe" else "3"
    _clew("loop", env, "--folder", folder, "--minutes", minutes, "--evaluation-games", 0)
    return folder


def _trained(options: argparse.Namespace, db: Path, where: Path, kind: tuple[float, int], seed: int) -> Path:
    """Train one net and return its model file."""
    share, reuse = kind
    batch = recipes.load(options.env).training.batch_size
    arguments = ["--db", db, "--max-steps", options.steps, "--seed", seed]
    arguments += ["--root-value-share", share, "--replay-window", options.steps * batch // reuse, "--max-reuse", 0]
    arguments += ["--checkpoint-every", options.steps, "--evaluate-every", options.steps, "--eval-games", 0]
    arguments += ["--model-dir", where / "models", "--stats", where / "stats.json", "--runs-dir", where / "runs"]
    _clew("train", options.env, "--log-level", "ERROR", *arguments)
    return where / "models/latest.onnx"


def _tictactoe(model: PolicyValueModel) -> dict[str, float]:
    every = never_loses(find_game("tictactoe"), model.evaluate)
    return {"value_optimal_raw": every.value_optimal / every.positions}


def _clew(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "clew.cli.main", *map(str, arguments)], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
