"""What the loop holds besides a plain objective: data that a model makes itself, a frozen base, tied weights, a score
to maximise, batches that weigh nothing, figures from outside the loss, hooks."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from clew.core.errors import CheckpointError, ClewError
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.recipes.base import Training
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import create_run
from clew.runs.progress import Evaluation
from clew.training.checkpoint import Frozen, read_checkpoint
from clew.training.devices import Placement
from clew.training.fit import fit
from clew.training.objective import Hook, Loss, Objective, State
from clew.training.optimizers import Optimizer
from clew.training.step import train_step

CPU = Placement(torch.device("cpu"), torch.float32)
PLAIN = {"batch_size": 8, "learning_rate": 0.05, "log_every": 1, "evaluate_every": 4, "checkpoint_every": 2}


class PowerCutError(BaseException):
    """What ends a process with nothing said."""


class Points(Objective):
    """Fits noisy points on a plane; what comes of it is told where a test asks for it."""

    def __init__(self, **fields):
        self.recipe = NextTokenRecipe(training=Training(**{**PLAIN, "max_steps": 12, **fields}))
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.cut_at = None

    def points(self, step):
        if step == self.cut_at:
            raise PowerCutError
        drawn = torch.from_numpy(generator(0, "points", step).standard_normal((8, 3))).float()
        return drawn, drawn @ torch.tensor([1.0, -2.0, 0.5])

    def batch(self, step, shard):
        return self.points(step)

    def loss(self, batch):
        return Loss((self.model(batch[0]).squeeze(1) - batch[1]).square().mean(), {}, torch.tensor(8.0))

    @torch.no_grad()
    def evaluate(self, step):
        held, wanted = Points.points(Points(), 1000)
        return Evaluation({"error": float((self.model(held).squeeze(1) - wanted).square().mean())}, watched="error")


@pytest.fixture
def new_run(tmp_path):
    def make():
        return create_run(tmp_path, NextTokenRecipe(), Evidence("points", "data", "e" * 64))

    return make


def trained(objective, run, checkpoint=None):
    return fit(objective, run, objective.recipe.training, CPU, checkpoint=checkpoint, shows=False)


def rows(run):
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def bits(run):
    folder = find_checkpoint(run.checkpoints)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".safetensors"}


def assert_resumes_to_the_same_bits(make, new_run, cut_at=7):
    straight, broken = new_run(), new_run()
    trained(make(), straight)
    objective = make()
    objective.cut_at = cut_at
    with pytest.raises(PowerCutError):
        trained(objective, broken)
    trained(make(), broken, "latest")
    assert rows(broken) == rows(straight)
    assert bits(broken) == bits(straight)
    return straight


class Rollouts(Points):
    """Learns from what its own model did: five steps of experience are made at once and kept in the state."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.walker, self.rollout, self.filled_at = torch.zeros(3), torch.zeros(5, 8, 3), 0

    def batch(self, step, shard):
        if step == self.cut_at:
            raise PowerCutError
        if step % 5 == 0:
            self.filled_at = step
            for turn in range(5):
                pushed = torch.from_numpy(generator(0, "push", step + turn).standard_normal((8, 3))).float()
                with torch.no_grad():
                    self.walker = 0.9 * self.walker + 0.1 * self.model(pushed).mean()
                self.rollout[turn] = pushed + self.walker
        drawn = self.rollout[step - self.filled_at]
        return drawn, drawn @ torch.tensor([1.0, -2.0, 0.5])

    def figures(self):
        return {"mean_walker": float(self.walker.mean())}

    def state(self):
        return State({"filled_at": self.filled_at}, {"walker": self.walker, "rollout": self.rollout})

    def restore(self, state):
        self.filled_at = state.values["filled_at"]
        self.walker, self.rollout = (state.tensors[name].clone() for name in ("walker", "rollout"))


def test_data_that_a_model_made_itself_resumes_to_the_same_bits_from_the_middle_of_a_rollout(new_run):
    straight = assert_resumes_to_the_same_bits(Rollouts, new_run)
    assert "state.safetensors" in bits(straight)
    assert {row["mean_walker"] for row in rows(straight) if "loss" in row} != {0.0}


class Adapted(Points):
    """A frozen base with two thin matrices beside it that train (Hu et al. 2021)."""

    def __init__(self, base, sha256="b" * 64, **fields):
        super().__init__(**fields)
        torch.manual_seed(1)
        self.model = nn.ModuleDict({"base": nn.Linear(3, 1), "down": nn.Linear(3, 1, bias=False)})
        self.model["up"] = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model["up"].weight)
        self.model["base"].load_state_dict(base)
        self.model["base"].requires_grad_(False)
        self.frozen = Frozen(frozenset({"base.weight", "base.bias"}), "models/base", sha256)

    def predicted(self, points):
        parts = self.model
        return (parts["base"](points) + parts["up"](parts["down"](points))).squeeze(1)

    def loss(self, batch):
        return Loss((self.predicted(batch[0]) - batch[1]).square().mean(), {}, torch.tensor(8.0))

    def evaluate(self, step):
        return Evaluation({"error": 0.0}, watched="error")


