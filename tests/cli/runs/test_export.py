"""`clew export`: which checkpoint it takes, where it writes, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from clew.bundle.load import load_bundle
from clew.cli.main import main
from clew.recipes.base import sha256
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.folder import Evidence, Run, create_run
from clew.training.checkpoint import save_checkpoint
from conftest import byte_tokenizer, random_gpt


def trained(runs_dir: Path, name: str) -> Run:
    """A run with two checkpoints, of which the first is the best."""
    recipe = NextTokenRecipe(name=name, seed=3)
    run = create_run(runs_dir, recipe, Evidence("proof files", "data/proofs", "e" * 64))
    byte_tokenizer().save(str(run.folder / "tokenizer.json"))
    for step, best in ((5, True), (9, False)):
        model = random_gpt(seed=step)
        save_checkpoint(
            run.checkpoints,
            step=step,
            model=model.state_dict(),
            optimizer={},
            state={"model": {"family": "gpt", **asdict(model.config)}},
            best=best,
            keep=3,
        )
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    trained(folder / "runs", "older").update(created_at="2020-01-01T00:00:00+00:00")
    return folder


@pytest.fixture
def run(runs, monkeypatch) -> Run:
    monkeypatch.chdir(runs)
    return trained(runs / "runs", "newer")


def exported(capsys, *arguments: object) -> dict:
    assert main(["export", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_newest_runs_best_checkpoint_goes_to_a_time_stamped_folder(run, capsys):
    result = exported(capsys)
    folder = Path(result["folder"])
    assert folder.parent == Path("export")
    assert len(folder.name.removeprefix("newer-").split("-")) == 6
    assert result["checkpoint"]["step"] == 5
    assert result["run_id"] == run.run_id
    assert result["recipe_sha256"] == sha256(NextTokenRecipe(name="newer", seed=3))
    assert result["evidence"]["sha256"] == "e" * 64
    assert result["recipe"]["data"]["validation_fraction"] == 0.1
    ids = torch.arange(20)[None]
    bundle = load_bundle(folder)
    logits, _ = bundle.run(ids.numpy(), bundle.empty_cache())
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), random_gpt(seed=5)(ids), atol=1e-4, rtol=0)


def test_runs_and_checkpoints_are_found_by_name_and_by_folder(run, tmp_path, capsys):
    def step(number: int, *arguments: object) -> int:
        return exported(capsys, *arguments[:1], tmp_path / f"bundle{number}", *arguments[1:])["checkpoint"]["step"]

    assert step(0, "older") == 5
    assert step(1, run.folder) == 5
    assert step(2, run.folder, "--which", "latest") == 9
    assert step(3, run.folder, "--which", "9") == 9
    assert step(4, run.checkpoints / "step_00000009") == 9
    alone = Path(shutil.copytree(run.checkpoints / "step_00000009", tmp_path / "alone"))
    shutil.copy(run.folder / "tokenizer.json", alone)
    assert step(5, alone) == 9


def test_it_writes_a_llama_too(run, tmp_path, capsys):
    result = exported(capsys, run.folder, tmp_path / "llama", "--format", "huggingface")
    assert result["parity"]["transformers_max_abs_logits_difference"] < 1e-4
    assert (tmp_path / "llama" / "model.safetensors").is_file()


def refused(capsys, *arguments: object) -> str:
    assert main(["export", *map(str, arguments)]) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "bug" not in error
    return error


def test_a_truncated_checkpoint_is_refused_and_nothing_appears(run, tmp_path, capsys):
    weights = run.checkpoints / "step_00000005" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "truncated or was altered" in refused(capsys, run.folder, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    assert exported(capsys, run.folder, tmp_path / "bundle", "--which", "latest")["checkpoint"]["step"] == 9


def test_a_checkpoint_of_another_model_is_refused(run, tmp_path, capsys):
    model = random_gpt()
    for described, sentence in (
        ({"family": "policy_value"}, "does not describe a policy/value net"),
        ({"family": "llama"}, "holds a model of 'llama', which no family here trains"),
        ({"family": "gpt", **asdict(model.config), "d_mlp": 50}, "has shape"),
        ({"family": "gpt", "vocab_size": 256}, "does not describe a GPT"),
        (None, "does not say which model"),
    ):
        state = {"model": described}
        path = save_checkpoint(
            tmp_path / "c", step=1, model=model.state_dict(), optimizer={}, state=state, best=True, keep=1
        )
        assert sentence in refused(capsys, path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_what_cannot_be_found_is_said(run, tmp_path, capsys):
    assert "neither a run folder" in refused(capsys, tmp_path)
    assert "There is no run 'nothing'" in refused(capsys, "nothing")
    assert "There are no runs in" in refused(capsys, "--runs-dir", tmp_path)
    (run.folder / "tokenizer.json").unlink()
    assert "There is no tokenizer.json" in refused(capsys, run.folder)
