"""The same weights as a Llama: transformers computes the same logits and writes the same text."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch
import transformers

from clew.bundle.decode import greedy
from clew.bundle.load import load_bundle
from clew.core.errors import BundleError, ClewError
from clew.export import huggingface
from clew.export.huggingface import publish_huggingface


@pytest.fixture(scope="module")
def folder(small_source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "llama"
    publish_huggingface(small_source, folder)
    return folder


def test_transformers_gives_the_same_logits(folder, small_gpt):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM"
    tokens = torch.randint(0, 256, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model(tokens).logits, small_gpt(tokens), atol=1e-4, rtol=0)


def test_transformers_writes_what_the_bundle_writes(folder, published):
    prompt = [ord(character) for character in "@T\ntheorem "]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    theirs = model.generate(torch.tensor([prompt]), max_new_tokens=37, do_sample=False, pad_token_id=0)
    np.testing.assert_array_equal(theirs[0, len(prompt) :], greedy(load_bundle(published), prompt, 37))


def test_transformers_reads_the_tokenizer(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "a ≥ b\n  -a + a = 0\n"
    assert tokenizer(text)["input_ids"] == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text


def test_the_figure_is_recorded(folder):
    recorded = json.loads((folder / "bundle.json").read_text())["parity"]
    assert 0 < recorded["transformers_max_abs_logits_difference"] < 1e-4


def test_weights_under_the_wrong_names_are_not_published(small_source, tmp_path, monkeypatch):
    right = huggingface.llama_weights

    def swapped(model):
        weights = right(model)
        names = [f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up")]
        weights[names[0]], weights[names[1]] = weights[names[1]], weights[names[0]]
        return weights

    monkeypatch.setattr(huggingface, "llama_weights", swapped)
    with pytest.raises(BundleError, match=r"differ by .* nothing was published"):
        publish_huggingface(small_source, tmp_path / "llama")
    assert list(tmp_path.iterdir()) == []


def test_without_transformers_it_says_what_to_install(small_source, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClewError, match=r"pip install 'clew\[hf\]'"):
        publish_huggingface(small_source, tmp_path / "llama")
    assert list(tmp_path.iterdir()) == []
