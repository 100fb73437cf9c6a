"""Runs of the backend tunix: what torch does with the same recipe, in the same files, to the same bits after a kill."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clew.cli.main import main
from clew.core.errors import ClewError, UsageError
from clew.export.gpt import load_source
from clew.export.source import find_source
from clew.runs.checkpoints import drop_later, find_checkpoint
from clew.runs.folder import open_run
from clew.training import backends, tunix_backend
from clew.training.launch import resume, train
from clew.training.tunix_steps import inputs_of
from small_runs import metrics, outcome, small_recipe, write_corpus

jax.config.update("jax_platforms", "cpu")
# What one test has compiled, the next takes as it is.
jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


def recipe_for(corpus, **changed):
    return small_recipe(corpus, **{"dropout": 0, "compile": "auto", "weight_decay": 0.5, "clip": 0.9} | changed)


def trained(recipe, runs_dir, backend, **settings):
    return train(recipe, runs_dir, backend=backend, say=lambda text: None, shows=False, **settings)[0]


@pytest.fixture(scope="module")
def by_torch(corpus, tmp_path_factory):
    return trained(recipe_for(corpus), tmp_path_factory.mktemp("torch"), "torch")


@pytest.fixture(scope="module")
def by_tunix(corpus, tmp_path_factory):
    """A run of 12 steps with the checkpoints of steps 6, 8 and 12. Copy it before changing it."""
    return trained(recipe_for(corpus), tmp_path_factory.mktemp("tunix"), "tunix")


@pytest.fixture
def copied(by_tunix, tmp_path):
    return open_run(shutil.copytree(by_tunix.folder, tmp_path / by_tunix.folder.name))


def assert_alike(found, expected, tolerance=1e-5):
    """The lines of two metrics files have the same names, and figures that differ by rounding alone."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        ours, theirs = ours | ours.get("evaluation", {}), theirs | theirs.get("evaluation", {})
        for name in theirs.keys() - {"evaluation", "improved"}:
            assert ours[name] == pytest.approx(theirs[name], rel=tolerance), (name, theirs["step"])


def test_its_metrics_are_those_of_torch(by_torch, by_tunix):
    assert_alike(metrics(by_tunix.folder), metrics(by_torch.folder))
    # The steps were not all alike, so that the schedule, clipping and decay had their part in it.
    norms = [line["grad_norm"] for line in metrics(by_torch.folder) if "grad_norm" in line]
    assert min(norms) < 0.9 < max(norms)


def test_its_checkpoints_hold_what_those_of_torch_hold(by_torch, by_tunix):
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (load_file(find_checkpoint(run.checkpoints, "latest") / name) for run in (by_tunix, by_torch))
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_allclose(ours[key], value, atol=2e-5, err_msg=f"{name} {key}")
    loaded = load_source(find_source(str(by_tunix.folder)))
    assert loaded.model.config.n_layers == 1


def test_the_manifest_says_what_trained(by_torch, by_tunix):
    assert (by_torch.manifest["backend"], by_tunix.manifest["backend"]) == ("torch", "tunix")
    assert by_tunix.manifest["device"]["device"] == "cpu"
    assert by_tunix.manifest["device"]["library"].startswith("google-tunix 0.1.7, jax ")
    assert by_tunix.manifest["status"] == "finished"


def test_resumed_it_comes_to_the_bits_of_a_run_that_was_never_stopped(copied):
    whole = outcome(copied.folder)
    drop_later(copied.checkpoints, 6, 6)
    said = []
    progress = resume(copied, say=said.append, shows=False)
    assert progress.step == 12
    assert outcome(copied.folder) == whole
    assert copied.manifest["backend"] == "tunix"
    assert not [line for line in said if line.startswith("note:")]


def test_either_library_goes_on_from_a_checkpoint_of_the_other(copied, by_torch):
    drop_later(copied.checkpoints, 6, 6)
    said = []
    resume(copied, backend="torch", say=said.append, shows=False)
    assert_alike(metrics(copied.folder), metrics(by_torch.folder))
    assert copied.manifest["backend"] == "torch"
    assert [line for line in said if line.startswith("note: not bit for bit")]


