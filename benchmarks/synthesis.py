"""What is a guide worth to the search for programs? Held-out tasks, with it and without it, on one core.

A guide is trained on demonstrations, exported, and loaded by the search as a host loads it. Three opponents: the
enumeration by size with equal programs pruned (`enumerate`), the same in the order of how often the demonstrations use
each production (`frequencies`: no net), and the same in the order of the guide's probabilities (`grammar`). Nodes are
compared on tasks that both solve (geometric mean of the ratio, 95% by bootstrap), solved tasks at equal seconds; tasks
whose programs are longer than any that was demonstrated are told apart, and so are those that ship with Clew.

Then PPO goes on from the imitation, on tasks that were demonstrated, with several seeds. What it trains is the policy
that draws programs, production by production; so the figure is the share of held-out tasks that one drawn program
solves (a mean over draws), after PPO over before it, its interval over seeds. Beside it: tasks that one of all draws
solves, and tasks that best-first search solves within as many states. `--folder` keeps what was made and goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import emit, figure, say
from scipy import stats

from clew import recipes
from clew.bundle.guide import GuideModel
from clew.core import plots
from clew.core.randomness import generator
from clew.export import export
from clew.programs.demonstrating import demonstrate
from clew.programs.demonstrations import Demonstrations, read, write
from clew.programs.environment import SynthesisEnv
from clew.programs.grammar import INPUTS
from clew.programs.guidance import BundleGuide, FrequencyGuide, counts_of
from clew.programs.held_out import excluded, held_out
from clew.programs.search.gain import Gain, compare, paired, run_all
from clew.programs.search.problem import Budget, Found, Problem, of_task
from clew.programs.task import shipped_tasks
from clew.recipes import base
from clew.recipes.imitation import ImitationRecipe
from clew.training import launch

NOWHERE = math.inf
"""Seconds of a search that its nodes end."""


@dataclass(frozen=True)
class Plan:
    """How much of each."""

    demonstrations: int
    tasks: int
    longer: int
    seconds: float
    seeds: int
    environment_steps: int
    draws: int
    """Programs drawn for a task."""
    states: int
    """States that best-first search expands for a task."""
    guide: dict[str, Any]
    """Changes to the preset `guide`."""
    shipped: int | None
    """Shipped tasks, the first so many; None: all."""


SHORT = Plan(
    demonstrations=300,
    tasks=24,
    longer=6,
    seconds=0.3,
    seeds=1,
    environment_steps=4096,
    draws=5,
    states=200,
    guide={
        "training.max_epochs": 8.0,
        "training.batch_size": 128,
        "training.warmup_steps": 20,
        "model.hidden_dim": 128,
    },
    shipped=24,
)
FULL_PLAN = Plan(
    demonstrations=12_000,
    tasks=300,
    longer=100,
    seconds=1.0,
    seeds=5,
    environment_steps=100_000,
    draws=20,
    states=500,
    guide={},
    shipped=None,
)


def main() -> None:
    """Make, train, search, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="300 held-out tasks, 12,000 demonstrations, five seeds")
    parser.add_argument("--folder", type=Path, help="where everything is kept, and taken from where it is there")
    parser.add_argument("--seed", type=int, default=42, help="of tasks, demonstrations and trainings")
    parser.add_argument("--plot", type=Path, help="write the picture of solved tasks to this PNG file")
    options = parser.parse_args()
    plan = FULL_PLAN if options.full else SHORT
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(plan, folder, options.seed, options.plot)
    emit("synthesis", figures)


def measure(plan: Plan, folder: Path, seed: int, plot: Path | None) -> dict[str, dict[str, Any]]:
    """All figures."""
    held, longer, evidence = _evidence(plan, folder, seed)
    run = _imitation(plan, folder, evidence, seed)
    guide = BundleGuide(_bundle(run, folder / "guide"))
    frequencies = FrequencyGuide(counts_of((each.problem, each.actions) for each in read(evidence).items))
    budget = Budget(nodes=1_000_000_000, seconds=plan.seconds, memory=2 * 2**30)
    shipped = [of_task(task) for task in shipped_tasks() if len(task.inputs) <= INPUTS][: plan.shipped]
    sets = {"": read(held).items, "longer_": read(longer).items}
    figures: dict[str, dict[str, Any]] = {}
    for name, problems in [
        *((name, [each.problem for each in items]) for name, items in sets.items()),
        ("shipped_", shipped),
    ]:
        say(f"{len(problems)} tasks ({name or 'held out'}), {plan.seconds:g} s each, three searches")
        by_guide = compare(problems, guide, budget=budget)
        by_counts = run_all(problems, frequencies, budget=budget)
        figures |= _gain_figures(name, by_guide, by_counts)
        if not name:
            _tell_sizes([len(each.actions) for each in sets[""]], by_guide)
            figures["programs_per_second"] = figure(_rate(by_guide.baseline), "programs/s")
            if plot is not None:
                _draw(plot, by_guide, by_counts, plan.seconds)
    return figures | _ppo_figures(plan, folder, run, evidence, [each.problem for each in sets[""]], seed)