@pytest.fixture
def base():
    torch.manual_seed(5)
    return nn.Linear(3, 1).state_dict()


def test_a_checkpoint_over_a_frozen_base_holds_the_adapters_and_the_hash_of_the_base(new_run, base):
    straight = assert_resumes_to_the_same_bits(lambda: Adapted(base), new_run)
    folder = find_checkpoint(straight.checkpoints)
    assert load_file(folder / "model.safetensors").keys() == {"down.weight", "up.weight"}
    assert {name.partition("/")[0] for name in load_file(folder / "optimizer.safetensors")} == {
        "down.weight",
        "up.weight",
    }
    state = read_checkpoint(folder).state
    assert state["frozen"] == {"source": "models/base", "sha256": "b" * 64}


def test_adapters_are_not_laid_over_another_base(new_run, base):
    run = new_run()
    trained(Adapted(base), run)
    kept = bits(run)
    with pytest.raises(CheckpointError, match=r"frozen weights .* are not those of models/base .*hashes differ"):
        trained(Adapted(base, sha256="c" * 64), run, "4")
    assert bits(run) == kept


class Tied(Points):
    """One matrix in two places, and one that does not train and is saved all the same."""

    def __init__(self, **fields):
        super().__init__(**fields)
        torch.manual_seed(2)
        self.model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), nn.Linear(3, 1))
        self.model[1].weight = self.model[0].weight
        self.model[2].bias.requires_grad_(False)
        nn.init.constant_(self.model[2].bias, 0.25)


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_tied_and_frozen_weights_are_saved_once_and_resumed(new_run, average_decay):
    straight = assert_resumes_to_the_same_bits(lambda: Tied(average_decay=average_decay), new_run)
    held = load_file(find_checkpoint(straight.checkpoints) / "model.safetensors")
    assert held.keys() == {"0.weight", "2.weight", "2.bias"}
    assert float(held["2.bias"]) == 0.25
    objective = Tied()
    objective.start_from(read_checkpoint(find_checkpoint(straight.checkpoints)), straight.checkpoints)
    assert torch.equal(objective.model[1].weight, held["0.weight"])


def test_a_score_may_be_better_when_it_is_higher(new_run):
    class Winning(Points):
        shares = iter([0.2, 0.5, 0.5, 0.4, 0.3, 0.9])

        def evaluate(self, step):
            return Evaluation({"win_rate": next(self.shares)}, watched="win_rate", higher_is_better=True)

    run = new_run()
    progress = trained(Winning(evaluate_every=1, patience=3), run)
    # 0.5 again is no improvement; three evaluations after the best one it ends.
    assert (progress.best_score, progress.best_step, progress.step) == (0.5, 2, 5)
    assert find_checkpoint(run.checkpoints, "best").name == "step_00000002"
    assert [row["improved"] for row in rows(run) if "evaluation" in row] == [True, True, False, False, False]


def test_a_batch_that_weighs_nothing_is_no_divergence_and_changes_nothing(new_run):
    class Empty(Points):
        def loss(self, batch):
            loss = super().loss(batch)
            return loss if self.step != 3 else Loss(loss.total * float("nan"), {}, torch.tensor(0.0))

        def batch(self, step, shard):
            self.step = step
            return super().batch(step, shard)

    run = new_run()
    objective = Empty(checkpoint_every=1, keep_checkpoints=20)
    progress = trained(objective, run)
    assert progress.ended == "finished"
    before, after = (read_checkpoint(find_checkpoint(run.checkpoints, step)) for step in ("3", "4"))
    for name, weight in before.model.items():
        assert torch.equal(weight, after.model[name])
    logged = {row["step"]: row for row in rows(run) if "evaluation" not in row}
    assert "loss" not in logged[4]
    assert logged[4]["grad_norm"] == 0.0
    assert "loss" in logged[5]
    assert progress.items_seen == 11 * 8


def test_what_a_step_counts_is_the_objective_s_to_say(new_run):
    class Episodes(Points):
        items = "episodes"

        def loss(self, batch):
            return super().loss(batch)._replace(items=torch.tensor(2))

    run = new_run()
    assert trained(Episodes(), run).items_seen == 24
    assert json.loads((run.folder / "stats.json").read_text())["episodes_seen"] == 24


