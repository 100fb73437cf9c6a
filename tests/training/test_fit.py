"""The one loop, with an objective of one line: what it does at each step, when it stops, what it keeps."""

from __future__ import annotations

import json
import math
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from torch import nn

from clew.core.errors import CheckpointError, ClewError, UsageError
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.recipes.base import Training
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import create_run
from clew.runs.progress import Evaluation, InterruptedRunError
from clew.training import schedules
from clew.training.checkpoint import read_checkpoint
from clew.training.devices import Placement
from clew.training.fit import fit
from clew.training.objective import Loss, Objective, Shard, State

CPU = Placement(torch.device("cpu"), torch.float32)


class Line(Objective):
    """Fits a line to noisy points; a batch is keyed by its step. `scores`, where given, are what evaluations say."""

    items = "points"

    def __init__(self, training: Training, *, steps: int = 12, scores: list[float] | None = None):
        self.training, self.steps, self.scores, self.evaluated = training, steps, scores, 0
        self.seen: list[int] = []
        self.model = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.model.weight.fill_(1.0)

    def planned_steps(self):
        return self.steps

    def batch(self, step, shard: Shard):
        self.seen.append(step)
        size = self.training.batch_size
        rows = shard.rows(size)
        points = torch.from_numpy(generator(0, "points", step).standard_normal((size, 2))).float()
        # Unequal weights: parts of a batch count for what they hold.
        weights = torch.arange(1.0, size + 1)
        return points[rows.start : rows.stop], weights[rows.start : rows.stop]

    def loss(self, batch):
        points, weights = batch
        squares = (self.model(points).squeeze(1) - 3 * points[:, 0] + points[:, 1]).square()
        total, mean = ((values * weights).sum() / weights.sum() for values in (squares, points[:, 0]))
        return Loss(total, {"points": mean}, weights.sum())

    def evaluate(self, step):
        score = self.scores[self.evaluated] if self.scores else float(self.model.weight.detach().square().sum())
        self.evaluated += 1
        return Evaluation({"score": score}, watched="score")

    def state(self):
        return State({"evaluated": self.evaluated})

    def restore(self, state):
        self.evaluated = state.values["evaluated"]

    def describe_model(self):
        return {"family": "line"}

    def planned_flops(self):
        return 1.0


def plan(**fields):
    plain = {"batch_size": 8, "learning_rate": 0.1, "log_every": 1, "evaluate_every": 4, "checkpoint_every": 2}
    return Training(**plain | fields)


@pytest.fixture
def new_run(tmp_path):
    def make():
        return create_run(tmp_path, NextTokenRecipe(), Evidence("proof files", "data", "e" * 64))

    return make


def rows(run):
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def trained(run, training, *, checkpoint=None, **settings):
    objective = Line(training, **settings)
    return objective, fit(objective, run, training, CPU, checkpoint=checkpoint, shows=False)


def test_accumulation_changes_nothing_but_rounding(new_run):
    runs = {}
    for parts in (1, 4):
        run = new_run()
        trained(run, plan(accumulation=parts))
        runs[parts] = [row for row in rows(run) if "loss" in row]
    for one, four in zip(runs[1], runs[4], strict=True):
        assert one.keys() == {"step", "loss", "points", "learning_rate", "grad_norm"}
        assert one == pytest.approx(four, rel=1e-5, abs=1e-6)
    assert runs[1][-1]["loss"] < runs[1][0]["loss"]


def test_a_batch_that_cannot_be_split_is_refused_before_anything_is_done(new_run):
    run = new_run()
    with pytest.raises(UsageError, match=r"batch size 8 cannot be split .* 3 micro-batches: make it a multiple of 3"):
        trained(run, plan(accumulation=3))
    assert not (run.folder / "metrics.jsonl").exists()


def test_the_learning_rate_follows_the_schedule_over_the_planned_steps(new_run):
    run = new_run()
    training = plan(warmup_steps=3, schedule="trapezoid")
    trained(run, training)
    expected = [0.1 * schedules.factor(training, step, 12) for step in range(12)]
    assert [row["learning_rate"] for row in rows(run) if "loss" in row] == expected


def test_the_gradient_is_clipped_to_its_limit_and_its_norm_is_told_as_it_was(new_run):
    moved = {}
    for clip in (0.0, 1e-3):
        run = new_run()
        trained(run, plan(clip=clip, evaluate_every=100), steps=1)
        moved[clip] = rows(run)[0]["grad_norm"]
        # After one step AdamW's first moment is a tenth of the gradient that it was given.
        found = read_checkpoint(find_checkpoint(run.checkpoints)).optimizer["weight/exp_avg"]
        assert float(found.norm()) * 10 == pytest.approx(clip or moved[clip], rel=1e-3)
    assert moved[0.0] == moved[1e-3] > 0.1