# Evidence and training


def _evidence(plan: Plan, folder: Path, seed: int) -> tuple[Path, Path, Path]:
    held, longer, evidence = (folder / f"{name}.jsonl" for name in ("held_out", "longer", "demonstrations"))
    if not held.exists():
        say(f"{plan.tasks} tasks to hold out")
        write(held, held_out(plan.tasks, seed))
    if not longer.exists():
        write(longer, held_out(plan.longer, seed, longer=True, exclude=excluded([held])))
    if not evidence.exists():
        say(f"{plan.demonstrations} demonstrations, none computes what a held-out task does")
        write(evidence, demonstrate(plan.demonstrations, seed, exclude=excluded([held, longer])))
    return held, longer, evidence


def _imitation(plan: Plan, folder: Path, evidence: Path, seed: int) -> Path:
    recipe = base.changed(recipes.load("guide"), {"data.path": str(evidence), "seed": seed, **plan.guide}, "benchmark")
    return _trained(recipe, folder / "imitation")


def _trained(recipe: base.Recipe, folder: Path) -> Path:
    """The run in `folder`: taken as it is where it is done, else trained."""
    if not (folder / "checkpoints" / "best.json").exists():
        launch.train(recipe, folder=folder, say=say, shows=False)
    return folder


def _bundle(run: Path, folder: Path) -> Path:
    if not folder.exists():
        export(str(run), folder)
    return folder


# Figures


def _rate(found: Sequence[Found]) -> float:
    """Candidates a second, over searches long enough that their beginning does not count."""
    long = [each for each in found if each.seconds > 0.05] or list(found)
    return sum(each.nodes for each in long) / sum(each.seconds for each in long)


def _gain_figures(name: str, gain: Gain, by_counts: Sequence[Found]) -> dict[str, dict[str, Any]]:
    target = 10.0 if not name else None
    against = paired(gain.names, by_counts, gain.guided)
    figures = {}
    for kind, ratio in (("nodes_ratio", gain.nodes_ratio), ("nodes_ratio_frequencies", against.nodes_ratio)):
        if ratio is not None:
            goal = target if kind == "nodes_ratio" else None
            figures[f"{name}{kind}"] = figure(ratio.geometric_mean, "times", target=goal)
            figures[f"{name}{kind}_low"] = figure(ratio.geometric_mean_low, "times")
            figures[f"{name}{kind}_high"] = figure(ratio.geometric_mean_high, "times")
    if gain.seconds_ratio is not None:
        figures[f"{name}seconds_ratio"] = figure(gain.seconds_ratio.geometric_mean, "times")
    solved, before = gain.solved_guided, gain.solved_baseline
    figures[f"{name}solved_guided"] = figure(solved.value, "share")
    figures[f"{name}solved_enumerate"] = figure(before.value, "share")
    figures[f"{name}solved_frequencies"] = figure(against.solved_baseline.value, "share")
    if before.successes:
        goal = 1.0 if not name else None
        figures[f"{name}solved_ratio"] = figure(solved.successes / before.successes, "times", target=goal)
    figures[f"{name}solved_gained"] = figure(gain.gained, "tasks")
    figures[f"{name}solved_lost"] = figure(gain.lost, "tasks", better="lower")
    figures[f"{name}solved_difference_low"] = figure(gain.solved_difference_low, "share")
    figures[f"{name}tasks"] = figure(len(gain.names), "tasks")
    return figures


def _tell_sizes(sizes: Sequence[int], gain: Gain) -> None:
    """By size of the program that a task was drawn from, on stderr."""
    say("size  tasks  solved: enumerate  guided   median nodes: enumerate   guided")
    for size in sorted(set(sizes)):
        chosen = [place for place, each in enumerate(sizes) if each == size]
        first, second = [gain.baseline[place] for place in chosen], [gain.guided[place] for place in chosen]
        nodes = [statistics.median(each.nodes for each in found) for found in (first, second)]
        solved = [sum(each.solved for each in found) for found in (first, second)]
        say(f"{size:>4}  {len(chosen):>5}  {solved[0]:>17}  {solved[1]:>6}  {nodes[0]:>24,.0f}  {nodes[1]:>7,.0f}")


