"""Stored trajectories: read back as they were written, and faults in them told; policies learn from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from acting import objective, take
from clew.cli.main import main
from clew.core.errors import EvidenceError
from clew.environments.spaces import actions_of
from clew.environments.trajectories import read_trajectories
from small_policies import CORRIDOR, flags
from small_runs import only_run

CHOICES = actions_of(spaces.Discrete(3), "x")


def line(**changed) -> dict:
    return {
        "observations": [[0, 0.5], [1, 0.5], [2, 0.5]],
        "actions": [2, 1],
        "rewards": [0.0, 1.0],
        "log_probs": [-0.5, -1.5],
        "terminated": True,
        **changed,
    }


def test_lines_and_arrays_hold_the_same_steps(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(each) for each in (line(), line(terminated=False))))
    found = read_trajectories(tmp_path / "t.jsonl", 2, CHOICES)
    assert found.terminated.tolist() == [False, True, False, False]
    assert found.ends.tolist() == [False, True, False, True]
    assert found.next_observations[:2].tolist() == [[1.0, 0.5], [2.0, 0.5]]
    np.savez(
        tmp_path / "t.npz",
        observations=found.observations,
        next_observations=found.next_observations,
        actions=found.actions[:, 0],
        rewards=found.rewards,
        log_probs=found.log_probs,
        terminated=found.terminated,
        truncated=found.ends & ~found.terminated,
    )
    again = read_trajectories(tmp_path / "t.npz", 2, CHOICES)
    for name in ("observations", "actions", "rewards", "log_probs", "terminated", "ends"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no trajectory"),
        ("[1]", "a trajectory is a JSON object"),
        ("{", "this line is no JSON"),
        (line(actions=[2, 3]), r"the action of step 1 is \[3.0\]"),
        (line(log_probs=[0.5, -1]), "the log-probability of step 0 is 0.5"),
        (line(log_probs=[-0.5]), r"'log_probs' has the shape \[1\], where \[2\]"),
        (line(observations=[[0, 1], [1, 1]]), r"'observations' has the shape \[2, 2\]"),
        (line(rewards=[0.0, float("nan")]), "'rewards' holds NaN"),
        (line(rewards="high"), "'rewards' is no array of numbers"),
        (line(terminated="yes"), "'terminated' is yes"),
        ({key: value for key, value in line().items() if key != "log_probs"}, "the key 'log_probs' is missing"),
        (line(action_masks=[[1, 1, 1], [1, 0, 1]]), "the action of step 1 is one that its mask forbids"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(content, said, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(EvidenceError, match=said):
        read_trajectories(path, 2, CHOICES)


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"no zip")
    with pytest.raises(EvidenceError, match="no file of arrays"):
        read_trajectories(tmp_path / "t.npz", 2, CHOICES)
    np.savez(tmp_path / "u.npz", rewards=np.zeros(2))
    with pytest.raises(EvidenceError, match="the array 'observations' is missing"):
        read_trajectories(tmp_path / "u.npz", 2, CHOICES)
    with pytest.raises(EvidenceError, match=r"\.jsonl and \.npz"):
        read_trajectories(tmp_path / "t.csv", 2, CHOICES)


@pytest.mark.parametrize("settings", [{}, {"id": CORRIDOR, "kwargs": '{"masks": "info"}'}, {"id": "Pendulum-v1"}])
def test_a_bundle_records_what_a_run_from_its_checkpoint_learns_from(settings, tmp_path, monkeypatch, capsys):
    """From training to bundle, evaluation, trajectories, and on-policy learning from these."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ppo", *flags(max_steps=16, **settings)]) == 0
    run = only_run(Path("runs"))
    assert main(["export", str(run), "bundle", "--which", "latest"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "ppo", "bundle", "--episodes", "3", "--record", "t.jsonl", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["episodes"] == 3
    assert report["mean_return_low"] <= report["mean_return"] <= report["mean_return_high"]
    made = objective(path="t.jsonl", start_from=str(run), **settings)
    assert made.planned_steps() == made.updates.per_update
    start = json.loads((run / "checkpoints" / "latest.json").read_text())["folder"]
    plan = flags(path="t.jsonl", max_steps=4, **settings)
    assert main(["train", "ppo", *plan, "--start-from", str(run / "checkpoints" / start), "--output", "next"]) == 0
    first = json.loads(Path("next/metrics.jsonl").read_text().splitlines()[0])
    assert first["clip_fraction"] == 0.0
    assert abs(first["approx_kl"]) < 1e-5


def test_log_probabilities_of_noise_are_refused(tmp_path):
    """All ratios outside the clip range, no gradient: that is no PPO."""
    path, random = tmp_path / "t.jsonl", np.random.default_rng(0)
    noise = {
        "observations": random.normal(size=(33, 4)).tolist(),
        "actions": random.integers(0, 2, 32).tolist(),
        "rewards": random.normal(size=32).tolist(),
        "log_probs": (-3 - random.random(32)).tolist(),
        "terminated": True,
    }
    path.write_text(json.dumps(noise))
    with pytest.raises(EvidenceError, match="100% of the log-probabilities are not those of the policy"):
        take(objective(path=str(path)), 1)
