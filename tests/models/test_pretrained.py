"""Hugging Face models: what is opened, what is refused, and that packing changes no logit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
import trl
from safetensors.torch import load_file, save_file

from clew.bundle.chat import conversation_of, find_template
from clew.core.errors import BundleError, CheckpointError, ClewError, EvidenceError, UsageError
from clew.models import pretrained_folder
from clew.models.pretrained import open_pretrained
from clew.models.pretrained_folder import Place, find_model
from clew.models.pretrained_tokenizer import open_chat_tokenizer
from tiny_pretrained import TURNS, byte_tokenizer, write_tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Kind -> folder of a tiny model, made when it is first asked for."""
    made = {}

    def folder(kind="llama"):
        if kind not in made:
            made[kind] = write_tiny(tmp_path_factory.mktemp("models") / kind, kind)
        return made[kind]

    return folder


@pytest.fixture
def copied(folders, tmp_path):
    """A tiny Llama that a test may damage."""
    return shutil.copytree(folders(), tmp_path / "model")


def packed_rows():
    """Two rows: documents of 5 and 13 tokens and two places without any; and one of 20."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 256, (2, 20), generator=random)
    documents = torch.tensor([[0] * 5 + [1] * 13 + [-1] * 2, [0] * 20])
    positions = torch.tensor([[*range(5), *range(13), 0, 0], [*range(20)]])
    return tokens, documents, positions


@pytest.mark.parametrize(
    ("kind", "packing"),
    [
        ("llama", "positions"), ("qwen2", "positions"), ("gpt2", "positions"), ("gemma2", "positions"),
        ("opt", "mask"), ("bloom", "separate"),
    ],
)  # fmt: skip
@torch.no_grad()
def test_a_document_in_a_packed_row_gets_the_logits_that_transformers_gives_it_alone(folders, kind, packing):
    model = open_pretrained(str(folders(kind)))
    assert model.describe()["packing"] == packing
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folders(kind)).eval()
    tokens, documents, positions = packed_rows()
    logits = model.logits(tokens, documents=documents, positions=positions).view(2, 20, -1)
    for row, part in ((0, slice(0, 5)), (0, slice(5, 18)), (1, slice(0, 20))):
        alone = theirs(tokens[row : row + 1, part]).logits[0]
        torch.testing.assert_close(logits[row, part], alone, atol=1e-4, rtol=1e-5)
    chosen = torch.tensor([3, 9, 17, 25, 39])
    few = model.logits(tokens, documents=documents, positions=positions, chosen=chosen)
    torch.testing.assert_close(few, logits.flatten(0, 1)[chosen], atol=1e-5, rtol=0)


def test_gradients_of_chosen_places_are_those_of_the_whole(folders):
    tokens, documents, positions = packed_rows()
    chosen = torch.tensor([1, 6, 30])
    gradients = []
    for few in (True, False):
        model = open_pretrained(str(folders("qwen2")))
        logits = model.logits(tokens, documents=documents, positions=positions, chosen=chosen if few else None)
        (logits if few else logits[chosen]).logsumexp(dim=1).sum().backward()
        gradients.append({name: value.grad for name, value in model.trainable().items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_dropout_of_the_models_own_is_off_and_all_its_weights_train(folders):
    model = open_pretrained(str(folders("gpt2")))  # GPT-2 has a dropout of 0.1 in its config
    tokens = torch.arange(30).view(1, 30)
    assert torch.equal(model.logits(tokens), model.logits(tokens))
    assert model.frozen is None
    names = dict(transformers.AutoModelForCausalLM.from_pretrained(folders("gpt2")).named_parameters())
    assert model.trainable().keys() == names.keys()


def test_it_is_described_with_its_hash_and_another_hash_is_refused(copied):
    described = open_pretrained(str(copied)).describe()
    assert described["family"] == "pretrained"
    assert (described["name"], described["model_type"], described["revision"]) == (str(copied), "llama", None)
    open_pretrained(str(copied), sha256=described["sha256"])
    weights = load_file(copied / "model.safetensors")
    weights["model.norm.weight"] += 1e-6
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"not the one that the run began with \(its hash differs\)"):
        open_pretrained(str(copied), sha256=described["sha256"])


def edited(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def drop(folder, name):
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def poison(folder):
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][3, 5] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def sharded(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"holds no config\.json: it is no folder of a Hugging Face"),
        (lambda folder: (folder / "config.json").write_text("{"), r"is not the config of a model: it is not"),
        (lambda folder: edited(folder, model_type=None), r"names no model_type"),
        (lambda folder: edited(folder, model_type="t5"), r"\(model_type t5\) is no causal language model"),
        (lambda folder: edited(folder, model_type="nonesuch"), r"has no network of the model_type nonesuch"),
        (
            lambda folder: edited(folder, model_type="nonesuch", auto_map={"AutoConfig": "evil.Config"}),
            r"comes with Python code of its own, which Clew never runs",
        ),
        (lambda folder: edited(folder, quantization_config={"quant_method": "gptq"}), r"are quantized"),
        (lambda folder: edited(folder, hidden_size=36), r"transformers cannot open the model|in another shape"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"holds no weights: there is no model\.safetensors"),
        (pickled, r"pytorch_model\.bin and not as model\.safetensors\. Such a file can run code"),
        (sharded, r"lacks the weights model-00002-of-00002\.safetensors, which its"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x10"), r"transformers cannot open the model"),
        (lambda folder: drop(folder, "model.norm.weight"), r"lack 'model\.norm\.weight'"),
        (lambda folder: drop(folder, "lm_head.weight"), r"lack 'lm_head\.weight'.* without an output layer"),
        (poison, r"'lm_head\.weight' holds NaN or infinity"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), r"is not a tokenizer"),
        (
            lambda folder: byte_tokenizer(("<a>", "<b>", "<c>")).save_pretrained(folder),
            r"has tokens up to the number 258, but the model has 258 rows",
        ),
    ],
)  # fmt: skip
def test_what_is_no_whole_causal_language_model_is_refused_with_a_sentence(copied, damage, sentence):
    damage(copied)
    with pytest.raises(ClewError, match=sentence):
        open_pretrained(str(copied))


def test_code_that_comes_with_a_known_network_is_not_run(copied):
    (copied / "evil.py").write_text("raise SystemExit('this must never run')\n")
    edited(copied, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    assert open_pretrained(str(copied)).describe()["model_type"] == "llama"


def test_a_network_that_looks_ahead_is_refused(folders):
    with pytest.raises(EvidenceError, match="looks ahead: a later token changes the logits of an earlier one"):
        open_pretrained(str(folders("bert")))


def test_a_name_that_is_neither_a_folder_nor_an_id_is_told_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError, match="is a file"):
        find_model(str(tmp_path / "file"))
    with pytest.raises(EvidenceError, match=r"no folder .* no id of a model on the Hugging Face hub"):
        find_model(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="is a folder, which has no revisions"):
        find_model(str(tmp_path), revision="main")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty cache of the hub, and no network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_an_id_that_is_not_in_the_cache_is_told_with_what_to_do(offline):
    with pytest.raises(EvidenceError, match=r"HF_HUB_OFFLINE forbids to fetch it.*hf download acme/tiny"):
        find_model("acme/tiny")


def test_an_id_is_opened_from_the_cache_with_its_commit(offline, folders):
    kept = offline / "models--acme--tiny"
    shutil.copytree(folders(), kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)
    for revision in (None, COMMIT):
        described = open_pretrained("acme/tiny", revision=revision).describe()
        assert (described["name"], described["revision"]) == ("acme/tiny", COMMIT)
        assert described["sha256"] == open_pretrained(str(folders())).describe()["sha256"]
    with pytest.raises(EvidenceError, match=r"acme/tiny at the revision v2 is not in the cache"):
        find_model("acme/tiny", revision="v2")


def test_only_text_and_safetensors_are_fetched(monkeypatch, folders):
    import huggingface_hub

    asked = {}

    def fetch(name, **given):
        asked.update(given, name=name)
        return str(folders())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_model("acme/tiny").folder == folders()
    assert asked["name"] == "acme/tiny"
    assert not any(fnmatch(name, asked["allow_patterns"]) for name in ("pytorch_model.bin", "modeling.py", "a.pkl"))
    assert all(fnmatch(path.name, asked["allow_patterns"]) for path in folders().iterdir())


def fnmatch(name, patterns):
    from huggingface_hub.utils import filter_repo_objects

    return bool(list(filter_repo_objects([name], allow_patterns=patterns)))


def test_without_transformers_it_says_what_to_install(copied, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(pretrained_folder.importlib, "import_module", missing)
    with pytest.raises(ClewError, match=r"needs transformers\. Install it with: pip install 'clew\[hf\]'"):
        open_pretrained(str(copied))


def test_the_tokenizers_own_template_marks_what_the_model_writes_with_the_end_of_its_turn(folders):
    chat = open_pretrained(str(folders())).chat
    template = chat.own_template()
    messages = conversation_of("2 + 2?", answer="Answer: 4")
    text = "".join(span.text for span in template.render(messages))
    reference = byte_tokenizer()
    assert text == reference.apply_chat_template(messages, tokenize=False)
    encoded = template.encode(chat.tokenizer, messages)
    assert encoded.tokens.tolist() == reference(text, add_special_tokens=False)["input_ids"]
    assert reference.decode(encoded.tokens[encoded.trained]) == "Answer: 4<|im_end|>"
    prompt = template.encode_prompt(chat.tokenizer, messages[:1])
    asked = reference.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == reference(asked, add_special_tokens=False)["input_ids"]


def test_what_a_user_writes_never_becomes_a_special_token(folders):
    chat = open_pretrained(str(folders())).chat
    encoded = chat.own_template().encode(chat.tokenizer, conversation_of("a<|im_end|>b", answer="c"))
    ends = chat.tokenizer.token_to_id("<|im_end|>")
    assert encoded.tokens.tolist().count(ends) == 2
    assert chat.tokenizer.decode(encoded.tokens.tolist(), skip_special_tokens=True).count("<|im_end|>") == 1


@pytest.mark.parametrize(
    ("model", "markers", "ends"),
    [
        ("qwen2_5", TURNS, "<|im_end|>"),
        ("qwen3", (*TURNS, "<|endoftext|>"), "<|im_end|>"),
        ("llama3", ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
        ("gemma", ("<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
        ("phi3", ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|endoftext|>"), "<|end|>\n<|endoftext|>"),
    ],
)
def test_templates_of_models_that_people_use_are_read_as_transformers_renders_them(tmp_path, model, markers, ends):
    """Their own templates, as TRL keeps them: none has generation blocks."""
    source = (Path(trl.__file__).parent / "chat_templates" / f"{model}.jinja").read_text()
    reference = byte_tokenizer(markers, source)
    reference.bos_token = markers[0]
    reference.save_pretrained(tmp_path)
    chat = open_chat_tokenizer(Place(model, tmp_path, None), fallback=Place(model, tmp_path, None))
    template = chat.own_template()
    messages = conversation_of("2 + 2?", answer="Answer: 4")
    encoded = template.encode(chat.tokenizer, messages)
    assert encoded.tokens.tolist() == reference.apply_chat_template(messages, return_dict=False)
    prompt = reference.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=False)
    assert template.encode_prompt(chat.tokenizer, messages[:1]) == prompt
    written = reference.decode(encoded.tokens[encoded.trained])
    assert written.removeprefix("<think>\n\n</think>\n\n") == f"Answer: 4{ends}"
    assert not encoded.trained[: len(prompt)].any()


def test_a_tokenizer_without_a_template_or_with_a_broken_one_is_told_so(tmp_path):
    plain = open_pretrained(str(write_tiny(tmp_path / "plain", template=None)))
    with pytest.raises(UsageError, match="has no chat template of its own"):
        plain.chat.own_template()
    with pytest.raises(UsageError, match="no token <start_of_turn>, which the chat template turns marks turns with"):
        find_template("turns").check(plain.chat.tokenizer)
    broken = open_pretrained(str(write_tiny(tmp_path / "broken", template="{% for %}")))
    with pytest.raises(UsageError, match=r"The chat template of .* line 1"):
        broken.chat.own_template()


def test_turn_tokens_are_added_with_rows_that_the_seed_draws(tmp_path):
    folder = write_tiny(tmp_path / "plain", template=None)
    turns = ("<start_of_turn>", "<end_of_turn>")
    model, again, other = (open_pretrained(str(folder), added_tokens=turns, seed=seed) for seed in (1, 1, 2))
    assert model.describe()["added_tokens"] == list(turns)
    assert [model.chat.tokenizer.token_to_id(turn) for turn in turns] == [258, 259]
    assert model.vocab_size == 260
    assert model.logits(torch.tensor([[258, 5, 259]])).shape == (3, 260)
    weights = [each.module.get_input_embeddings().weight for each in (model, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0][:258], weights[2][:258])
    assert not torch.equal(weights[0][258:], weights[2][258:])
    assert not torch.equal(weights[0][258], weights[0][259])
    find_template("turns").check(model.chat.tokenizer)


def test_a_tokenizer_that_makes_the_library_panic_is_refused(copied):
    path = copied / "tokenizer.json"
    held = json.loads(path.read_text())
    held["added_tokens"][0]["id"] = 10**12
    path.write_text(json.dumps(held))
    with pytest.raises((BundleError, EvidenceError)):
        open_pretrained(str(copied))
