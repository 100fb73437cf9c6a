"""tunix's Llama 3 holds our weights where tunix's own loader puts them, and computes what torch and transformers do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx
from safetensors.torch import save_file
from tunix.models.llama3 import model as llama3
from tunix.models.llama3 import params

from clew.core.errors import UsageError
from clew.export.huggingface import llama_weights
from clew.models.gpt import ROPE_BASE
from clew.training.tunix_llama import Layout, build, rotating
from clew.training.tunix_steps import read_arrays
from conftest import random_gpt

jax.config.update("jax_platforms", "cpu")


@pytest.fixture(scope="module")
def gpt():
    return random_gpt()


def weights(model):
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def filled(model):
    """tunix's Llama 3 with the weights of `model`."""
    layout = Layout(model)
    return build(layout.sizes, layout.arrays(weights(model)))


def logits(theirs, tokens, documents, positions=None):
    rows, length = tokens.shape
    if positions is None:
        positions = np.broadcast_to(np.arange(length), (rows, length))
    mask = (documents[:, :, None] == documents[:, None, :]) & np.tril(np.ones((length, length), bool))
    compiled = nnx.jit(lambda model, *arguments: model(*arguments)[0])
    return np.asarray(compiled(theirs, jnp.asarray(tokens), jnp.asarray(positions), None, jnp.asarray(mask)))


def test_weights_stand_where_the_loader_of_tunix_puts_those_of_our_hugging_face_folder(gpt, tmp_path):
    save_file(llama_weights(gpt), tmp_path / "model.safetensors")
    theirs = filled(gpt)
    loaded = params.create_model_from_safe_tensors(str(tmp_path), theirs.config, dtype=jnp.float32)
    expected, found = read_arrays(loaded, nnx.Param), read_arrays(theirs, nnx.Param)
    assert expected.keys() == found.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array, err_msg=str(path))


def test_weights_come_back_as_they_went(gpt):
    layout = Layout(gpt)
    back = layout.named(layout.arrays(weights(gpt)))
    assert back.keys() == weights(gpt).keys()
    for name, array in weights(gpt).items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_logits_of_packed_rows_are_those_of_torch(gpt):
    random = np.random.default_rng(0)
    tokens = random.integers(0, 256, (3, 48))
    documents = np.array([[0] * 48, [1] * 20 + [2] * 28, [3] * 1 + [4] * 30 + [5] * 17])
    with torch.no_grad():
        expected = gpt(torch.from_numpy(tokens), documents=torch.from_numpy(documents)).numpy()
    theirs = filled(gpt)
    with rotating(ROPE_BASE):
        np.testing.assert_allclose(logits(theirs, tokens, documents), expected, atol=1e-4)
    # Left to itself tunix turns every Llama by a million, whatever its configuration says.
    assert theirs.config.rope_theta == ROPE_BASE
    assert np.abs(logits(theirs, tokens, documents) - expected).max() > 0.1
    assert llama3.apply_rope.__module__ == llama3.__name__


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_of_hugging_face_gives_the_logits_of_transformers(tied):
    config = transformers.LlamaConfig(
        vocab_size=90,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-6,
        rope_theta=50_000.0,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    tokens = np.random.default_rng(1).integers(0, 90, (2, 24))
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)).logits.numpy()
    sizes = Layout(model).sizes
    assert (sizes.rope_theta, sizes.num_kv_heads, sizes.weight_tying) == (50_000.0, 2, tied)
    with rotating(sizes.rope_theta):
        found = logits(filled(model), tokens, np.zeros((2, 24), int))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1)), "'gpt2'"),
        (lambda: _llama(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}), "scaled rotary"),
        (lambda: _llama(attention_bias=True), "biases in its attention"),
        (lambda: torch.nn.Linear(2, 2), "'Linear'"),
    ],
)
def test_a_model_that_tunix_does_not_have_is_refused_with_a_sentence(model, sentence):
    with pytest.raises(UsageError, match=sentence):
        Layout(model())


def _llama(**changed):
    sizes = {"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2, **changed)
    )
