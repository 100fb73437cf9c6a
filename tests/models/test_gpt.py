"""The GPT: transformers' Llama as the other source, documents apart from each other, a cache that changes nothing."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from clew.models.gpt import GPT, GPTConfig, dropout_planes
from clew.recipes import load
from conftest import random_gpt


def tokens_of(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (batch, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def gpt() -> GPT:
    return random_gpt()


@pytest.fixture(scope="module")
def llama(gpt) -> LlamaForCausalLM:
    """A Llama of the same weights. The mapping stands here in full, and not in terms of the export's."""
    ours = gpt.config
    config = LlamaConfig(
        vocab_size=ours.vocab_size,
        hidden_size=ours.d_model,
        intermediate_size=ours.d_mlp,
        num_hidden_layers=ours.n_layers,
        num_attention_heads=ours.n_heads,
        max_position_embeddings=ours.context_length,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        theirs.model.embed_tokens.weight.copy_(gpt.embedding.weight)
        theirs.model.norm.weight.copy_(gpt.norm.weight)
        for block, layer in zip(gpt.layers, theirs.model.layers, strict=True):
            query, key, value = block.attention.qkv.weight.split(ours.d_model)
            gate, up = block.mlp.gate_up.weight.split(ours.d_mlp)
            for target, source in (
                (layer.input_layernorm, block.attention_norm.weight),
                (layer.self_attn.q_proj, query),
                (layer.self_attn.k_proj, key),
                (layer.self_attn.v_proj, value),
                (layer.self_attn.o_proj, block.attention.out.weight),
                (layer.post_attention_layernorm, block.mlp_norm.weight),
                (layer.mlp.gate_proj, gate),
                (layer.mlp.up_proj, up),
                (layer.mlp.down_proj, block.mlp.down.weight),
            ):
                target.weight.copy_(source)
    return theirs


@torch.no_grad()
def test_logits_are_those_of_a_llama(gpt, llama):
    tokens = tokens_of(3, 48)
    torch.testing.assert_close(gpt(tokens), llama(tokens).logits, atol=2e-5, rtol=0)


def test_gradients_are_those_of_a_llama(gpt, llama):
    tokens = tokens_of(2, 20)
    for model in (gpt, llama):
        model.zero_grad()
    gpt(tokens).square().mean().backward()
    llama(tokens).logits.square().mean().backward()
    torch.testing.assert_close(gpt.embedding.weight.grad, llama.model.embed_tokens.weight.grad, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_one_document_a_row_is_plain_causal_attention(gpt):
    tokens = tokens_of(2, 30)
    torch.testing.assert_close(gpt(tokens, documents=torch.zeros_like(tokens)), gpt(tokens), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_document_knows_nothing_of_its_neighbours(gpt):
    documents = torch.tensor([[0] * 10 + [1] * 12 + [2] * 8])
    tokens = tokens_of(1, 30)
    others = tokens_of(1, 30, seed=1)
    others[:, 10:22] = tokens[:, 10:22]
    logits, after_change = (gpt(each, documents=documents)[:, 10:22] for each in (tokens, others))
    assert torch.equal(logits, after_change), "bit for bit"
    alone = gpt(tokens[:, 10:22])
    torch.testing.assert_close(
        logits, alone, atol=1e-5, rtol=0, msg="rotary positions are relative: where it lies is one"
    )


@torch.no_grad()
def test_a_document_does_see_its_own_past_and_not_its_future(gpt):
    documents = torch.tensor([[0] * 10 + [1] * 12])
    tokens = tokens_of(1, 22)
    for changed in (3, 12):
        others = tokens.clone()
        others[0, changed] = (others[0, changed] + 1) % 256
        differs = (gpt(tokens, documents=documents) != gpt(others, documents=documents)).any(dim=2)[0]
        end = 10 if changed < 10 else 22
        assert differs.nonzero().flatten().tolist() == list(range(changed, end))


@pytest.mark.parametrize("slots", [0, 1, 5])
@pytest.mark.parametrize("cuts", [[30], [1] * 30, [4, 1, 20, 5]], ids=["at-once", "token-by-token", "in-pieces"])
@torch.no_grad()
def test_any_start_of_the_cache_gives_the_uncached_logits(gpt, slots, cuts):
    tokens = tokens_of(2, 30)
    cache, parts = gpt.empty_cache(2, slots), []
    for part in tokens.split(cuts, dim=1):
        logits, cache = gpt.forward_cached(part, cache)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), gpt(tokens), atol=2e-5, rtol=0)


@torch.no_grad()
def test_rows_of_unequal_length_stand_side_by_side_behind_zero_slots(gpt):
    short, long, following = tokens_of(1, 4), tokens_of(1, 11, seed=1), tokens_of(2, 6, seed=2)
    _, short_cache = gpt.forward_cached(short, gpt.empty_cache(1))
    _, long_cache = gpt.forward_cached(long, gpt.empty_cache(1))
    padded = [
        tuple(torch.cat([torch.nn.functional.pad(a, (0, 0, 7, 0)), b]) for a, b in zip(one, other, strict=True))
        for one, other in zip(short_cache, long_cache, strict=True)
    ]
    logits, _ = gpt.forward_cached(following, padded)
    for row, past in enumerate((short, long)):
        alone = gpt(torch.cat([past, following[row : row + 1]], dim=1))[0, -6:]
        torch.testing.assert_close(logits[row], alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("preset", "vocab_size", "promised"), [("tactics-bytes", 256, 4.85e6), ("tactics", 4096, 5.8e6)]
)
def test_the_presets_have_the_promised_number_of_parameters(preset, vocab_size, promised):
    recipe = load(preset)
    with torch.device("meta"):
        model = GPT(GPTConfig(vocab_size=vocab_size, **recipe.model.model_dump()))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(promised, rel=0.02)


def test_dropout_drops_its_share_and_keeps_the_expectation():
    config = GPTConfig(vocab_size=8, context_length=8, d_model=16, n_layers=1, n_heads=2, d_mlp=8, dropout=0.25)
    model = GPT(config)
    noise = torch.randint(0, 256, (dropout_planes(config), 4, 500, 16), dtype=torch.uint8)
    dropped = model._drop(torch.ones(4, 500, 16), noise, 1)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.015)
    assert sorted(dropped.unique().tolist()) == [0.0, pytest.approx(4 / 3)]
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


@torch.no_grad()
def test_dropout_acts_on_the_embedding_and_on_both_sub_layers_of_each_layer():
    config = GPTConfig(vocab_size=8, context_length=8, d_model=16, n_layers=2, n_heads=2, d_mlp=8, dropout=0.5)
    model = GPT(config)
    model.initialise(torch.Generator().manual_seed(0))
    tokens = torch.arange(8).unsqueeze(0)
    nothing_dropped = torch.full((dropout_planes(config), 1, 8, 16), 255, dtype=torch.uint8)
    for plane in range(5):
        noise = nothing_dropped.clone()
        noise[plane] = 0
        assert not torch.equal(model(tokens, noise=noise), model(tokens, noise=nothing_dropped)), plane


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed):
        model = GPT(random_gpt().config)
        model.initialise(torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_at_the_start_the_model_knows_nothing_and_says_so():
    model = GPT(random_gpt().config)
    model.initialise(torch.Generator().manual_seed(0))
    tokens = tokens_of(4, 40)
    loss = torch.nn.functional.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert float(loss.detach()) == pytest.approx(torch.log(torch.tensor(256.0)).item(), abs=0.1)