def _ppo_figures(
    plan: Plan, folder: Path, run: Path, evidence: Path, problems: Sequence[Problem], seed: int
) -> dict[str, dict[str, Any]]:
    """Tasks solved after PPO, over those solved before it, by drawing programs and by best-first search."""
    tasks = _smaller(evidence, folder / "ppo_tasks.jsonl")
    shape = recipes.load(str(run / "recipe.yaml"))
    assert isinstance(shape, ImitationRecipe)
    changes = {
        "start_from": str(run),
        "environment.kwargs": {"tasks": str(tasks), "max_size": 8, "shaping": 0.1},
        "net.hidden": (shape.model.hidden_dim,) * shape.model.layers,
        "rollout.total_steps": plan.environment_steps,
    }
    before = _solved(folder / "guide", problems, plan, seed)
    after = []
    for number in range(plan.seeds):
        recipe = base.changed(recipes.load("synthesis_ppo"), {**changes, "seed": seed + number}, "benchmark")
        trained = _trained(recipe, folder / f"ppo-{number}")
        after.append(_solved(_bundle(trained, folder / f"ppo-guide-{number}"), problems, plan, seed))
        say(f"seed {number}: solved a draw, by all, by best-first: {before} by imitation, {after[-1]} after PPO")
    figures = {}
    for place, name in enumerate(("", "of_all_draws_", "best_first_")):
        ratios = [each[place] / before[place] if before[place] else 1.0 for each in after]
        mean, half = statistics.mean(ratios), 0.0
        if len(ratios) > 1:
            quantile = float(stats.t.ppf(0.975, len(ratios) - 1))
            half = quantile * statistics.stdev(ratios) / math.sqrt(len(ratios))
        figures |= {
            f"{name}solved_imitation": figure(before[place], "share"),
            f"{name}solved_ppo": figure(statistics.mean(each[place] for each in after), "share"),
            f"{name}solved_ppo_over_imitation": figure(mean, "times", target=None if name else 1.0),
            f"{name}solved_ppo_over_imitation_low": figure(mean - half, "times"),
            f"{name}solved_ppo_over_imitation_high": figure(mean + half, "times"),
        }
    return figures


def _smaller(evidence: Path, path: Path) -> Path:
    """512 of the demonstrated tasks with programs of at most five nodes: few, so that each is tried often, and short,
    so that some draws solve it.

    None computes what a held-out task does, since no demonstration does.
    """
    if not path.exists():
        found = read(evidence)
        few = tuple(each for each in found.items if len(each.actions) <= 5)[:512]
        write(path, Demonstrations(found.grammar, few, found.made))
    return path


def _solved(bundle: Path, problems: Sequence[Problem], plan: Plan, seed: int) -> tuple[float, float, float]:
    """Shares of the tasks that one drawn program solves, that one of all drawn solves, and that best-first solves."""
    budget = Budget(nodes=plan.states, seconds=NOWHERE)
    searched = run_all(problems, BundleGuide(bundle), budget=budget, how="best-first")
    drawn = _drawn(GuideModel(bundle), problems, plan.draws, seed)
    return float(drawn.mean()), float(drawn.any(axis=0).mean()), statistics.mean(each.solved for each in searched)


def _drawn(model: GuideModel, problems: Sequence[Problem], draws: int, seed: int) -> np.ndarray:
    """Whether each program that the policy draws, production by production, solves its task: bool [draws, tasks]."""
    solved = np.zeros((draws, len(problems)), bool)
    environments = [SynthesisEnv([problem], max_size=14, reweight=False) for problem in problems]
    for draw in range(draws):
        random = generator(seed, "drawn programs", draw)
        seen = [environment.reset(seed=0) for environment in environments]
        going = list(range(len(problems)))
        while going:
            logits = model.evaluate(np.stack([seen[place][0] for place in going])).policy_logits.astype(np.float64)
            # The largest of logits with Gumbel noise is a draw from their softmax.
            logits += random.gumbel(size=logits.shape)
            left = []
            for place, row in zip(going, logits, strict=True):
                row[seen[place][1]["action_mask"] == 0] = -np.inf
                observation, _, terminated, truncated, info = environments[place].step(int(row.argmax()))
                seen[place] = observation, info
                if terminated or truncated:
                    solved[draw, place] = info["solved"]
                else:
                    left.append(place)
            going = left
    return solved


def _draw(path: Path, gain: Gain, by_counts: Sequence[Found], seconds: float) -> None:
    """Share of tasks solved against nodes, and against seconds."""
    made, axes = plots.figure(1, 2, size=(10, 3.8))
    lines = (
        ("the guide's probabilities", gain.guided, plots.MODEL, "-"),
        ("frequencies of the demonstrations", by_counts, plots.OTHER, "--"),
        ("enumeration by size", gain.baseline, plots.OTHER, "-"),
    )
    for panel, quantity in zip(axes[0], ("nodes", "seconds"), strict=True):
        for label, found, colour, style in lines:
            taken = np.sort([getattr(each, quantity) for each in found if each.solved])
            panel.step(
                taken, np.arange(1, len(taken) + 1) / len(found), where="post", color=colour, ls=style, label=label
            )
        panel.set_xscale("log")
        panel.set_ylim(0, 1)
        panel.set_xlabel("candidate programs" if quantity == "nodes" else "seconds on one core")
    axes[0][0].set_ylabel(f"share of {len(gain.names)} held-out tasks solved")
    axes[0][0].legend(frameon=False, loc="lower right", fontsize=9)
    made.suptitle(f"Search for programs, {seconds:g} s a task")
    plots.save_png(made, path)


if __name__ == "__main__":
    main()
