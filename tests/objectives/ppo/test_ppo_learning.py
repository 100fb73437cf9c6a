"""PPO learns what it is meant to, in seconds."""

from __future__ import annotations

from acting import objective, take
from clew.environments.episodes import play
from small_policies import CORRIDOR

PLAN = {"rollout_steps": 64, "batch_size": 64, "max_epochs": 8, "learning_rate": 0.01, "hidden": (16,)}


def worth(made) -> float:
    return play(made._prepared.make, made._torch.best, 20, seed=1).figures()["mean_return"]


def test_it_learns_to_balance_a_pole():
    made = objective(**PLAN, count=8)
    before = worth(made)
    take(made, 8 * 8 * 40)
    after = worth(made)
    assert after > 300
    assert after > 3 * before


def test_it_learns_the_way_out_by_choices_by_vectors_and_by_several_choices():
    """The way out takes four steps to the right: 1 less 4 hundredths."""
    for actions in ("discrete", "box", "multi"):
        way = {"id": CORRIDOR, "kwargs": f'{{"actions": "{actions}"}}'}
        made = objective(**PLAN, **way, count=4)
        take(made, 8 * 4 * 12)
        assert worth(made) > 0.9, actions
