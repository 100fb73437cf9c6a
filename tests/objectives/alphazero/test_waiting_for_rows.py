"""A learner waits until there is enough for a step, however often it looks; a resumed one sees what was there then."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from clew.games.evidence import prepare
from clew.games.replay import Replay, Transition
from clew.objectives.alphazero.objective import AlphaZero
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.training.devices import Placement
from episodes import random_episode

CPU = Placement(torch.device("cpu"), torch.float32)
DB = "replay.db"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(first: int, last: int, *, broken: bool = False) -> list[Transition]:
    """Write games of these numbers; return their rows."""
    written = []
    with Replay.open(DB, create=True) as replay:
        for number in range(first, last):
            episode = random_episode(number)
            if broken:
                episode = [dataclasses.replace(row, observation=b"short") for row in episode]
            replay.append(episode)
            written += episode
    return written


def life(*, batch_size: int = 4, **data: object) -> AlphaZero:
    """A learner in its run's folder, as it begins or as it goes on after a kill."""
    values = {
        "data": {
            "db": DB,
            "wait_interval": 0.001,
            "max_wait": 5.0,
            "held_out_fraction": 0.0,
            "refresh_every": 2,
            **data,
        },
        "training": {"batch_size": batch_size, "checkpoint_every": 4},
        "net": {"width": 8},
    }
    return AlphaZero(prepare(AlphaZeroRecipe.model_validate(values)), Path("run"), CPU)


def ready(learner: AlphaZero, step: int) -> bool:
    return all(hook.ready(step) for hook in learner.hooks)


def looks(learner: AlphaZero, step: int, times: int = 3) -> list[bool]:
    return [ready(learner, step) for _ in range(times)]


def test_a_few_rows_do_not_feed_a_batch_at_any_look():
    few = len(write(0, 1))
    learner = life(batch_size=64)
    assert few < 64
    assert looks(learner, 0) == [False] * 3
    write(1, 20)
    assert ready(learner, 0)
    assert learner.mark(0).training >= 64


def test_the_episodes_that_must_have_come_are_waited_for():
    write(0, 12)
    learner = life(episodes=100)
    assert looks(learner, 0) == [False] * 3
    write(12, 100)
    assert ready(learner, 0)
    assert learner.mark(0).episodes == 100


def test_the_limit_on_reuse_counts_from_the_first_step():
    rows = len(write(0, 2))
    learner = life(batch_size=rows - 1, max_reuse=0.5)
    assert looks(learner, 0) == [False] * 3
    rows += len(write(2, 8))
    assert ready(learner, 0)
    # Half a use of each row is all that there is: the next step must wait again.
    step = 0
    while ready(learner, step):
        step += 1
    assert step * (learner.recipe.training.batch_size) <= 0.5 * rows < (step + 1) * learner.recipe.training.batch_size
    assert looks(learner, step) == [False] * 3


def test_rows_that_are_all_broken_are_waited_out_and_named():
    broken = len(write(0, 5, broken=True))
    learner = life(max_wait=0.05)
    with pytest.raises(Exception, match=f"{broken} rows are broken: `clew replay check` names them") as raised:
        looks(learner, 0, times=1000)
    assert raised.value.exit_code == 2


def test_a_learner_that_was_killed_while_it_waited_waits_on():
    write(0, 1)
    assert looks(life(batch_size=64), 0) == [False] * 3
    again = life(batch_size=64)
    assert looks(again, 0) == [False] * 3
    write(1, 20)
    assert ready(again, 0)


def test_a_resumed_learner_has_the_rows_of_each_step_that_it_had_then():
    write(0, 6)
    then, first = [], life(max_reuse=0.5)
    for step in range(20):
        for attempt in range(100):
            if ready(first, step):
                break
            write(6 + 10 * step + attempt, 7 + 10 * step + attempt)
        then.append(first.mark(step).training)
    assert len(set(then)) > 3
    write(1000, 1100)
    for begin in (0, 7):
        resumed = life(max_reuse=0.5)
        now = []
        for step in range(begin, 20):
            assert ready(resumed, step)
            now.append(resumed.mark(step).training)
        assert now[: first.feed.marks[-1].step + 1 - begin] == then[begin : first.feed.marks[-1].step + 1]
