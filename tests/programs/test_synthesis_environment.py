"""clew/Synthesis-v0: Gymnasium's own check, what is rewarded, what is saved, and which tasks are drawn."""

from __future__ import annotations

import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.programs import features
from clew.programs.demonstrations import write
from clew.programs.environment import ID, SynthesisEnv, TaskSampler
from clew.programs.grammar import FULL, SMALL
from clew.programs.held_out import held_out
from clew.programs.parse import parse_expression
from clew.programs.primitives import Type
from clew.programs.search.problem import Problem
from clew.programs.states import derivation, start

LIST = Type.LIST
ARGUMENTS = (((3, 1, 2),), ((5, 4),), ((9, 7, 8, 1),))
SORTED = Problem("sorted", (("xs", LIST),), LIST, ARGUMENTS, tuple(tuple(sorted(xs)) for (xs,) in ARGUMENTS))
BACKWARDS = Problem("backwards", (("xs", LIST),), LIST, ARGUMENTS, tuple(xs[::-1] for (xs,) in ARGUMENTS))
FIRST = Problem("first", (("xs", LIST),), Type.INT, ARGUMENTS, tuple(xs[0] for (xs,) in ARGUMENTS))


def actions(text, problem=SORTED, grammar=FULL):
    return derivation(parse_expression(text, ["xs"]), problem, grammar)


def played(environment, taken):
    found = []
    for action in taken:
        found.append(environment.step(action))
    return found


@pytest.mark.parametrize("grammar", ["full", "small"])
def test_it_passes_gymnasiums_own_check(grammar, tmp_path):
    path = tmp_path / "tasks.jsonl"
    write(path, held_out(4, 1, SMALL))
    tasks = path if grammar == "small" else [SORTED, BACKWARDS, FIRST]
    environment = gymnasium.make(f"clew.programs.environment:{ID}", tasks=tasks, render_mode="ansi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment.unwrapped)
    assert environment.action_space.n == (8 if grammar == "small" else FULL.actions)


def test_tasks_are_made_where_none_are_named():
    environment = SynthesisEnv(grammar="small", generated=3)
    assert len(environment.problems) == 3
    assert environment.reset(seed=1)[0].shape == (32,)


def test_a_program_that_fits_all_examples_is_worth_one():
    environment = SynthesisEnv([SORTED])
    environment.reset(seed=0)
    *before, last = played(environment, actions("sort xs"))
    assert [each[1:4] for each in before] == [(0.0, False, False)]
    assert last[1:4] == (1.0, True, False)
    assert last[4]["solved"] is True
    environment.reset()
    assert played(environment, actions("reverse xs"))[-1][1:4] == (0.0, True, False)


def test_a_share_of_the_examples_is_worth_something_only_where_it_is_asked_for():
    # `reverse xs` sorts one of the three lists.
    for shaping, worth in ((0.0, 0.0), (0.3, 0.1)):
        environment = SynthesisEnv([SORTED], shaping=shaping)
        environment.reset(seed=0)
        assert played(environment, actions("reverse xs"))[-1][1] == pytest.approx(worth)


def test_an_action_that_the_grammar_forbids_ends_the_episode_without_reward():
    environment = SynthesisEnv([SORTED])
    _, info = environment.reset(seed=0)
    forbidden = int(np.flatnonzero(info["action_mask"] == 0)[0])
    assert environment.step(forbidden)[1:4] == (0.0, True, False)
    with pytest.raises(UsageError, match="call reset"):
        environment.step(forbidden)


def test_what_cannot_be_completed_within_the_size_is_truncated():
    environment = SynthesisEnv([SORTED], max_size=3)
    environment.reset(seed=0)
    first, *_ = actions("sort xs")
    steps = played(environment, [first, first, first])
    assert [each[3] for each in steps] == [False, False, True]
    environment.reset()
    # Three nodes are within it.
    assert played(environment, actions("sort (sort xs)"))[-1][1:4] == (1.0, True, False)


def test_mask_and_observation_are_those_of_the_state():
    environment = SynthesisEnv([FIRST], render_mode="ansi")
    observation, info = environment.reset(seed=0)
    state, told = start(FIRST, FULL), features.of_task(FIRST, FULL)
    for action in actions("head (sort xs)", FIRST):
        assert np.array_equal(observation, features.of_state(told, state))
        assert np.flatnonzero(info["action_mask"]).tolist() == list(state.legal())
        observation, _, _, _, info = environment.step(action)
        state = state.apply(action)
    assert environment.render() == "head (sort xs)"
    assert info["action_mask"].sum() == 0


def walk(environment, count, seed):
    """What is seen in `count` random legal steps."""
    seen, random = [], generator(seed, "random walk")
    info = {"action_mask": environment._mask()}
    for _ in range(count):
        if environment._over:
            _, info = environment.reset()
        observation, reward, _, _, info = environment.step(int(random.choice(np.flatnonzero(info["action_mask"]))))
        seen.append((observation.tobytes(), reward, info["task"], info["action_mask"].tobytes()))
    return seen


def test_a_saved_state_goes_on_as_it_would_have():
    tasks = [SORTED, BACKWARDS, FIRST]
    one, other = SynthesisEnv(tasks, shaping=0.2), SynthesisEnv(tasks, shaping=0.2)
    one.reset(seed=5)
    walk(one, 37, 1)
    other.set_state(json.loads(json.dumps(one.get_state())))
    assert walk(one, 60, 2) == walk(other, 60, 2)
    with pytest.raises(UsageError, match="is of 3 tasks; here are 1"):
        SynthesisEnv([SORTED]).set_state({**one.get_state(), "task": 0})


def test_the_same_seed_is_the_same_walk_and_tasks_may_be_named():
    tasks = [SORTED, BACKWARDS, FIRST]
    walks = []
    for seed in (3, 3, 4):
        environment = SynthesisEnv(tasks)
        environment.reset(seed=seed)
        walks.append(walk(environment, 50, 1))
    assert walks[0] == walks[1] != walks[2]
    assert environment.reset(options={"task": 2})[1]["task"] == 2
    with pytest.raises(UsageError, match="There is no task 7"):
        environment.reset(options={"task": 7})


def test_tasks_that_are_solved_now_and_then_are_drawn_most():
    sampler, random = TaskSampler(4), generator(0, "draws")
    for attempt in range(60):
        for task, share in enumerate((0.0, 0.5, 1.0)):
            sampler.update(task, attempt % 10 < 10 * share)
    drawn = np.bincount([sampler.draw(random) for _ in range(4000)], minlength=4)
    # The fourth was never tried: it is as good as the best.
    assert drawn[1] > 4 * drawn[0]
    assert drawn[1] > 4 * drawn[2]
    assert drawn[3] > 4 * drawn[0]
    assert (drawn > 0).all()
    assert np.allclose(drawn / 4000, sampler.weights / sampler.weights.sum(), atol=0.03)
    again = TaskSampler(4)
    again.set_state(json.loads(json.dumps(sampler.get_state())))
    assert np.array_equal(again.weights, sampler.weights)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_size": 0}, "max_size must be from 1 to 60"),
        ({"shaping": 1.5}, "shaping from 0 to below 1"),
        ({"render_mode": "human"}, "There is no render mode 'human'"),
        ({"tasks": []}, "needs a task at least"),
    ],
)
def test_settings_that_make_no_sense_are_sentences(settings, said):
    with pytest.raises(UsageError, match=said):
        SynthesisEnv(**{"tasks": [SORTED], **settings})
