"""`clew train recipes/supervised.yaml` as it stands: what it prints, keeps and learns, and that it resumes."""

import json
from pathlib import Path

import pytest
import yaml

from clew.bundle.guide import GuideModel
from clew.cli.main import main
from clew.export import export
from clew.programs.evaluation import evaluate
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.training.checkpoint import read_checkpoint

SUPERVISED = str(Path(__file__).parents[2] / "recipes" / "supervised.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder it was run in, and what it printed."""
    folder = tmp_path_factory.mktemp("supervised")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        capture = patch_output(patch)
        assert main(["train", SUPERVISED]) == 0
    return folder, capture["stdout"].getvalue(), capture["stderr"].getvalue()


def patch_output(patch):
    import io

    streams = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    for name, stream in streams.items():
        patch.setattr(f"sys.{name}", stream)
    return streams


def test_the_last_line_is_a_summary_of_the_last_epoch(finished):
    folder, printed, _ = finished
    summary = json.loads(printed.splitlines()[-1])
    assert len(printed.splitlines()) == 1
    assert summary["epochs"] == 2
    run = open_run(folder / summary["run"])
    losses = run.metrics()["loss"]
    assert len(losses) == summary["steps"], "log_interval 1: every step is logged"
    half = losses[len(losses) // 2 :]
    assert summary["mean_loss"] == pytest.approx(half.mean())
    assert summary["mean_loss"] != pytest.approx(losses.mean())
    assert (folder / summary["checkpoint"] / "model.safetensors").is_file()


def test_every_line_of_the_log_is_json(finished):
    lines = [json.loads(line) for line in finished[2].splitlines()]
    assert {line["event"] for line in lines} == {"note", "step", "evaluation"}
    assert {"loss", "policy_loss", "value_loss", "guard_loss", "latency_loss"} <= set(lines[-4])


def test_the_run_is_in_the_checkpoint_folder_with_model_optimiser_and_the_exact_recipe(finished):
    folder, printed, _ = finished
    summary = json.loads(printed)
    place = folder / "data/processed/checkpoints/supervised"
    assert (folder / summary["run"]).parent == place
    checkpoint = read_checkpoint(folder / summary["checkpoint"])
    assert tuple(checkpoint.model["body.layers.0.weight"].shape) == (64, 32)
    assert tuple(checkpoint.model["policy.weight"].shape) == (8, 64)
    assert "policy.weight/exp_avg" in checkpoint.optimizer
    kept = yaml.safe_load((folder / summary["run"] / "recipe.yaml").read_text())
    assert kept["seed"] == 1337
    assert kept["training"]["batch_size"] == 8
    assert kept["reporting"]["checkpoint_dir"] == "data/processed/checkpoints/supervised"


def test_what_it_learns_holds_on_tasks_it_never_saw(finished):
    held_out = json.loads(finished[1])["held_out"]
    assert held_out["policy_accuracy"] > held_out["context_majority_accuracy"] > held_out["chance_accuracy"] + 0.2
    assert held_out["guard_auc"] > 0.55


def test_the_same_seed_gives_the_same_bytes_and_a_stopped_run_too(finished, monkeypatch, tmp_path):
    folder, printed, _ = finished
    from clew.training.fit import fit as whole_fit

    class PowerCutError(BaseException):
        pass

    def breaking(objective, *arguments, **settings):
        real = objective.batch

        def batch(step, shard):
            if step == 60:
                raise PowerCutError
            return real(step, shard)

        objective.batch = batch
        return whole_fit(objective, *arguments, **settings)

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("clew.training.torch_backend.fit", breaking)
        with pytest.raises(PowerCutError):
            main(["train", SUPERVISED, "--checkpoint-every", "25"])
    (run,) = (tmp_path / "data/processed/checkpoints/supervised").iterdir()
    assert main(["resume", str(run)]) == 0
    ours, theirs = (find_checkpoint(each / "checkpoints") for each in (run, folder / json.loads(printed)["run"]))
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    assert (run / "metrics.jsonl").read_bytes() == (folder / json.loads(printed)["run"] / "metrics.jsonl").read_bytes()


def test_its_bundle_is_evaluated_on_what_it_held_out(finished, tmp_path, monkeypatch):
    folder, printed, _ = finished
    monkeypatch.chdir(folder)
    bundle, _ = export(json.loads(printed)["run"], tmp_path / "bundle", which="latest")
    report = evaluate(GuideModel(bundle))
    held_out = json.loads(printed)["held_out"]
    assert "held out" in report.which
    for name, each in report.heads.items():
        assert each.value == pytest.approx(held_out[name], abs=1e-3), name
