"""How fast does PPO learn, training included, beside stable-baselines3 with the same settings, and how well?

Both learn in turn, seed by seed, in the same environments (Gymnasium's own), with the same number of them, steps,
epochs, minibatch, net and optimiser: those of stable-baselines3's own defaults. A run's time is that of its whole loop:
for ours `fit` with its checkpoint and evaluation at the end. Returns are means over 100 episodes of most probable
actions, over seeds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import emit, figure, say
from numpy.typing import NDArray

from clew.core.intervals import mean_interval
from clew.environments.episodes import play
from clew.environments.evidence import prepare
from clew.objectives.ppo import PPO, make
from clew.recipes import recipe_class
from clew.recipes.base import validate
from clew.runs.folder import create_run
from clew.training import devices
from clew.training.fit import fit

EPISODES = 100


@dataclass(frozen=True)
class Task:
    """An environment, and the settings that both learn it with."""

    id: str
    count: int
    rollout_steps: int
    batch_size: int
    epochs: int
    learning_rate: float
    gamma: float
    gae_lambda: float
    short: int
    full: int


CARTPOLE = Task("CartPole-v1", 4, 2048, 64, 10, 3e-4, 0.99, 0.95, 16_384, 98_304)
PENDULUM = Task("Pendulum-v1", 4, 1024, 64, 10, 1e-3, 0.9, 0.95, 8_192, 98_304)


def _clocks() -> NDArray[np.float64]:
    """Seconds that passed, and seconds that this process computed: the same for one thread on a quiet machine."""
    return np.array([time.perf_counter(), time.process_time()])


def ours(task: Task, steps: int, seed: int, folder: Path) -> tuple[NDArray[np.float64], float]:
    """Steps a second, by both clocks, and the mean return afterwards."""
    values: dict[str, Any] = {
        "seed": seed,
        "environment": {"id": task.id, "count": task.count},
        "rollout": {
            "rollout_steps": task.rollout_steps,
            "total_steps": steps,
            "gamma": task.gamma,
            "gae_lambda": task.gae_lambda,
        },
        "training": {
            "batch_size": task.batch_size,
            "max_epochs": task.epochs,
            "learning_rate": task.learning_rate,
            "evaluate_every": 10**9,
            "checkpoint_every": 10**9,
            "device": "cpu",
            "threads": 1,
        },
        "evaluation": {"eval_episodes": 1},
    }
    recipe: Any = validate(recipe_class("ppo"), {"objective": "ppo", **values}, "benchmark")
    prepared = prepare(recipe)
    run = create_run(folder, recipe, prepared.evidence, keep=prepared.keep)
    with devices.placement(recipe.training) as placement:
        objective: PPO = make(prepared, run.folder, placement)
        begun = _clocks()
        progress = fit(objective, run, recipe.training, placement, shows=False)
        seconds = _clocks() - begun
        returns = play(prepared.make, objective._torch.best, EPISODES, seed=seed + 1000)
    return progress.items_seen / seconds, returns.figures()["mean_return"]


def theirs(task: Task, steps: int, seed: int) -> tuple[NDArray[np.float64], float]:
    """The same of stable-baselines3."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    model = stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env(task.id, n_envs=task.count, seed=seed),
        n_steps=task.rollout_steps,
        batch_size=task.batch_size,
        n_epochs=task.epochs,
        learning_rate=task.learning_rate,
        gamma=task.gamma,
        gae_lambda=task.gae_lambda,
        seed=seed,
        device="cpu",
    )
    begun = _clocks()
    model.learn(steps)
    seconds = _clocks() - begun
    mean, _ = evaluate_policy(model, make_vec_env(task.id, n_envs=8, seed=seed + 1000), n_eval_episodes=EPISODES)
    return model.num_timesteps / seconds, float(mean)


def compared(task: Task, steps: int, seeds: int, prefix: str) -> dict[str, dict[str, Any]]:
    """Figures of both over the seeds."""
    speeds: dict[str, list[NDArray[np.float64]]] = {"ours": [], "sb3": []}
    returns: dict[str, list[float]] = {"ours": [], "sb3": []}
    with tempfile.TemporaryDirectory() as temporary:
        # What is compiled or imported at the first use is no part of the question.
        ours(task, 1, 10_000, Path(temporary))
        theirs(task, 1, 10_000)
        for seed in range(seeds):
            for name in ("ours", "sb3") if seed % 2 == 0 else ("sb3", "ours"):
                speed, mean = ours(task, steps, seed, Path(temporary)) if name == "ours" else theirs(task, steps, seed)
                speeds[name].append(speed)
                returns[name].append(mean)
                say(
                    f"{task.id} seed {seed} {name}: {speed[0]:,.0f} steps/s, {speed[1]:,.0f} a CPU second, "
                    f"mean return {mean:.1f}"
                )
    ratios = [one / other for one, other in zip(speeds["ours"], speeds["sb3"], strict=True)]
    differences = [one - other for one, other in zip(returns["ours"], returns["sb3"], strict=True)]
    low, high = mean_interval(differences)
    first = prefix == ""
    full = steps == task.full
    return {
        f"{prefix}ratio_sb3": figure(_median(ratios, 0), "times", target=5.0 if first else None),
        f"{prefix}ratio_sb3_cpu": figure(_median(ratios, 1), "times"),
        f"{prefix}steps_per_second_ours": figure(_median(speeds["ours"], 0), "steps/s"),
        f"{prefix}steps_per_second_sb3": figure(_median(speeds["sb3"], 0), "steps/s"),
        f"{prefix}return_ours": figure(
            statistics.mean(returns["ours"]), "return", target=475.0 if first and full else None
        ),
        f"{prefix}return_sb3": figure(statistics.mean(returns["sb3"]), "return"),
        f"{prefix}return_difference_low": figure(low, "return"),
        f"{prefix}return_difference_high": figure(high, "return"),
        f"{prefix}seeds": figure(seeds, "runs"),
    }


def _median(values: list[NDArray[np.float64]], clock: int) -> float:
    return statistics.median(float(each[clock]) for each in values)


def main() -> None:
    """Learn, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="5 seeds and as many steps as learning takes (minutes)")
    parser.add_argument("--seeds", type=int, default=0, help="seeds; by default 1, or 5 with --full")
    parser.add_argument("--only", choices=("cartpole", "pendulum"), help="one of the two tasks alone")
    options = parser.parse_args()
    seeds = options.seeds or (5 if options.full else 1)
    figures: dict[str, dict[str, Any]] = {}
    for name, task, prefix in (("cartpole", CARTPOLE, ""), ("pendulum", PENDULUM, "pendulum_")):
        if options.only in (None, name):
            figures |= compared(task, task.full if options.full else task.short, seeds, prefix)
    emit("ppo", figures)


if __name__ == "__main__":
    main()
