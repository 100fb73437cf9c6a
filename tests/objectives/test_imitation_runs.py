"""Runs of imitation: resumed to the same bytes, reported to programs, exported as a bundle that a host can read."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from clew.bundle.guide import GuideModel
from clew.core.errors import BundleError, UsageError
from clew.export import export
from clew.export.guide import load_guide
from clew.programs.grammar import FULL, SMALL
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.training import launch
from clew.training.fit import fit as whole_fit
from small_guides import small_states

quiet = [].append


class PowerCutError(BaseException):
    """Ends a process at once, as far as a test in it can."""


def trained(folder, monkeypatch, **changes):
    prepared = small_states(**changes)
    monkeypatch.setattr("clew.programs.evidence.prepare", lambda recipe: dataclasses.replace(prepared, recipe=recipe))
    return launch.train(prepared.recipe, folder=folder, say=quiet, shows=False)[0]


def outcome(folder):
    run = open_run(folder)
    newest = find_checkpoint(run.checkpoints)
    weights = {name: (newest / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}
    return {**weights, "metrics": (folder / "metrics.jsonl").read_bytes()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return trained(tmp_path_factory.mktemp("guide") / "run", patch)


@pytest.mark.parametrize("stop_at", [1, 20, 47])
def test_stopped_anywhere_it_resumes_to_the_same_bytes(finished, tmp_path, monkeypatch, stop_at):
    def breaking(objective, *arguments, **settings):
        real = objective.batch

        def batch(step, shard):
            if step == stop_at:
                raise PowerCutError
            return real(step, shard)

        objective.batch = batch
        return whole_fit(objective, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr("clew.training.torch_backend.fit", breaking)
        with pytest.raises(PowerCutError):
            trained(tmp_path / "run", monkeypatch)
    torch.manual_seed(stop_at)  # nothing reads the global generator
    launch.resume(open_run(tmp_path / "run"), say=quiet, shows=False)
    assert outcome(tmp_path / "run") == outcome(finished.folder)


def test_a_bundle_says_what_torch_says_and_what_each_action_is(finished, tmp_path):
    folder, manifest = export(str(finished.folder), tmp_path / "guide", runs_dir=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "config.json", "model.onnx"]
    model = GuideModel(folder)
    net, _ = load_guide(find_checkpoint(finished.checkpoints, "best"))
    rows = small_states().held_out
    seen = rows.features(np.arange(len(rows)))
    with torch.no_grad():
        expected = net(torch.from_numpy(seen))
    for found, right in zip(model.evaluate(seen), expected, strict=True):
        np.testing.assert_allclose(found, right.numpy(), atol=1e-4)
    names = [str(production) for production in SMALL.productions]
    assert list(model.actions) == names
    config = json.loads((folder / "config.json").read_text())
    assert config["actions"] == {"kind": "grammar", "grammar": "small", "names": names}
    assert config["observation"]["size"] == 32
    assert config["model"]["hidden"] == [32, 32]
    assert manifest["parity"]["max_abs_policy_logits_difference"] < 1e-4
    assert manifest["recipe"]["seed"] == 0
    model.check_fits("the grammar small", input_dim=32, actions=names)
    with pytest.raises(BundleError, match="is no guide of the grammar full"):
        model.check_fits("the grammar full", input_dim=32, actions=[str(each) for each in FULL.productions])


def test_a_guide_has_no_other_format(finished, tmp_path):
    with pytest.raises(UsageError, match="exported as onnx, not as 'huggingface'"):
        export(str(finished.folder), tmp_path / "guide", format="huggingface", runs_dir=tmp_path)


def test_a_guide_goes_on_from_another_runs_weights(finished, tmp_path, monkeypatch):
    prepared = small_states()
    recipe = prepared.recipe.model_copy(update={"start_from": str(finished.folder)})
    monkeypatch.setattr("clew.programs.evidence.prepare", lambda recipe: dataclasses.replace(prepared, recipe=recipe))
    run, _ = launch.train(recipe, folder=tmp_path / "on", say=quiet, shows=False)
    first, before = (
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for folder in (run.folder, finished.folder)
    )
    assert first < 0.8 * before


def test_a_run_reports_itself_to_programs(tmp_path, monkeypatch, capsys):
    from clew.cli.runs.train import print_outcome, voice

    changes = {"reporting": {"structured": True}, "training": {"max_steps": 0, "max_epochs": 3, "batch_size": 64}}
    prepared = small_states(**changes)
    monkeypatch.setattr("clew.programs.evidence.prepare", lambda recipe: dataclasses.replace(prepared, recipe=recipe))
    say, shows = voice(prepared.recipe)
    run, progress = launch.train(prepared.recipe, folder=tmp_path / "run", say=say, shows=shows)
    print_outcome(prepared.recipe, run, progress, as_json=False)
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.err.splitlines()]
    assert {each["event"] for each in events} == {"note", "step", "evaluation"}
    losses = [each["loss"] for each in events if each["event"] == "step"]
    assert len(losses) == 24
    summary = json.loads(told.out.splitlines()[-1])
    assert summary["epochs"] == 3
    assert summary["mean_loss"] == pytest.approx(sum(losses[16:]) / 8), "of the last epoch, not of all"
    assert summary["checkpoint"] == str(find_checkpoint(run.checkpoints))
    evaluated = [each for each in events if each["event"] == "evaluation"]
    assert summary["held_out"]["policy_accuracy"] == evaluated[-1]["policy_accuracy"]