def test_early_stopping_counts_evaluations_without_improvement(new_run):
    run = new_run()
    scores = [3.0, 2.0, 2.5, 1.9, 2.0, 1.9, 2.2, 0.0]
    _, progress = trained(run, plan(patience=3, evaluate_every=1), steps=8, scores=scores)
    # 1.9 again is no improvement.
    assert (progress.ended, progress.step, progress.best_step, progress.best_score) == ("stopped early", 7, 4, 1.9)
    assert find_checkpoint(run.checkpoints, "best").name == "step_00000004"
    assert find_checkpoint(run.checkpoints).name == "step_00000007"


def test_without_patience_it_goes_on_to_the_end(new_run):
    _, progress = trained(new_run(), plan(patience=0, evaluate_every=1), steps=4, scores=[1.0, 2.0, 3.0, 4.0])
    assert (progress.ended, progress.step, progress.best_step) == ("finished", 4, 1)


def test_an_evaluation_that_improves_makes_a_checkpoint_of_its_own(new_run):
    run = new_run()
    trained(run, plan(evaluate_every=3, checkpoint_every=100), steps=7, scores=[2.0, 3.0, 4.0])
    assert sorted(path.name for path in run.checkpoints.glob("step_*")) == ["step_00000003", "step_00000007"]


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop_at", [1, 5, 6, 8, 11])
def test_resumed_from_any_checkpoint_it_takes_the_same_steps(new_run, stop_at, average_decay):
    training = plan(average_decay=average_decay)
    straight = new_run()
    trained(straight, training)

    class PowerCutError(BaseException):
        pass

    broken = new_run()
    objective = Line(training)
    real = objective.batch

    def batch(step, shard):
        if step == stop_at:
            raise PowerCutError
        return real(step, shard)

    objective.batch = batch
    with pytest.raises(PowerCutError):
        fit(objective, broken, training, CPU, shows=False)
    checkpoint = "latest" if stop_at > 1 else None
    again, progress = trained(broken, training, checkpoint=checkpoint)
    assert again.seen[0] == stop_at - stop_at % 2
    assert progress.ended == "finished"
    assert rows(broken) == rows(straight)
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, other = (find_checkpoint(run.checkpoints) / name for run in (straight, broken))
        assert one.read_bytes() == other.read_bytes()
    one, other = (read_checkpoint(find_checkpoint(run.checkpoints)).state["progress"] for run in (straight, broken))
    assert one == other


def test_the_average_of_the_weights_is_what_is_evaluated_and_saved(new_run):
    plain, averaged = new_run(), new_run()
    every = {"checkpoint_every": 1, "evaluate_every": 1, "keep_checkpoints": 20}
    trained(plain, plan(**every))
    trained(averaged, plan(**every, average_decay=0.8))
    scores = [row["evaluation"]["score"] for row in rows(averaged) if "evaluation" in row]
    expected = torch.ones(1, 2)
    for step in range(1, 13):
        weight = read_checkpoint(find_checkpoint(plain.checkpoints, str(step))).model["weight"]
        found = read_checkpoint(find_checkpoint(averaged.checkpoints, str(step)))
        assert torch.equal(found.optimizer["trained/weight"], weight), "training goes on from the weights themselves"
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        torch.testing.assert_close(found.model["weight"], expected)
        assert scores[step - 1] == pytest.approx(float(expected.square().sum()), rel=1e-5)
    assert not torch.allclose(expected, weight, rtol=0.01)


def test_a_checkpoint_without_the_weights_in_training_is_refused(new_run):
    run = new_run()
    trained(run, plan())
    with pytest.raises(CheckpointError, match=r"lacks the weight in training 'weight'"):
        trained(run, plan(average_decay=0.9), checkpoint="latest")


def test_a_finished_run_takes_no_step_when_it_is_resumed(new_run):
    run = new_run()
    trained(run, plan())
    objective, progress = trained(run, plan(), checkpoint="latest")
    assert objective.seen == []
    assert progress.ended == "finished"


def test_a_checkpoint_of_another_run_is_refused(new_run):
    one, other = new_run(), new_run()
    trained(one, plan())
    trained(other, plan())
    other.checkpoints.rename(other.folder / "aside")
    (one.folder / "checkpoints").rename(other.checkpoints)
    with pytest.raises(CheckpointError, match=r"belongs to another run.* --start-from"):
        trained(other, plan(), checkpoint="latest")


