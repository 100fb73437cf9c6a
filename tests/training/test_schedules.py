"""Learning-rate schedules: hand-worked values, and torch's own schedulers as the other source."""

from __future__ import annotations

import pytest
import torch

from clew.recipes.base import Training
from clew.training.schedules import factor


def factors(planned: int, **fields: object) -> list[float]:
    training = Training(learning_rate=1.0, **fields)
    return [factor(training, step, planned) for step in range(planned)]


def test_the_warm_up_rises_linearly_and_ends_at_the_peak():
    assert factors(6, schedule="constant", warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_cosine_by_hand():
    # Five steps after a warm-up of two: cos(0), cos(pi/4), cos(pi/2), cos(3 pi/4), cos(pi) between 1 and 0.1.
    root = 2**0.5 / 2
    expected = [0.5, 1.0] + [0.1 + 0.9 * 0.5 * (1 + cosine) for cosine in (1, root, 0, -root, -1)]
    assert factors(7, schedule="cosine", warmup_steps=2, min_learning_rate=0.1) == pytest.approx(expected)


def test_the_cosine_is_that_of_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    planned = 50
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=planned - 1, eta_min=0.05)
    theirs = []
    for _ in range(planned):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert factors(planned, schedule="cosine", min_learning_rate=0.05) == pytest.approx(theirs, abs=1e-9)


def test_a_trapezoid_by_hand():
    expected = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    found = factors(10, schedule="trapezoid", warmup_steps=2, cooldown_fraction=0.4, min_learning_rate=0.0)
    assert found == pytest.approx(expected)


def test_a_trapezoid_falls_to_the_minimum_and_no_further():
    found = factors(10, schedule="trapezoid", cooldown_fraction=0.5, min_learning_rate=0.2)
    assert found[-1] == pytest.approx(0.2)
    assert min(found) == found[-1]


@pytest.mark.parametrize("schedule", ["cosine", "trapezoid"])
def test_beyond_the_planned_steps_it_stays_at_the_minimum(schedule):
    training = Training(learning_rate=1.0, min_learning_rate=0.25, schedule=schedule)
    assert [factor(training, step, 10) for step in (9, 10, 500)] == pytest.approx([0.25] * 3)


def test_a_minimum_above_the_peak_leaves_the_peak():
    assert max(factors(10, schedule="cosine", min_learning_rate=5.0)) == 1.0


@pytest.mark.parametrize("schedule", ["constant", "cosine", "trapezoid"])
@pytest.mark.parametrize("planned", [1, 2, 3])
def test_a_run_shorter_than_its_warm_up_has_a_rate_for_every_step(schedule, planned):
    found = factors(planned, schedule=schedule, warmup_steps=5)
    assert found == [(step + 1) / 5 for step in range(planned)]
