"""Low-rank adapters: what trains, what they begin as, and that peft reads and writes the same."""

from __future__ import annotations

import json

import peft
import pytest
import torch
import transformers

from clew.core.errors import EvidenceError, UsageError
from clew.models.lora import Noise
from clew.models.pretrained import open_pretrained
from clew.recipes.chat import Lora
from tiny_pretrained import write_tiny


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("models") / "llama")


TOKENS = torch.arange(60).view(2, 30)


def moved(model):
    """The same model, its adapters no longer zero."""
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.05)
    return model


def test_adapters_change_nothing_at_first_and_train_alone(llama):
    whole, model = open_pretrained(str(llama)), open_pretrained(str(llama), lora=Lora(rank=4), seed=1)
    assert torch.equal(model.logits(TOKENS), whole.logits(TOKENS))
    trained = model.trainable()
    assert all("lora_" in name for name in trained)
    # Seven linear layers in each of two blocks, two matrices each; the output layer has none.
    assert len(trained) == 2 * 7 * 2
    frozen = model.frozen
    assert frozen.names == set(model.module.state_dict()) - set(trained)
    assert (frozen.source, frozen.sha256) == (str(llama), whole.sha256)
    model.logits(TOKENS).logsumexp(dim=1).sum().backward()
    untouched = [name for name, value in model.module.named_parameters() if value.grad is None]
    assert set(untouched) == {name for name, _ in model.module.named_parameters()} - set(trained)


def test_the_first_weights_are_the_seeds_and_no_global_generator_is_read(llama):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = open_pretrained(str(llama), lora=Lora(rank=4), seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    same, other = (open_pretrained(str(llama), lora=Lora(rank=4), seed=seed) for seed in (1, 2))
    for name, value in one.trainable().items():
        assert torch.equal(value, same.trainable()[name])
        if ".lora_A." in name:
            assert not torch.equal(value, other.trainable()[name])
            # Kaiming's uniform of a = sqrt(5), as LoRA's authors draw it: within 1 / sqrt(inputs).
            assert 0.9 < float(value.detach().abs().max()) * value.shape[1] ** 0.5 <= 1.0
        else:
            assert not value.any()


def test_alpha_scales_what_peft_scales_by_it(llama):
    model = moved(open_pretrained(str(llama), lora=Lora(rank=4, alpha=12.0, targets="q_proj, down_proj"), seed=1))
    assert len(model.trainable()) == 2 * 2 * 2
    weights = model.module.state_dict()
    plain = transformers.AutoModelForCausalLM.from_pretrained(llama).eval()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            at = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{at}.lora_A.default.weight" in weights:
                product = weights[f"{at}.lora_B.default.weight"] @ weights[f"{at}.lora_A.default.weight"]
                parameter.add_(product * 12.0 / 4)
        expected = plain(TOKENS).logits.flatten(0, 1)
        torch.testing.assert_close(model.logits(TOKENS), expected, atol=1e-4, rtol=1e-4)


def test_dropout_is_a_function_of_seed_step_and_row(llama):
    model = moved(open_pretrained(str(llama), lora=Lora(rank=4, dropout=0.5), seed=1))

    def logits(rows, step, keys, seed=3):
        found = model.logits(TOKENS[rows], noise=Noise(seed, step, [(each,) for each in keys]))
        return found.view(len(rows), 30, -1)

    both = logits([0, 1], 4, [10, 11])
    assert torch.equal(both, logits([0, 1], 4, [10, 11]))
    # The split into micro-batches changes nothing but rounding.
    for row in (0, 1):
        torch.testing.assert_close(logits([row], 4, [10 + row])[0], both[row], atol=1e-5, rtol=1e-5)
    for other in (logits([0, 1], 5, [10, 11]), logits([0, 1], 4, [12, 13]), logits([0, 1], 4, [10, 11], seed=4)):
        assert not torch.allclose(both, other, atol=1e-3)
    without = model.logits(TOKENS).view(2, 30, -1)
    assert torch.equal(without, model.logits(TOKENS).view(2, 30, -1))
    assert not torch.allclose(both, without, atol=1e-3)


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        (Lora(rank=4, targets="q_porj"), r"has no linear layer 'q_porj'.* Did you mean 'q_proj'\?"),
        (Lora(rank=4, targets=" , "), r"No layer for an adapter is named"),
    ],
)
def test_layers_that_are_not_there_are_told(llama, lora, sentence):
    with pytest.raises(UsageError, match=sentence):
        open_pretrained(str(llama), lora=lora)


def test_new_tokens_are_refused_under_adapters(llama):
    with pytest.raises(EvidenceError, match=r"a new token has to be learned, .* Train the model whole"):
        open_pretrained(str(llama), lora=Lora(rank=4), added_tokens=("<start_of_turn>",))


@pytest.fixture
def adapter(llama, tmp_path):
    """A folder of adapters as peft writes it, and the logits of the model with them."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    settings = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    wrapped = peft.get_peft_model(model, settings).eval()
    wrapped.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        return tmp_path / "adapter", wrapped(TOKENS).logits.flatten(0, 1)


def test_a_folder_of_adapters_that_peft_wrote_is_opened_over_its_model(adapter, llama):
    folder, logits = adapter
    model = open_pretrained(str(folder))
    torch.testing.assert_close(model.logits(TOKENS), logits, atol=1e-4, rtol=1e-4)
    assert model.sha256 != open_pretrained(str(llama)).sha256
    assert model.chat.own_template().end_of_turn == "<|im_end|>", "the tokenizer is the model's"
    further = open_pretrained(str(folder), lora=Lora(rank=2))
    torch.testing.assert_close(further.logits(TOKENS), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("damage", ["gone", "cut", "other", "nameless", "broken"])
def test_adapters_that_are_damaged_or_of_another_model_are_refused(adapter, tmp_path, damage):
    folder, _ = adapter
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    settings = json.loads(config.read_text())
    if damage == "gone":
        weights.rename(folder / "adapter_model.bin")
        sentence = r"holds no adapter_model\.safetensors.* pickled"
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
        sentence = r"cannot be put into its model"
    elif damage == "other":
        settings["base_model_name_or_path"] = str(write_tiny(tmp_path / "gpt2", "gpt2"))
        config.write_text(json.dumps(settings))
        sentence = r"cannot be put into its model|trained over another model"
    elif damage == "nameless":
        del settings["base_model_name_or_path"]
        config.write_text(json.dumps(settings))
        sentence = r"does not say over which model"
    else:
        config.write_text("[")
        sentence = r"is not the config of an adapter"
    with pytest.raises(Exception, match=sentence) as caught:
        open_pretrained(str(folder))
    assert type(caught.value).__module__ == "clew.core.errors"
