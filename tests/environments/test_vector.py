"""Environments side by side, against the environments themselves and Gymnasium's own vector."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from clew.core.errors import UsageError
from clew.core.randomness import key
from clew.environments import vector
from clew.environments.making import EnvironmentFaultError
from clew.environments.probing import deterministic, random_rows
from clew.environments.spaces import actions_of, observations_of
from clew.environments.vector import Environments
from small_policies import CORRIDOR, ENDLESS, Corridor


def corridors(count: int = 2, **settings) -> Environments:
    return Environments(lambda: gymnasium.make(CORRIDOR, **settings), count, seed=3)


def stepped(envs: Environments, steps: int, seed: int = 0) -> list[bytes]:
    random, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        envs.step(random_rows(envs, random))
        seen.append(envs.observations.tobytes() + envs.rewards.tobytes() + envs.terminated.tobytes())
    return seen


def test_each_environment_does_what_it_does_alone():
    envs = Environments(lambda: gymnasium.make("CartPole-v1"), 3, seed=5)
    envs.reset()
    alone = [gymnasium.make("CartPole-v1") for _ in range(3)]
    numbers = [0, 0, 0]
    seen = [env.reset(seed=key(5, "episode", place, 0) % 2**31)[0] for place, env in enumerate(alone)]
    random = np.random.default_rng(0)
    ended = 0
    for _ in range(120):
        assert np.array_equal(envs.observations, np.stack(seen))
        rows = random.integers(0, 2, (3, 1))
        envs.step(rows)
        finals = {final.env: final for final in envs.finals}
        for place, env in enumerate(alone):
            seen[place], reward, terminated, truncated, _ = env.step(int(rows[place, 0]))
            assert (reward, terminated, truncated) == (
                envs.rewards[place], envs.terminated[place], envs.truncated[place],
            )  # fmt: skip
            if terminated or truncated:
                ended += 1
                assert np.array_equal(finals[place].observation, seen[place])
                numbers[place] += 1
                seen[place], _ = env.reset(seed=key(5, "episode", place, numbers[place]) % 2**31)
    assert ended > 5
    assert len(envs.finished) == ended


def test_pendulum_is_truncated_and_keeps_its_last_observation():
    envs = Environments(lambda: gymnasium.make("Pendulum-v1"), 1, seed=1)
    envs.reset()
    for _ in range(200):
        before = envs.observations.copy()
        envs.step(np.array([[5.0]], np.float32))  # beyond the box: taken as its bound
    (final,) = envs.finals
    assert final.truncated
    assert not envs.terminated[0]
    assert not np.array_equal(final.observation, before[0])
    assert not np.array_equal(final.observation, envs.observations[0]), "the next episode has begun"
    assert envs.finished[0][1] == 200


@pytest.mark.parametrize(
    ("space", "kind", "sizes", "columns", "outputs"),
    [
        (spaces.Discrete(4, start=2), "discrete", (4,), 1, 4),
        (spaces.MultiDiscrete([3, 2]), "multi_discrete", (3, 2), 2, 5),
        (spaces.MultiBinary(3), "multi_discrete", (2, 2, 2), 3, 6),
        (spaces.Box(-1, 1, (2, 3), np.float32), "box", (6,), 6, 6),
    ],
)
def test_action_spaces_become_rows_of_numbers_and_back(space, kind, sizes, columns, outputs):
    actions = actions_of(space, "x")
    assert (actions.kind, actions.sizes, actions.columns, actions.outputs) == (kind, sizes, columns, outputs)
    rows = np.full((2, columns), 0.5, np.float32) if kind == "box" else np.ones((2, columns), np.int64)
    decoded = actions.decoder()(rows)
    assert all(space.contains(each) for each in decoded)


def test_foreign_spaces_are_told():
    with pytest.raises(UsageError, match=r"Corridor-v0 has the action space Text.*there is no policy"):
        corridors(actions="text")
    with pytest.raises(UsageError, match="no fixed number of numbers"):
        observations_of(spaces.Sequence(spaces.Discrete(2)), "x")


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Discrete(5), 5),
        (spaces.Dict({"a": spaces.Box(0, 1, (2, 2)), "b": spaces.Discrete(3)}), 7),
        (spaces.Box(0, 255, (2, 3), np.uint8), 6),
    ],
)
def test_observations_are_laid_flat_as_gymnasium_does(space, size):
    layout, row = observations_of(space, "x"), np.zeros(size, np.float32)
    assert layout.size == size
    seen = space.sample()
    layout.writer()(seen, row)
    assert np.array_equal(row, gymnasium.spaces.utils.flatten(space, seen).astype(np.float32))


@pytest.mark.parametrize("masks", ["info", "method"])
def test_masks_are_read_and_kept_to(masks):
    envs = corridors(masks=masks)
    envs.reset()
    assert envs.masks is not None
    assert envs.masks.tolist() == [[False, True, True]] * 2
    random = np.random.default_rng(0)
    for _ in range(60):
        rows = random_rows(envs, random)
        assert np.take_along_axis(envs.masks, rows, 1).all()
        envs.step(rows)
        assert envs.masks[:, 0].tolist() == [bool(seen) for seen in envs.observations[:, 0] > 0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", r"number 1 of 2\) at step 3 of episode 0, for the action \[2\]: the floor gave way"),
        ("nan", r"number 1 of 2\) at step 2 of episode 0, for the action \[2\] gave NaN or infinity as its reward"),
    ],
)
def test_what_goes_wrong_is_told_with_environment_step_and_action(fault, said):
    envs = corridors(fault=fault)
    envs.reset()

    def walk() -> None:
        for _ in range(5):
            envs.step(np.array([[0], [2]]))

    with pytest.raises(EnvironmentFaultError, match=said):
        walk()


def test_an_episode_without_an_end_is_told(monkeypatch):
    monkeypatch.setattr(vector, "LONGEST_EPISODE", 50)
    envs = Environments(lambda: gymnasium.make(ENDLESS, fault="endless"), 1, seed=0)
    envs.reset()
    with pytest.raises(EnvironmentFaultError, match=r"not ended its episode 0 within 50 steps.*--max-episode-steps"):
        stepped(envs, 60)


@pytest.mark.parametrize("settings", [{}, {"keeps": True}, {"masks": "info"}, {"actions": "box"}, {"actions": "multi"}])
def test_rebuilt_environments_go_on_as_if_never_interrupted(settings):
    envs = corridors(3, **settings)
    envs.reset()
    stepped(envs, 31)
    kept = envs.state()
    assert ("state" in kept["environments"][0]) == ("keeps" in settings)
    further = stepped(envs, 40, seed=1)
    again = corridors(3, **settings)
    assert again.restore(kept) == []
    assert stepped(again, 40, seed=1) == further
    assert again.state() == envs.state()


def test_an_environment_that_heeds_a_clock_is_found_out():
    assert deterministic(lambda: gymnasium.make("CartPole-v1"), seed=0)
    assert not deterministic(lambda: Corridor(fault="clock"), seed=0)
    envs = corridors(fault="clock")
    envs.reset()
    envs.step(np.array([[1], [1]]))
    assert corridors(fault="clock").restore(envs.state()) == [0, 1]


def test_gymnasium_s_own_vector_goes_the_same_ways():
    ours = Environments(lambda: gymnasium.make("CartPole-v1"), 2, seed=0)
    ours.reset()
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    theirs.reset(seed=[key(0, "episode", place, 0) % 2**31 for place in range(2)])
    for _ in range(9):
        ours.step(np.array([[1], [0]]))
        _, rewards, terminated, _, _ = theirs.step(np.array([1, 0]))
        assert np.array_equal(ours.rewards, rewards)
        assert np.array_equal(ours.terminated, terminated)
        if terminated.any():
            break