def test_micro_batches_of_unequal_weight_come_to_the_whole_batch(corpus, by_torch, tmp_path):
    run = trained(
        recipe_for(corpus, accumulation=2, max_steps=4, evaluate_every=12, schedule="constant"), tmp_path, "tunix"
    )
    one = trained(recipe_for(corpus, max_steps=4, evaluate_every=12, schedule="constant"), tmp_path, "torch")
    assert_alike(metrics(run.folder), metrics(one.folder))


def test_a_model_that_tunix_computes_otherwise_is_not_trained(corpus, tmp_path, monkeypatch):
    # Left to itself tunix 0.1.7 turns by another base.
    monkeypatch.setattr(tunix_backend, "rotating", lambda base: contextlib.nullcontext())
    with pytest.raises(ClewError, match="do not compute the same model here, so nothing was trained"):
        trained(recipe_for(corpus, max_steps=2), tmp_path, "tunix")
    assert not list(tmp_path.glob("*/checkpoints/step_*"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"optimizer": "muon"}, "--optimizer adamw"),
        ({"average_decay": 0.9}, "--average-decay 0"),
        ({"precision": "bfloat16"}, "--precision float32"),
        ({"compile": "no"}, "--compile auto"),
        ({"dropout": 0.1}, "--dropout 0"),
        ({"device": "mps"}, "no device 'mps'"),
        ({"device": "cuda"}, "device 'cuda'|--device says cuda"),
    ],
)
def test_what_it_cannot_do_is_refused_and_not_ignored(corpus, tmp_path, changed, sentence):
    with pytest.raises(UsageError, match=sentence):
        trained(recipe_for(corpus, **changed), tmp_path, "tunix")
    assert not list(tmp_path.glob("*/checkpoints/step_*"))


def test_the_places_that_a_batch_of_conversations_learns_become_targets_of_its_rows():
    # The last place pads: it is the first one again, with nothing to learn.
    batch = SimpleNamespace(
        tokens=torch.tensor([[5, 6, 7], [8, 9, 1]]),
        documents=torch.tensor([[0, 0, 1], [2, 2, 2]]),
        positions=torch.tensor([[0, 1, 0], [0, 1, 2]]),
        chosen=torch.tensor([0, 4, 0]),
        targets=torch.tensor([6, 1, -100]),
    )
    found = inputs_of(batch)
    np.testing.assert_array_equal(found["targets"], [[6, -100, -100], [-100, 1, -100]])
    np.testing.assert_array_equal(found["positions"], batch.positions)
    with pytest.raises(UsageError, match="batches have no targets"):
        inputs_of(SimpleNamespace(tokens=batch.tokens))


def test_behind_torchrun_it_says_that_it_trains_alone(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        trained(recipe_for(corpus), tmp_path, "tunix")
    assert not list(tmp_path.iterdir())


def without(library, monkeypatch):
    """Hide an installed library."""
    find = importlib.util.find_spec
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None if name == library else find(name))


def test_where_it_is_not_installed_the_install_line_is_told_before_any_work(corpus, tmp_path, monkeypatch, capsys):
    without("tunix", monkeypatch)
    flags = ["--data-dir", str(corpus), "--runs-dir", str(tmp_path / "runs"), "--backend", "tunix"]
    assert main(["train", "next_token", *flags]) == 1
    said = capsys.readouterr().err
    assert "pip install 'clew[tunix]'" in said
    assert "proof files" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("tpu", "hidden", "chosen", "why"),
    [
        (False, None, "torch", "there is no TPU"),
        (True, None, "tunix", "there is a TPU"),
        (True, "tunix", "torch", "there is a TPU, but no tunix"),
        (False, "torch", "tunix", "torch is not installed"),
    ],
)
def test_auto_takes_what_is_there_and_says_which(monkeypatch, tpu, hidden, chosen, why):
    monkeypatch.setattr(backends, "tpu_here", lambda: tpu)
    without(hidden, monkeypatch)
    said = []
    assert backends.choose("auto", said.append) == chosen
    assert said == [f"backend {chosen} (auto: {why})"]


def test_an_unknown_backend_is_named_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"no backend 'tunics'. Did you mean 'tunix'\? Known: torch, tunix, auto"):
        backends.find_backend("tunics")


def test_the_run_folder_holds_what_that_of_torch_holds(by_torch, by_tunix):
    ours, theirs = (
        {str(path.relative_to(run.folder)) for path in run.folder.rglob("*")} for run in (by_tunix, by_torch)
    )
    assert ours == theirs
