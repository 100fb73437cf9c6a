"""What the loop itself costs a step, beyond batch, forward, backward and optimiser: tiny models take many steps.

    python benchmarks/loop.py [--steps 5000]

A perceptron of some 5,000 weights is trained by the loop (metrics every 100 steps, no evaluation or checkpoint before
the end) and by five bare lines with the same batches, loss and fused AdamW, in turns. The loop's own cost is the
difference between the quickest turns of each, since whatever else the machine does only adds. Time is the processor's,
on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from common import emit, figure, say
from torch import nn

from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.recipes.base import Training
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.folder import create_run
from clew.runs.progress import Evaluation
from clew.training.devices import Placement
from clew.training.fit import fit
from clew.training.objective import Loss, Objective, Shard
from clew.training.optimizers import Optimizer

TARGET = 100.0


class Small(Objective):
    """A perceptron that fits random points; a batch is at hand, so that making it costs next to nothing."""

    def __init__(self, training: Training) -> None:
        torch.manual_seed(0)
        self.recipe = NextTokenRecipe(training=training)
        self.model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, 8))
        draw = generator(0, "points")
        self._batches = [
            tuple(torch.from_numpy(draw.standard_normal((64, size))).float() for size in (32, 8)) for _ in range(16)
        ]
        self._weight = torch.tensor(64.0)

    def batch(self, step: int, shard: Shard) -> tuple[torch.Tensor, ...]:
        """One of sixteen."""
        return self._batches[step % 16]

    def loss(self, batch: tuple[torch.Tensor, ...]) -> Loss:
        """Squared error, with a part beside it, as most objectives have."""
        inputs, wanted = batch
        error = (self.model(inputs) - wanted).square().mean()
        return Loss(error, {"error": error}, self._weight)

    def evaluate(self, step: int) -> Evaluation:
        """Nothing to learn from."""
        return Evaluation({"score": 0.0}, watched="score")


def with_the_loop(steps: int, folder: Path) -> float:
    """Microseconds of processor time a step."""
    training = Training(
        max_steps=steps, batch_size=64, log_every=100, evaluate_every=10**9, checkpoint_every=10**9, threads=1
    )
    run = create_run(folder, NextTokenRecipe(), Evidence("none", "", "0" * 64))
    objective = Small(training)
    begun = time.process_time()
    fit(objective, run, training, Placement(torch.device("cpu"), torch.float32), shows=False)
    return (time.process_time() - begun) / steps * 1e6


def bare(steps: int) -> float:
    """The same without the loop."""
    training = Training(max_steps=steps, batch_size=64)
    objective = Small(training)
    optimizer = Optimizer(objective.model, training)
    begun = time.process_time()
    for step in range(steps):
        objective.loss(objective.batch(step, Shard(0, 1))).total.backward()
        optimizer.step()
    return (time.process_time() - begun) / steps * 1e6


def main() -> None:
    """Measure in turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5_000, help="steps of each turn")
    parser.add_argument("--turns", type=int, default=4, help="turns of each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    weights = sum(parameter.numel() for parameter in Small(Training(max_steps=1)).model.parameters())
    times: dict[str, list[float]] = {"loop": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        bare(10)  # what is loaded at the first step belongs to neither
        with_the_loop(10, Path(folder))
        for _ in range(options.turns):
            times["bare"].append(bare(options.steps))
            times["loop"].append(with_the_loop(options.steps, Path(folder)))
    loop, plain = (min(times[name]) for name in ("loop", "bare"))
    say(f"{weights:,} weights: {loop:.0f} us a step in the loop, {plain:.0f} us bare")
    emit(
        "loop",
        {
            "loop_us_per_step": figure(loop - plain, "us", target=TARGET, better="lower"),
            "bare_us_per_step": figure(plain, "us", better="lower"),
        },
    )


if __name__ == "__main__":
    main()
