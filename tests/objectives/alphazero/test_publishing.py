"""What a learner writes for other programs: it is whole after a resume, and the champion's file is like the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from clew.bundle.policy_value import PolicyValueModel
from clew.core.errors import BundleError
from clew.games.rules import find_game
from clew.objectives.alphazero.gate import Champion
from clew.objectives.alphazero.publishing import LearnerFiles
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.runs.progress import Progress
from clew.training.devices import Placement
from small_nets import observations, small_net

TICTACTOE = find_game("tictactoe")
CPU = Placement(torch.device("cpu"), torch.float32)
RECIPE = AlphaZeroRecipe.model_validate(
    {
        "outputs": {"start_step": 100, "stats_interval": 1},
        "games": {"eval_games": 2, "eval_win_threshold": 0.001},
        "training": {"checkpoint_every": 10, "evaluate_every": 5},
    }
)


def row(step: int) -> dict[str, float]:
    names = ("loss", "policy_loss", "value_loss", "learning_rate", "grad_norm")
    return {"step": step, **{name: step + index / 10 for index, name in enumerate(names)}}


def stats() -> dict:
    return json.loads(Path("data/stats.json").read_text())


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/a").mkdir(parents=True)
    return tmp_path / "runs/a"


def train(run: Path, files: LearnerFiles, champion: Champion, steps: range) -> None:
    """Log, evaluate and publish as the loop does."""
    for step in steps:
        with (run / "metrics.jsonl").open("a") as metrics:
            metrics.write(json.dumps(row(step)) + "\n")
        files.logged(row(step), Progress(step=step), rows=7)
        if step % 5 == 0:
            champion.challenge(small_net(step), step, observations, CPU)
            files.evaluated(champion.last_record, Progress(step=step))
        if step % 10 == 0:
            files.publish(small_net(step), observations(), Progress(step=step), champion)


def test_statistics_of_a_resumed_run_are_those_of_one_that_never_stopped(run):
    files, champion = LearnerFiles(RECIPE, TICTACTOE, run), Champion(RECIPE, TICTACTOE, run)
    files.began(Progress(), champion.records)
    train(run, files, champion, range(1, 11))
    before = stats()
    assert before["last_eval"]["step"] == 110
    assert before["best_model"] == {"step": before["last_eval"]["step"], "path": "data/models/best.onnx"} or (
        not before["last_eval"]["became_new_best"]
    )
    resumed = Champion(RECIPE, TICTACTOE, run)
    resumed.restore(champion.state())
    again = LearnerFiles(RECIPE, TICTACTOE, run)
    again.began(Progress(step=10), resumed.records)
    train(run, again, resumed, range(11, 13))
    after = stats()
    for name in ("last_eval", "eval_history", "best_model", "last_checkpoint"):
        assert after[name] == before[name]
        assert after[name]
    assert [point["step"] for point in after["history"]] == [100 + step for step in range(1, 13)]


def test_best_onnx_says_the_same_of_its_origin_as_the_step_file_of_that_step(run):
    files, champion = LearnerFiles(RECIPE, TICTACTOE, run), Champion(RECIPE, TICTACTOE, run)
    files.began(Progress(), champion.records)
    champion.challenge(small_net(), 20, observations, CPU)
    files.publish(small_net(), observations(), Progress(step=20), champion)
    best, step_file = (PolicyValueModel(f"data/models/{name}.onnx") for name in ("best", "model_step_000120"))
    assert best.metadata == step_file.metadata
    assert best.iteration == 2
    assert best.metadata["run"] == "a"
    assert Path("data/models/latest.onnx").read_bytes() == step_file.path.read_bytes()


def test_a_net_that_diverged_leaves_the_model_before_it_in_place(run):
    files, champion = LearnerFiles(RECIPE, TICTACTOE, run), Champion(RECIPE, TICTACTOE, run)
    files.publish(small_net(), observations(), Progress(step=10), champion)
    before = files.latest.read_bytes()
    diverged = small_net()
    with torch.no_grad():
        diverged.body.policy.bias[0] = float("nan")
    with pytest.raises(BundleError, match=r"model_step_000120\.onnx was not published"):
        files.publish(diverged, observations(), Progress(step=20), champion)
    assert files.latest.read_bytes() == before
    assert sorted(path.name for path in files.latest.parent.iterdir()) == ["latest.onnx", "model_step_000110.onnx"]