def test_a_state_that_lacks_something_is_refused(new_run):
    run = new_run()
    trained(run, plan())
    path = find_checkpoint(run.checkpoints) / "state.json"
    state = json.loads(path.read_text())
    del state["metrics_bytes"]
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r"is not whole: KeyError\('metrics_bytes'\)"):
        trained(run, plan(), checkpoint="latest")


@pytest.mark.parametrize("poisoned", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_before_the_weights_change(new_run, poisoned):
    run = new_run()
    objective = Line(plan(clip=0.0))
    real = objective.loss

    def loss(batch):
        total, parts, weight, _ = real(batch)
        if len(objective.seen) == 6:
            # The square root of zero is zero, and its slope is infinite.
            total = total * math.nan if poisoned == "loss" else total + (objective.model.weight * 0).sum().sqrt()
        return Loss(total, parts, weight)

    objective.loss = loss
    with pytest.raises(
        ClewError, match=r"At step 6 the loss is .* The last good checkpoint is .*step_00000004\. Start"
    ):
        fit(objective, run, plan(), CPU, shows=False)
    assert torch.isfinite(objective.model.weight).all()
    assert torch.isfinite(read_checkpoint(find_checkpoint(run.checkpoints)).model["weight"]).all()
    assert len([row for row in rows(run) if "loss" in row]) == 5


def test_a_score_that_is_not_finite_stops_the_run(new_run):
    run = new_run()
    with pytest.raises(ClewError, match="The evaluation at step 8 gave nan: the model has diverged"):
        trained(run, plan(), scores=[1.0, math.nan])
    assert find_checkpoint(run.checkpoints).name == "step_00000006"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_stop_saves_the_step_it_is_at(new_run, number, capfd):
    run = new_run()
    objective = Line(plan(checkpoint_every=100))
    real = objective.batch

    def batch(step, shard):
        if step == 4:
            signal.raise_signal(getattr(signal, number))
        return real(step, shard)

    objective.batch = batch
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(InterruptedRunError, match=r"Stopped at step 5 of 12; .* clew resume") as caught:
        fit(objective, run, plan(checkpoint_every=100), CPU, shows=False)
    assert caught.value.exit_code == 130
    assert capfd.readouterr().err == "stopping when this step is saved; once more stops at once\n"
    assert signal.getsignal(signal.SIGINT) == before
    assert find_checkpoint(run.checkpoints).name == "step_00000005"


def test_a_stop_during_an_evaluation_saves_the_step_after_it(new_run):
    run = new_run()
    objective = Line(plan(checkpoint_every=100))
    real = objective.evaluate

    def evaluate(step):
        signal.raise_signal(signal.SIGINT)
        return real(step)

    objective.evaluate = evaluate
    with pytest.raises(InterruptedRunError, match="Stopped at step 5 of 12"):
        fit(objective, run, plan(checkpoint_every=100), CPU, shows=False)
    assert find_checkpoint(run.checkpoints).name == "step_00000005"
    assert [row["step"] for row in rows(run) if "evaluation" in row] == [4]


def test_a_stop_at_the_last_step_finds_the_run_finished(new_run):
    objective = Line(plan())
    real = objective.batch

    def batch(step, shard):
        if step == 11:
            signal.raise_signal(signal.SIGINT)
        return real(step, shard)

    objective.batch = batch
    assert fit(objective, new_run(), plan(), CPU, shows=False).ended == "finished"


def test_a_second_stop_interrupts_at_once(new_run):
    objective = Line(plan())

    def batch(step, shard):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    objective.batch = batch
    with pytest.raises(KeyboardInterrupt):
        fit(objective, new_run(), plan(), CPU, shows=False)


def test_what_breaks_because_of_a_stop_is_told_as_a_stop(new_run):
    objective = Line(plan())

    def batch(step, shard):
        signal.raise_signal(signal.SIGINT)
        raise BrokenProcessPool("the compiler's process was interrupted")

    objective.batch = batch
    with pytest.raises(InterruptedRunError, match=r"Stopped within step 1\. Continue"):
        fit(objective, new_run(), plan(), CPU, shows=False)


def test_memory_that_runs_out_is_told_with_its_remedy(new_run):
    objective = Line(plan())

    def batch(step, shard):
        raise torch.OutOfMemoryError("CUDA out of memory")

    objective.batch = batch
    with pytest.raises(ClewError, match=r"Step 1 does not fit into the device's memory.* --accumulation"):
        fit(objective, new_run(), plan(), CPU, shows=False)
