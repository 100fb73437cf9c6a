"""A bundle appears whole and verified, or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clew.bundle.load import load_bundle
from clew.core import files
from clew.core.errors import BundleError, ClewError
from clew.export import parity, publish
from clew.export.huggingface import publish_huggingface
from clew.export.onnx_gpt import gpt_to_onnx
from clew.export.publish import publish_onnx
from clew.export.source import default_folder
from conftest import byte_tokenizer, random_gpt, source_of


def test_the_bundle_holds_what_hosts_read_and_where_it_comes_from(published: Path, small_source):
    assert sorted(path.name for path in published.iterdir()) == [
        "bundle.json",
        "config.json",
        "model.onnx",
        "tokenizer.json",
    ]
    config = json.loads((published / "config.json").read_text())
    assert config == {
        "model_type": "gpt",
        "vocab_size": 256,
        "context_length": 48,
        "d_model": 32,
        "n_layers": 2,
        "n_heads": 4,
        "head_dim": 8,
        "d_mlp": 48,
        "dropout": 0.0,
        "use_bias": False,
        "tie_embeddings": True,
        "use_cache": True,
    }
    manifest = json.loads((published / "bundle.json").read_text())
    assert manifest["files"] == {
        name: files.sha256_of_file(published / name) for name in ("config.json", "model.onnx", "tokenizer.json")
    }
    assert manifest["checkpoint"]["sha256"] == files.sha256_of_file(small_source.checkpoint / "model.safetensors")
    assert (manifest["family"], manifest["prompt_format"]["ends_with"]) == ("proofs", "@P\n")


def test_the_figures_of_all_ways_of_starting_are_recorded(published: Path):
    recorded = json.loads((published / "bundle.json").read_text())["parity"]
    assert (recorded["tolerance"], recorded["greedy_tokens"], len(recorded["ways"])) == (1e-4, 256, 5)
    for way in recorded["ways"].values():
        assert 0 < way["max_abs_logits_difference"] < 1e-4
        assert way["greedy_tokens_equal"] + way["ties"] == 256


def altered_weight(proto):
    for tensor in proto.graph.initializer:
        if tensor.name == "blocks.1.mlp.down.weight":
            values = np.frombuffer(tensor.raw_data, np.float32).copy()
            values[5] += 0.01
            tensor.raw_data = values.tobytes()


def zero_slot_counts_as_a_position(proto):
    for node in proto.graph.node:
        if node.op_type == "Greater":
            node.op_type = "GreaterOrEqual"


def later_tokens_are_seen(proto):
    for node in proto.graph.node:
        if node.op_type == "Less":
            node.op_type = "Greater"


@pytest.mark.parametrize("fault", [altered_weight, zero_slot_counts_as_a_position, later_tokens_are_seen])
def test_a_graph_that_differs_from_torch_is_not_published(fault, small_source, tmp_path, monkeypatch):
    def broken(model):
        proto = gpt_to_onnx(model)
        fault(proto)
        return proto

    monkeypatch.setattr(publish, "gpt_to_onnx", broken)
    with pytest.raises(BundleError, match=r"nothing was published.*logits differ by"):
        publish_onnx(small_source, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_computes_nan_is_not_published(tmp_path):
    model = random_gpt()
    with torch.no_grad():
        model.norm.weight[0] = float("nan")
    source = source_of(model, byte_tokenizer(), tmp_path / "checkpoint")
    with pytest.raises(BundleError, match="nothing was published"):
        publish_onnx(source, tmp_path / "export" / "bundle")
    assert list((tmp_path / "export").iterdir()) == []


def test_a_tokenizer_of_another_vocabulary_is_not_published(small_gpt, tmp_path):
    source = source_of(small_gpt, byte_tokenizer(more=256), tmp_path / "checkpoint")
    with pytest.raises(BundleError, match="257 tokens, but the model has 256"):
        publish_onnx(source, tmp_path / "export" / "bundle")
    assert not (tmp_path / "export").exists()


def test_a_folder_that_exists_is_left_as_it_is(published: Path, small_source):
    before = {path.name: path.stat().st_mtime_ns for path in published.iterdir()}
    with pytest.raises(ClewError, match="already exists"):
        publish_onnx(small_source, published)
    assert {path.name: path.stat().st_mtime_ns for path in published.iterdir()} == before


def test_equal_logits_are_reported_as_ties_and_others_are_faults():
    model, prompt = random_gpt(), np.arange(20)

    def logits():
        with torch.inference_mode():
            return model(torch.from_numpy(prompt)[None])[0].numpy()

    likeliest = int(logits()[-1].argmax())
    twin, other = [token for token in (100, 101, 102) if token != likeliest][:2]
    with torch.no_grad():
        model.embedding.weight[twin] = model.embedding.weight[likeliest]

    def figures(token):
        return parity._figures(model, [parity._Continuation(prompt, logits(), np.array([token]))])

    first, second = sorted((likeliest, twin))
    assert [(each.greedy_tokens_equal, each.ties) for each in map(figures, (first, second, other))] == [
        (1, 0),
        (0, 1),
        (0, 0),
    ]


def test_the_published_bundle_loads(published: Path):
    bundle = load_bundle(published)
    assert bundle.manifest is not None
    assert bundle.config.context_length == 48


def test_a_full_disk_leaves_nothing_behind(small_source, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for publish_as in (publish_onnx, publish_huggingface):
        with pytest.raises(ClewError, match="The disk is full"):
            publish_as(small_source, tmp_path / "bundle")
        assert list(tmp_path.iterdir()) == []


def test_exports_within_a_second_get_folders_of_their_own(tmp_path):
    made = []
    for _ in range(4):
        made.append(default_folder("tactics", tmp_path))
        made[-1].mkdir()
    assert len(set(made)) == 4
