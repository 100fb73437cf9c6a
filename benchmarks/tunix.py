"""Do torch and tunix train the same model? Losses of 50 steps from the same weights and batches, seconds a step of
both, and what `clew evaluate traces` says of the weights that tunix trained further.

The short form takes a very small model made on the spot and few steps, after which it answers nothing yet; --full
takes `base` itself and 1,500 steps, half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import emit, figure, say

SMALL = """objective: next_token
name: base
data: {tokenizer: turns, validation_fraction: 0.02}
model: {context_length: 256, d_model: 64, n_layers: 2, n_heads: 2, d_mlp: 128, dropout: 0.0}
samples: {sample_tokens: 0}
training: {max_steps: 20, batch_size: 8, learning_rate: 2.0e-3, evaluate_every: 20, checkpoint_every: 20, patience: 0}
"""
COMPARED = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the model `base`, and as many steps as it needs")
    full: bool = parser.parse_args().full
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = dict(os.environ)
        if not full:
            (folder / "base.yaml").write_text(SMALL)
            environment |= {"CLEW_BASE_RECIPE": str(folder / "base.yaml"), "CLEW_CACHE": str(folder / "cache")}
        traces, questions = folder / "traces.jsonl", folder / "questions.jsonl"
        rows = 16 if full else 2
        count, steps = (20_000, 1500) if full else (1000, 60)
        clew(environment, "traces", "generate", "arithmetic", "--count", count, "--output", traces)
        asked = ("--questions", "--count", 200 if full else 20)
        clew(environment, "traces", "generate", "arithmetic", *asked, "--output", questions)
        lines, seconds = {}, {}
        for backend in ("torch", "tunix"):
            say(f"{COMPARED} steps with {backend}")
            run = trained(environment, folder / backend, traces, backend, COMPARED, rows, log_every=1)
            lines[backend] = [row for row in read(run / "metrics.jsonl") if "loss" in row]
            seconds[backend] = seconds_a_step(read(run / "timing.jsonl"))
        say(f"{steps} steps with tunix")
        run = trained(environment, folder / "longer", traces, "tunix", steps, rows, log_every=50)
        output = folder / "rows.jsonl"
        clew(environment, "evaluate", "traces", "--model", run, "--eval-set", questions, "--output", output)
        scores = [float(row["score"]) for row in read(output)]
    pairs = list(zip(lines["torch"], lines["tunix"], strict=True))
    differences = [abs(ours["loss"] - theirs["loss"]) for ours, theirs in pairs]
    relative = [each / ours["loss"] for each, (ours, _) in zip(differences, pairs, strict=True)]
    emit(
        "tunix",
        {
            "first_loss_difference": figure(differences[0], "nats", target=1e-4, better="lower"),
            "largest_relative_difference": figure(max(relative), "of the loss", target=0.02, better="lower"),
            "steps_compared": figure(len(pairs), "steps", target=COMPARED),
            "exact_match_tunix": figure(sum(scores) / len(scores), "of questions"),
            "last_loss_tunix": figure(lines["tunix"][-1]["loss"], "nats a token"),
            "torch_seconds_per_step": figure(seconds["torch"], "s"),
            "tunix_seconds_per_step": figure(seconds["tunix"], "s"),
        },
    )


def trained(
    environment: dict[str, str], run: Path, traces: Path, backend: str, steps: int, rows: int, *, log_every: int
) -> Path:
    """A run of `backend` in the folder `run`: the arithmetic preset's sizes of steps, with AdamW in float32."""
    settings = {
        "max_steps": steps, "batch_size": rows, "optimizer": "adamw", "learning_rate": 2e-3, "precision": "float32",
        "max_length": 256, "log_every": log_every, "evaluate_every": steps, "checkpoint_every": steps,
        "warmup_steps": 10, "device": "cpu",
    }  # fmt: skip
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    clew(environment, "train", "sft", "--data", traces, "--output", run, "--backend", backend, *flags)
    return run


def seconds_a_step(timing: list[dict[str, Any]]) -> float:
    """Seconds between logged steps, over the second half: what is compiled is compiled by then."""
    half = timing[len(timing) // 2 :]
    return float((half[-1]["elapsed"] - half[0]["elapsed"]) / (half[-1]["step"] - half[0]["step"]))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def clew(environment: dict[str, str], *arguments: object) -> None:
    """Run one command of Clew; what it says goes to stderr."""
    command = [sys.executable, "-m", "clew.cli.main", *map(str, arguments)]
    subprocess.run(command, env=environment, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
