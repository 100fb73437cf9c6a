"""Learning-rate schedules as functions of the step. They depend on the *planned* steps alone, so a resumed run
continues its decay and never restarts at the peak."""

from __future__ import annotations

import math

from clew.recipes.base import Training


def factor(training: Training, step: int, planned_steps: int) -> float:
    """Return what the peak learning rate is multiplied by at `step` (0-based) of `planned_steps`.

    The schedule may span more than this run: `schedule_start` steps went before, `schedule_steps` are all.
    Warm-up: linear from warmup_start_ratio to 1 at warmup_steps. Then, with m = min_learning_rate / learning_rate:
    constant 1; linear 1 - (1 - m) t and cosine m + (1 - m) (1 + cos(pi t)) / 2 over the steps after the warm-up
    (Loshchilov & Hutter 2016), where a linear one reaches m after the last step, as transformers has it;
    trapezoid 1, and over the last `cooldown_fraction` of the planned steps linear to m (Haegele et al. 2024).
    Beyond the planned steps the factor stays m.
    """
    step += training.schedule_start
    planned_steps = training.schedule_steps or planned_steps + training.schedule_start
    if step < training.warmup_steps:
        start = training.warmup_start_ratio
        return start + (1.0 - start) * (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return 1.0
    lowest = min(1.0, training.min_learning_rate / training.learning_rate)
    if training.schedule == "linear":
        done = (step - training.warmup_steps) / max(1, planned_steps - training.warmup_steps)
        return lowest + (1.0 - lowest) * (1.0 - min(1.0, done))
    if training.schedule == "cosine":
        done = (step - training.warmup_steps) / max(1, planned_steps - 1 - training.warmup_steps)
        return lowest + (1.0 - lowest) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    cooldown = max(1, round(training.cooldown_fraction * planned_steps))
    left = max(0, planned_steps - 1 - step)
    return lowest + (1.0 - lowest) * min(1.0, left / cooldown)
