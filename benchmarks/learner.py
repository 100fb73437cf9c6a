"""How fast is the learner? Optimiser steps per second of the 4x128 tower, against a plain eager loop, in one run.

The peer is what a script does: the same tower, batches drawn by numpy from arrays in memory, float32, eager, unfused
Adam. Ours is the objective as `clew train connect4` runs it on this machine (precision, compilation, fused optimiser,
rows from the window). Turns alternate, and the figure is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import emit, figure, say

from clew.games.replay import Replay
from clew.games.rules import find_game
from clew.games.self_play import SelfPlay
from clew.models.policy_value import PolicyValueNet
from clew.objectives.alphazero.objective import AlphaZero, PreparedReplay
from clew.recipes.alphazero import Actor, AlphaZeroRecipe
from clew.training import devices
from clew.training.devices import Placement
from clew.training.objective import Shard
from clew.training.optimizers import Optimizer

BATCH = 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="more and longer turns")
    parser.add_argument("--compile", default="yes", choices=("yes", "no"), help="compile our loss")
    options = parser.parse_args()
    turns, steps = (9, 20) if options.full else (5, 8)
    with tempfile.TemporaryDirectory() as folder:
        recipe = _recipe(Path(folder), options.compile)
        _fill(Path(recipe.data.db))
        with devices.placement(recipe.training) as placement:
            objective = AlphaZero(PreparedReplay(recipe, find_game("connect4")), Path(folder), placement)
            assert all(hook.ready(0) for hook in objective.hooks)
            ours = _ours(objective, recipe, placement, compiled=options.compile == "yes")
            plain = _plain(objective)
            say("warming up (compiling)")
            for step in range(2):
                ours(step)
                plain(step)
            times: dict[str, list[float]] = {"ours": [], "plain": []}
            for turn in range(turns):
                for name, work in (("ours", ours), ("plain", plain)):
                    begun = time.perf_counter()
                    for step in range(steps):
                        work(turn * steps + step)
                    times[name].append((time.perf_counter() - begun) / steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    say(f"{placement.dtype}, {torch.get_num_threads()} threads, compiled: {options.compile}")
    emit(
        "learner",
        {
            "ratio_eager": figure(medians["plain"] / medians["ours"], "times", target=2.0),
            "steps_per_second": figure(1 / medians["ours"], "steps/s"),
            "plain_steps_per_second": figure(1 / medians["plain"], "steps/s"),
        },
    )


def _recipe(folder: Path, compiled: str) -> AlphaZeroRecipe:
    return AlphaZeroRecipe.model_validate(
        {
            "training": {"batch_size": BATCH, "compile": compiled},
            "data": {"db": str(folder / "replay.db"), "env_id": "connect4"},
            "outputs": {"model_dir": str(folder / "models"), "stats": str(folder / "stats.json")},
            "net": {"width": 128, "depth": 4},
        }
    )


def _fill(path: Path) -> None:
    """A few thousand rows of random games."""
    game = find_game("connect4")
    play = SelfPlay(game, Actor(lanes=200, simulations=2), actor="bench", began=0, seed=0)
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(game)
        for _ in range(45):
            for episode in play.step(None, timestamp=0):
                replay.append(episode)


def _ours(
    objective: AlphaZero, recipe: AlphaZeroRecipe, placement: Placement, *, compiled: bool
) -> Callable[[int], None]:
    optimizer = Optimizer(objective.model, recipe.training)
    loss_of = torch.compile(objective.loss, dynamic=False) if compiled else objective.loss
    objective.model.train()

    def step(number: int) -> None:
        batch = objective.batch(0, Shard(0, 1))
        with placement.autocast():
            loss = loss_of(batch)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(objective.model.parameters(), 1.0)
        optimizer.step()

    return step


def _plain(objective: AlphaZero) -> Callable[[int], None]:
    stop = objective.feed.training.last
    rows = objective.feed.training.gather(np.arange(stop))
    observation, policy, outcome = (np.array(each) for each in (rows.observation, rows.policy, rows.outcome))
    net = PolicyValueNet(objective.config)
    net.initialise(torch.Generator().manual_seed(0))
    net.to(next(objective.model.parameters()).device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4, foreach=False, fused=False)
    random = np.random.default_rng(0)
    device = next(net.parameters()).device

    def step(number: int) -> None:
        chosen = random.integers(0, stop, BATCH)
        x, pi, z = (torch.from_numpy(each[chosen]).to(device) for each in (observation, policy, outcome))
        logits, value = net(x)
        legal = x[:, 84:91] > 0.5
        log_p = F.log_softmax(logits.masked_fill(~legal, -1e30), dim=1)
        loss = -(pi * log_p).sum(1).mean() + F.mse_loss(value, z)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
