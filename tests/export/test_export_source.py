"""A checkpoint is found whatever its family, and a GPT is made of none that does not describe one."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from clew.bundle.load import load_bundle
from clew.core.errors import CheckpointError, UsageError
from clew.export.gpt import load_gpt
from clew.export.publish import export_gpt
from clew.export.source import find_source, provenance, verdict
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.folder import Evidence, create_run
from clew.training.checkpoint import save_checkpoint
from conftest import byte_tokenizer, random_gpt, source_of

SIZES = asdict(random_gpt().config)


def run_with(recipe, described, runs_dir):
    run = create_run(runs_dir, recipe, Evidence("rows", "data", "e" * 64))
    state = {"model": described}
    model = random_gpt().state_dict()
    save_checkpoint(run.checkpoints, step=3, model=model, optimizer={}, state=state, best=True, keep=1)
    return run


def test_the_newest_run_is_found_whatever_its_family(tmp_path):
    gpt = run_with(NextTokenRecipe(name="prover"), {"family": "gpt", **SIZES}, tmp_path)
    player = run_with(AlphaZeroRecipe(name="player"), {"family": "policy_value"}, tmp_path)
    newest = find_source(None, runs_dir=tmp_path)
    assert (newest.name, newest.family, newest.objective) == ("player", "policy_value", "alphazero")
    assert newest.state["step"] == 3
    assert provenance(newest)["run_id"] == player.run_id
    older = find_source("prover", runs_dir=tmp_path)
    assert (older.family, older.objective) == ("gpt", "next_token")
    alone = find_source(str(gpt.checkpoints / "step_00000003"))
    assert alone.run is not None
    assert alone.run.run_id == gpt.run_id


@pytest.mark.parametrize(
    "changes",
    [
        {"n_heads": 0},
        {"n_heads": 5},
        {"d_model": "32"},
        {"d_model": 2.5},
        {"vocab_size": 10**12},
        {"n_layers": 10**6},
        {"n_layers": True},
        {"dropout": None},
        {"context_length": -1},
    ],
)
def test_sizes_that_no_network_has_are_refused(changes, tmp_path):
    run = run_with(NextTokenRecipe(name="prover"), {"family": "gpt", **SIZES, "dropout": 0.0}, tmp_path)
    path = run.checkpoints / "step_00000003"
    load_gpt(path)
    state = {"model": {"family": "gpt", **SIZES, **changes}}
    model = random_gpt().state_dict()
    save_checkpoint(run.checkpoints, step=3, model=model, optimizer={}, state=state, best=True, keep=1)
    with pytest.raises(CheckpointError, match="does not describe a GPT: "):
        load_gpt(path)


def test_sizes_that_the_weights_do_not_have_cost_no_memory(tmp_path):
    described = {"family": "gpt", **SIZES, "vocab_size": 2**31 - 1, "d_model": 2**20, "n_heads": 1}
    run = run_with(NextTokenRecipe(name="prover"), described, tmp_path)
    with pytest.raises(CheckpointError, match="has shape"):
        load_gpt(run.checkpoints / "step_00000003")


def test_a_bundle_ships_a_tokenizer_that_does_not_cut(small_gpt, tmp_path):
    cutting = byte_tokenizer()
    cutting.enable_truncation(2)
    manifest = export_gpt(source_of(small_gpt, cutting, tmp_path / "checkpoint"), tmp_path / "bundle")
    assert (tmp_path / "bundle" / "tokenizer.json").read_text() == byte_tokenizer().to_str(pretty=True)
    assert load_bundle(tmp_path / "bundle").encode("a + b") == list(b"a + b")
    assert "the same 256 greedy tokens, 5 ways of starting" in verdict(manifest["parity"])


def test_a_format_that_a_gpt_has_not_is_refused(small_source, tmp_path):
    with pytest.raises(UsageError, match="as onnx or huggingface, not as 'gguf'"):
        export_gpt(small_source, tmp_path / "bundle", "gguf")
    assert not (tmp_path / "bundle").exists()
