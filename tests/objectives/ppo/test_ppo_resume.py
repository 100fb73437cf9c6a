"""A PPO run that was stopped anywhere and resumed is the same run, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clew.bundle.guide import GuideModel
from clew.cli.main import main
from small_policies import CORRIDOR, flags
from small_runs import clew, metrics, only_run, outcome, start_clew

WAYS = {
    "CartPole": {},
    "CartPole by torch": {"fused": "no", "target_kl": 0.005, "learning_rate": 0.01},
    "Pendulum": {"id": "Pendulum-v1", "normalise_rewards": True, "normalise_observations": True},
    "state kept": {"id": CORRIDOR, "kwargs": '{"keeps": true}'},
    "masks and heads": {
        "id": CORRIDOR,
        "kwargs": '{"masks": "info", "tells": true}',
        "guard_coef": 1.0,
        "latency_coef": 0.5,
        "separate_value": False,
    },
    "several choices": {"id": CORRIDOR, "kwargs": '{"actions": "multi"}', "target_kl": 0.001, "learning_rate": 0.01},
}


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS.keys())
def test_from_any_checkpoint_it_goes_on_to_the_same_bytes(changed, tmp_path, monkeypatch):
    """Checkpoints within an update, at its end, and right after a rollout."""
    monkeypatch.chdir(tmp_path)
    plan = {"max_steps": 21, "checkpoint_every": 5, "keep_checkpoints": 10, **changed}
    assert main(["train", "ppo", *flags(**plan)]) == 0
    run = only_run(Path("runs"))
    whole = outcome(run)
    assert any("episode_return" in row for row in metrics(run)) or "Pendulum" in str(changed)
    for step in (5, 10, 15):
        assert main(["resume", "--checkpoint", str(step)]) == 0
        assert outcome(run) == whole, step


SYNTHESIS = {
    "id": "clew.programs.environment:clew/Synthesis-v0",
    "kwargs": '{"grammar": "small", "generated": 8, "shaping": 0.2}',
    "guard_coef": 0.5,
    "latency_coef": 0.5,
    "separate_value": False,
}


def test_the_program_search_goes_on_to_the_same_bytes_and_begins_with_a_guide(tmp_path, monkeypatch, capsys):
    """Imitation, then PPO from its weights, then back to a checkpoint."""
    monkeypatch.chdir(tmp_path)
    playbook = Path(__file__).parents[3] / "recipes" / "supervised.yaml"
    assert main(["train", str(playbook), "--runs-dir", "guides", "--threads", "1", "--device", "cpu"]) == 0
    guide = only_run(Path("guides"))
    theirs = json.loads((guide / "checkpoints" / "latest.json").read_text())["folder"]
    made = json.loads((guide / "checkpoints" / theirs / "state.json").read_text())["model"]
    same = {name: made[name] for name in ("activation", "residual", "layer_norm")} | {"hidden": tuple(made["hidden"])}
    plan = flags(**{**SYNTHESIS, **same, "max_steps": 13, "checkpoint_every": 3, "keep_checkpoints": 10})
    assert main(["train", "ppo", *plan, "--start-from", str(guide)]) == 0
    run = only_run(Path("runs"))
    whole = outcome(run)
    rows = metrics(run)
    assert {"guard_loss", "latency_loss"} <= rows[0].keys()
    assert abs(rows[0]["approx_kl"]) < 1e-6
    for step in (3, 9):
        assert main(["resume", "--checkpoint", str(step)]) == 0
        assert outcome(run) == whole, step
    capsys.readouterr()
    assert main(["export", str(run), "bundle"]) == 0
    model = GuideModel("bundle")
    assert model.about["actions"] == made["about"]["actions"], (
        "a bundle of PPO guides the search as one of imitation does"
    )
    assert main(["evaluate", "ppo", "bundle", "--episodes", "5"]) == 0
    assert "mean return" in capsys.readouterr().out


def test_killed_at_several_moments_it_ends_with_the_same_bytes(tmp_path):
    plan = flags(max_steps=150, checkpoint_every=11)
    assert clew("train", "ppo", *plan, "--output", tmp_path / "whole").returncode == 0
    killed = tmp_path / "killed"
    process = start_clew("train", "ppo", *plan, "--output", killed)
    kills = 0
    while process.poll() is None:
        saved = sorted((killed / "checkpoints").glob("step_*"))
        if kills < 2 and saved and int(saved[-1].name[5:]) > kills * 50:
            process.kill()
            process.wait()
            kills += 1
            process = start_clew("resume", killed)
    assert process.wait() == 0
    assert kills >= 1
    assert outcome(killed) == outcome(tmp_path / "whole")


def test_environments_that_cannot_be_replayed_are_told_and_begin_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = {"max_steps": 12, "checkpoint_every": 5, "id": CORRIDOR, "kwargs": '{"fault": "clock"}'}
    assert main(["train", "ppo", *flags(**plan)]) == 0
    assert "not deterministic given their seed" in capsys.readouterr().err
    assert main(["resume", "--checkpoint", "10"]) == 0
    assert "not bit for bit as before, since 4 of 4 environments" in capsys.readouterr().err


def test_a_rollout_of_another_size_is_no_state_of_this_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ppo", *flags(max_steps=10, checkpoint_every=5)]) == 0
    run = only_run(Path("runs"))
    state = run / "checkpoints" / "step_00000005" / "state.json"
    told = json.loads(state.read_text())
    told["objective"]["collector"]["environments"]["environments"].pop()
    state.write_text(json.dumps(told))
    assert main(["resume", "--checkpoint", "5"]) == 1
    assert "step_00000005" in capsys.readouterr().err


@pytest.mark.parametrize("id", ["FrozenLake-v1", "Taxi-v4", "Acrobot-v1", "MountainCarContinuous-v0"])
def test_environments_of_gymnasium_are_covered_as_the_docs_say(id, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ppo", *flags(max_steps=11, checkpoint_every=5, id=id, eval_episodes=1)]) == 0
    said = capsys.readouterr().err
    assert "replays their episodes, to the same bits" in said
    assert ("masked" in said) == (id == "Taxi-v4")
    whole = outcome(only_run(Path("runs")))
    assert main(["resume", "--checkpoint", "5"]) == 0
    assert outcome(only_run(Path("runs"))) == whole