class Recording(Hook):
    """Writes down what it was told, and counts in its state."""

    name = "recording"

    def __init__(self):
        self.told, self.evaluations = [], 0

    def ready(self, step):
        self.told.append(("ready", step))
        return self.told.count(("ready", step)) > (step == 2)

    def evaluate(self, progress):
        self.evaluations += 1
        return {"seen_by_hook": float(self.evaluations)}

    def state(self):
        return {"evaluations": self.evaluations}

    def restore(self, state):
        self.evaluations = state["evaluations"]

    def on_begin(self, progress):
        self.told.append(("begin", progress.step))

    def on_log(self, row, progress):
        self.told.append(("log", row["step"]))

    def on_evaluation(self, evaluation, progress):
        self.told.append(("evaluation", progress.step))

    def on_save(self, progress, *, regular):
        self.told.append(("save", progress.step, regular))

    def on_end(self, progress):
        self.told.append(("end", progress.step))

    def on_error(self, error, progress):
        self.told.append((type(error).__name__, progress.step))


def test_hooks_are_told_what_happens_in_its_order(new_run):
    objective = Points(max_steps=3, evaluate_every=2, checkpoint_every=3)
    objective.hooks = [hook := Recording()]
    trained(objective, new_run())
    assert hook.told == [
        ("begin", 0),
        *[("ready", 0), ("log", 1)],
        *[("ready", 1), ("log", 2), ("evaluation", 2), ("save", 2, False)],
        # It was not ready at first, and was asked again.
        *[("ready", 2), ("ready", 2), ("log", 3), ("evaluation", 3), ("save", 3, True)],
        ("end", 3),
    ]


def test_hooks_keep_a_state_of_their_own_and_hear_of_errors(new_run):
    def make():
        objective = Points(evaluate_every=2)
        objective.hooks = [Recording()]
        return objective

    straight = assert_resumes_to_the_same_bits(make, new_run)
    figures = [row["evaluation"]["seen_by_hook"] for row in rows(straight) if "evaluation" in row]
    assert figures == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    broken = make()
    broken.cut_at = 5
    with pytest.raises(PowerCutError):
        trained(broken, new_run())
    assert broken.hooks[0].told[-1] == ("PowerCutError", 5)


def test_the_state_of_a_hook_from_before_hooks_had_one_is_found_in_the_objective_s(new_run):
    run = new_run()
    objective = Points()
    objective.hooks = [Recording()]
    trained(objective, run)
    path = find_checkpoint(run.checkpoints, "8") / "state.json"
    state = json.loads(path.read_text())
    state["objective"] |= state.pop("hooks")
    path.write_text(json.dumps(state))
    again = Points()
    again.hooks = [hook := Recording()]
    trained(again, run, "8")
    assert hook.evaluations == 3


def test_a_bug_is_told_as_a_bug_though_a_stop_was_asked_for(new_run):
    import signal

    objective = Points()

    def batch(step, shard):
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError("a bug")

    objective.batch = batch
    with pytest.raises(ZeroDivisionError):
        trained(objective, new_run())


def test_every_process_has_the_leader_s_running_statistics_after_each_step():
    class Normalised(Points):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    class Second(Placement):
        """The second of two processes; the first one's message is at hand."""

        def sum(self, values):
            return values.add_(messages[0]) if messages else values

    class First(Placement):
        def sum(self, values):
            messages.append(values.clone())
            return values

    messages: list[torch.Tensor] = []
    statistics = {}
    for rank, kind in ((0, First), (1, Second)):
        objective = Normalised()
        drawn = torch.full((8, 3), float(rank)) + torch.arange(8.0)[:, None]
        objective.batch = lambda step, shard, drawn=drawn: (drawn, drawn.sum(dim=1))
        training = objective.recipe.training
        place = kind(torch.device("cpu"), torch.float32, rank=rank, world=2)
        train_step(objective, Optimizer(objective.model, training), training, place, 0)
        statistics[rank] = objective.model[1].running_mean.clone()
    assert torch.equal(statistics[0], statistics[1])
    assert not torch.equal(statistics[0], torch.zeros(4))


def test_damaged_metrics_are_refused_with_every_checkpoint_in_its_place(new_run):
    run = new_run()
    trained(Points(), run)
    metrics = run.folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('{"step": 1,', '{"step" 1,', 1))
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with pytest.raises(ClewError, match=r"metrics\.jsonl:1: not a line of metrics"):
        trained(Points(), run, "8")
    after = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after.get(path)} <= {run.folder / "timing.jsonl"}


def test_the_clock_s_lines_go_back_with_the_checkpoint(new_run):
    run = new_run()
    trained(Points(), run)
    trained(Points(), run, "8")
    timing = [json.loads(line)["step"] for line in (run.folder / "timing.jsonl").read_text().splitlines()]
    assert timing == list(range(1, 13))
