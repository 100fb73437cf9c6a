"""What does fine-tuning on traces teach, and what does a model teach itself? `clew loop arithmetic`, in minutes.

A small GPT answers held-out sums and differences before training, after training on generated traces, and after a
second round on its own answers that the checker accepted; and a harder level of which no round has a prompt. By default
a short form, one round of few steps; `--full` is the loop as it ships.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import emit, figure, say

SHORT = {"loop.traces": 6000, "loop.questions": 100, "loop.rounds": 1, "max-steps": 400}


def main() -> None:
    """Run the loop and print what its rounds came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the loop as it ships (10 to 15 minutes on two cores)")
    parser.add_argument("--folder", type=Path, help="folder of the loop; kept. By default a temporary one")
    options = parser.parse_args()
    short = {} if options.full else SHORT
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "loop"
        command = ["loop", "arithmetic", "--folder", str(folder), "--json"]
        command += [word for name, value in short.items() for word in (f"--{name}", str(value))]
        done = subprocess.run([sys.executable, "-m", "clew.cli.main", *command], check=True, stdout=subprocess.PIPE)
    outcome = json.loads(done.stdout.decode().splitlines()[-1])
    for name, scores in outcome["scores"].items():
        for round_, share in scores.items():
            say(f"{name:<9} {round_:<8} {share['value']:7.2%} ({share['low']:.2%} to {share['high']:.2%})")
    say(json.dumps(outcome["stages"]))
    held_out, harder = outcome["scores"]["held_out"], outcome["scores"]["harder"]
    first = [name for name in outcome["stages"] if not name.startswith("round-") or name.startswith("round-1/")]
    after = 0.9 if options.full else None
    figures = {
        "exact_match_before": figure(held_out["base"]["value"], "share", target=0.05, better="lower"),
        "exact_match_after": figure(held_out["round-1"]["value"], "share", target=after),
        "exact_match_after_low": figure(held_out["round-1"]["low"], "share"),
        "harder_before": figure(harder["base"]["value"], "share"),
        "harder_round_1": figure(harder["round-1"]["value"], "share"),
        "minutes_to_round_1": figure(
            sum(outcome["stages"][name] for name in first) / 60, "minutes", target=10.0, better="lower"
        ),
    }
    if options.full:
        second = harder["round-2"]
        figures |= {
            "exact_match_round_2": figure(held_out["round-2"]["value"], "share"),
            "harder_round_2": figure(second["value"], "share", target=harder["round-1"]["value"]),
            "harder_round_2_low": figure(second["low"], "share"),
            "harder_round_2_high": figure(second["high"], "share"),
            "minutes": figure(outcome["seconds"] / 60, "minutes"),
        }
    emit("sft_learning", figures)


if __name__ == "__main__":
    main()
