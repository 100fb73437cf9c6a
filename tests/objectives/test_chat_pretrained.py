"""Hugging Face models through the chat objective: trained, stopped and resumed, exported, asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import peft
import pytest
import torch
import transformers

from clew.bundle.chat import conversation_of
from clew.bundle.sampling import Sampling
from clew.cli.traces.evaluate import main as evaluate_traces
from clew.core.errors import BundleError, CheckpointError, ClewError, EvidenceError, UsageError
from clew.export import export, pretrained
from clew.models.pretrained import open_checkpoint, open_pretrained
from clew.models.pretrained_answers import PretrainedModel, open_answers
from clew.recipes.chat import ChatRecipe
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.traces.evidence import prepare
from clew.training import launch
from clew.training.fit import fit as whole_fit
from small_runs import metrics, outcome
from tiny_pretrained import byte_tokenizer, write_tiny

TURNS = ("<start_of_turn>", "<end_of_turn>")
LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.25}


def quiet(text):
    """Says nothing."""


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with traces, a tiny Llama, and one whose tokenizer has no template and no turn tokens."""
    folder = tmp_path_factory.mktemp("room")
    rows = [
        {"id": f"t{n}", "prompts": f"{n} + 1?", "trace_steps": ["count"], "final_answer": str(n + 1), "metadata": {}}
        for n in range(12)
    ]
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_tiny(folder / "llama")
    write_tiny(folder / "plain", template=None, specials=())
    return folder


def recipe(room, model="llama", *, lora=None, steps=6, **model_fields):
    return ChatRecipe.model_validate(
        {
            "seed": 3,
            "system_instruction": "Count.",
            "model": {"base_model": str(room / model), "max_length": 120} | model_fields,
            "data": {"path": str(room / "traces.jsonl"), "validation_fraction": 0.2},
            "lora": lora or {},
            "training": {
                "max_steps": steps, "batch_size": 4, "accumulation": 2, "learning_rate": 0.01, "log_every": 1,
                "checkpoint_every": 2, "evaluate_every": 3, "precision": "float32", "threads": 1, "device": "cpu",
            },
        }
    )  # fmt: skip


def trained(room, folder, **fields):
    run, _ = launch.train(recipe(room, **fields), folder.parent, folder=folder, say=quiet, shows=False)
    return run


@pytest.fixture(scope="module", params=[None, LORA], ids=["whole", "lora"])
def finished(request, room, tmp_path_factory):
    """A finished run, and the adapters' section that it was trained with."""
    return trained(room, tmp_path_factory.mktemp("runs") / "run", lora=request.param), request.param


class PowerCutError(BaseException):
    """Ends a process at once, as far as a test in it can."""


def test_it_learns_and_says_what_from(finished, room):
    run, lora = finished
    losses = [row["loss"] for row in metrics(run.folder) if "loss" in row]
    assert losses[-1] < losses[0]
    described = open_checkpoint(find_checkpoint(run.checkpoints)).describe()
    assert described["name"] == str(room / "llama")
    assert described["sha256"] == open_pretrained(str(room / "llama")).sha256
    assert (described["lora"] is None) == (lora is None)
    held = json.loads((find_checkpoint(run.checkpoints) / "state.json").read_text())
    if lora is not None:
        assert held["frozen"] == {"source": str(room / "llama"), "sha256": described["sha256"]}
        size = (find_checkpoint(run.checkpoints) / "model.safetensors").stat().st_size
        assert size < (room / "llama" / "model.safetensors").stat().st_size / 4, "the frozen weights are not copied"


def test_the_first_loss_is_the_cross_entropy_that_transformers_gives_the_assistants_tokens(room, finished):
    """Each conversation alone, its labels set by hand, through the network's own loss."""
    run, _ = finished
    model = transformers.AutoModelForCausalLM.from_pretrained(room / "llama").eval()
    tokenizer = byte_tokenizer()
    nats = tokens = 0
    prepared = prepare(recipe(room))
    stream = prepared.stream()
    members = [index for row in range(4) for index in stream.members(row)]
    for index in members:
        row = prepared.rows[prepared.train[index]]
        asked = conversation_of(row.prompt, "Count.")
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answer = f"Reasoning:\n1. count\nAnswer: {row.answer}<|im_end|>"
        ids = tokenizer(prompt + answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[0, : len(tokenizer(prompt, add_special_tokens=False)["input_ids"])] = -100
        count = int((labels != -100).sum())
        with torch.no_grad():
            nats, tokens = nats + float(model(input_ids=ids, labels=labels).loss) * count, tokens + count
    assert metrics(run.folder)[0]["loss"] == pytest.approx(nats / tokens, rel=1e-5)


@pytest.mark.parametrize("stop_at", [1, 5])
def test_stopped_anywhere_it_resumes_to_the_same_bytes(finished, room, tmp_path, monkeypatch, stop_at):
    run, lora = finished

    def breaking(objective, *arguments, **settings):
        real = objective.batch

        def batch(step, shard):
            if step == stop_at:
                raise PowerCutError
            return real(step, shard)

        objective.batch = batch
        return whole_fit(objective, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr("clew.training.torch_backend.fit", breaking)
        with pytest.raises(PowerCutError):
            trained(room, tmp_path / "run", lora=lora)
    torch.manual_seed(stop_at)  # nothing reads the global generator
    launch.resume(open_run(tmp_path / "run"), say=quiet, shows=False)
    assert outcome(tmp_path / "run") == outcome(run.folder)


def copied(finished, room, tmp_path):
    """The run and the model that it was trained from, moved to where a test may damage them."""
    _, lora = finished
    shutil.copytree(room / "llama", tmp_path / "llama")
    shutil.copy(room / "traces.jsonl", tmp_path / "traces.jsonl")
    return trained(tmp_path, tmp_path / "run", lora=lora, steps=2)


def test_a_run_over_weights_that_changed_is_not_resumed(finished, room, tmp_path):
    run = copied(finished, room, tmp_path)
    state = find_checkpoint(run.checkpoints) / "state.json"
    held = json.loads(state.read_text())
    held["progress"]["ended"] = None
    state.write_text(json.dumps(held))
    before = outcome(run.folder)
    write_tiny(tmp_path / "llama", seed=1)
    with pytest.raises(CheckpointError, match=r"frozen weights .* are not those|model that training began with is not"):
        launch.resume(run, say=quiet, shows=False)
    assert outcome(run.folder) == before
    with pytest.raises(CheckpointError, match="its hash differs"):
        open_checkpoint(find_checkpoint(run.checkpoints))


def logits_of(model, tokens):
    with torch.no_grad():
        return model.eval()(input_ids=tokens).logits.flatten(0, 1)


TOKENS = torch.arange(80).view(2, 40)


def test_the_final_folder_is_opened_by_transformers_and_peft_to_the_logits_of_the_checkpoint(finished, room):
    run, lora = finished
    final = run.folder / "checkpoint-final"
    with torch.no_grad():
        expected = open_checkpoint(find_checkpoint(run.checkpoints)).logits(TOKENS)
    if lora is None:
        found = transformers.AutoModelForCausalLM.from_pretrained(final)
    else:
        assert not (final / "model.safetensors").exists()
        found = peft.AutoPeftModelForCausalLM.from_pretrained(final)
    torch.testing.assert_close(logits_of(found, TOKENS), expected, atol=1e-4, rtol=1e-4)
    before = transformers.AutoModelForCausalLM.from_pretrained(room / "llama")
    assert not torch.allclose(logits_of(before, TOKENS), expected, atol=0.01)
    tokenizer = transformers.AutoTokenizer.from_pretrained(final)
    asked = conversation_of("1 + 1?", "Count.")
    reference = byte_tokenizer()
    for settings in ({"add_generation_prompt": True}, {}):
        ids = tokenizer.apply_chat_template(asked, return_dict=False, **settings)
        assert ids == reference.apply_chat_template(asked, return_dict=False, **settings)
    manifest = json.loads((final / "bundle.json").read_text())
    assert manifest["chat"]["end_of_turn"] == "<|im_end|>"
    assert manifest["trained_from"]["name"] == str(room / "llama")
    assert manifest["parity"]["transformers_max_abs_logits_difference"] < 1e-3


def test_an_export_is_whole_with_adapters_merged_or_they_stand_apart(finished, tmp_path):
    run, lora = finished
    with torch.no_grad():
        expected = open_checkpoint(find_checkpoint(run.checkpoints)).logits(TOKENS)
    folder, manifest = export(run.folder, tmp_path / "whole", format="huggingface", which="latest")
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits_of(whole, TOKENS), expected, atol=1e-4, rtol=1e-4)
    assert whole.generation_config.eos_token_id == 257
    assert manifest["files"].keys() >= {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}
    if lora is None:
        with pytest.raises(UsageError, match="was trained whole and has no adapters"):
            export(run.folder, tmp_path / "apart", format="adapter")
    else:
        export(run.folder, tmp_path / "apart", format="adapter", which="latest")
        settings = json.loads((tmp_path / "apart" / "adapter_config.json").read_text())
        assert settings["target_modules"] == sorted(settings["target_modules"])
        assert settings["lora_alpha"] == 8.0
    with pytest.raises(UsageError, match=r"exported as huggingface or adapter, not as 'onnx'"):
        export(run.folder, tmp_path / "bundle", format="onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"whole"} | ({"apart"} if lora else set())


def test_weights_that_others_would_read_otherwise_are_not_published(finished, tmp_path, monkeypatch):
    run, _ = finished
    real = pretrained._reopened

    def spoiled(*arguments):
        network = real(*arguments)
        with torch.no_grad():
            next(parameter for parameter in network.parameters() if parameter.dim() > 1).mul_(1.5)
        return network

    monkeypatch.setattr(pretrained, "_reopened", spoiled)
    with pytest.raises(BundleError, match=r"logits that differ by .* nothing was published"):
        export(run.folder, tmp_path / "out", format="huggingface")
    assert list(tmp_path.iterdir()) == []


QUESTIONS = ["1 + 1?", "a longer question than the first one is: 5 + 1?", "7 + 1?"]
KEYS = ["a", "b", "c"]


def test_the_final_folder_answers_as_the_run_does_and_as_transformers_generates(finished, room):
    run, _ = finished
    greedy = Sampling(temperature=0, max_tokens=24)
    final = open_answers(str(run.folder / "checkpoint-final"))
    assert final.system == "Count.", "the system text comes with the export"
    of_run = open_answers(str(run.folder))
    assert of_run.system == "Count."
    assert of_run.provenance()["sha256"] != open_answers(str(room / "llama")).provenance()["sha256"]
    answers = final.answer(QUESTIONS, greedy, KEYS)
    assert [each.tokens for each in answers] == [each.tokens for each in of_run.answer(QUESTIONS, greedy, KEYS)]
    assert [each.prompt_tokens for each in answers] == final.prompt_lengths(QUESTIONS)
    network, tokenizer = final.model.module, byte_tokenizer()
    for question, answer in zip(QUESTIONS, answers, strict=True):
        asked = conversation_of(question, "Count.")
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
        settings = transformers.GenerationConfig(max_new_tokens=24, eos_token_id=257, pad_token_id=257)
        expected = network.generate(ids, generation_config=settings)[0, ids.shape[1] :].tolist()
        assert list(answer.tokens) == expected
        assert answer.finished == (257 in expected)
        assert answer.text == tokenizer.decode(expected, skip_special_tokens=True)


def test_what_is_drawn_depends_on_seed_key_and_position_alone(room):
    model = open_answers(str(room / "llama"))
    sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, seed=1)
    together = model.answer(QUESTIONS, sampling, KEYS)
    for question, key, answer in zip(QUESTIONS, KEYS, together, strict=True):
        (alone,) = model.answer([question], sampling, [key])
        assert (alone.tokens, alone.text, alone.finished) == (answer.tokens, answer.text, answer.finished)
    (other_key,) = model.answer(QUESTIONS[:1], sampling, ["z"])
    (other_seed,) = model.answer(QUESTIONS[:1], replace(sampling, seed=2), KEYS[:1])
    assert len({together[0].tokens, other_key.tokens, other_seed.tokens}) == 3
    shorter = model.answer(QUESTIONS[:1], replace(sampling, max_tokens=5), KEYS[:1])[0]
    assert shorter.tokens == together[0].tokens[:5]


def test_a_prompt_that_does_not_fit_is_told(room):
    with pytest.raises(UsageError, match=r"with max-tokens 100 to come it does not fit the context"):
        open_answers(str(room / "llama")).answer(["?" * 40], Sampling(max_tokens=100), ["a"])


def test_settings_in_the_models_folder_do_not_change_what_is_drawn(room, tmp_path):
    folder = shutil.copytree(room / "llama", tmp_path / "llama")
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "max_new_tokens": 2})
    )
    greedy = Sampling(temperature=0, max_tokens=10)
    expected = open_answers(str(room / "llama")).answer(QUESTIONS, greedy, KEYS)
    found = open_answers(str(folder)).answer(QUESTIONS, greedy, KEYS)
    assert [each.tokens for each in found] == [each.tokens for each in expected]


def test_without_turn_tokens_it_says_what_to_do_and_with_leave_it_adds_them(room, tmp_path):
    with pytest.raises(UsageError, match=r"no token <start_of_turn>, .*--add-tokens"):
        trained(room, tmp_path / "refused", model="plain")
    assert not (tmp_path / "refused").exists()
    with pytest.raises(EvidenceError, match=r"under adapters the embedding does not train"):
        trained(room, tmp_path / "lora", model="plain", lora={"rank": 4}, add_tokens=True)
    run = trained(room, tmp_path / "run", model="plain", add_tokens=True, steps=2)
    final = run.folder / "checkpoint-final"
    network = transformers.AutoModelForCausalLM.from_pretrained(final)
    assert network.get_input_embeddings().weight.shape[0] == 258
    tokenizer = transformers.AutoTokenizer.from_pretrained(final)
    text = tokenizer.apply_chat_template(conversation_of("1?", answer="2"), tokenize=False)
    assert text == "<start_of_turn>user\n1?<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>"
    assert tokenizer.convert_tokens_to_ids(list(TURNS)) == [256, 257]
    answers = open_answers(str(final))
    assert isinstance(answers, PretrainedModel)
    assert answers.template.end_of_turn == "<end_of_turn>"


def test_training_goes_on_from_a_run_an_export_or_adapters(finished, room, tmp_path):
    run, _ = finished
    with torch.no_grad():
        expected = open_checkpoint(find_checkpoint(run.checkpoints)).logits(TOKENS)
    for number, name in enumerate((find_checkpoint(run.checkpoints), run.folder / "checkpoint-final")):
        further = trained(room, tmp_path / f"run{number}", model=name, lora={"rank": 2}, steps=1)
        begun = open_pretrained(str(name))
        torch.testing.assert_close(begun.logits(TOKENS).detach(), expected, atol=1e-4, rtol=1e-4)
        reopened = open_checkpoint(find_checkpoint(further.checkpoints))
        assert reopened.sha256 == begun.sha256


def test_the_commit_of_an_id_is_kept_when_its_branch_moves_on(room, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    commits, kept = ("a" * 40, "b" * 40), tmp_path / "hub" / "models--acme--tiny"
    shutil.copytree(room / "llama", kept / "snapshots" / commits[0])
    write_tiny(kept / "snapshots" / commits[1], seed=5)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commits[0])
    settled = recipe(room, steps=2)
    settled = settled.model_copy(update={"model": settled.model.model_copy(update={"base_model": "acme/tiny"})})
    run, _ = launch.train(settled, tmp_path, folder=tmp_path / "run", say=quiet, shows=False)
    assert run.manifest["model_origin"] == {
        "name": "acme/tiny",
        "revision": commits[0],
        "sha256": open_pretrained(str(room / "llama")).sha256,
    }
    (kept / "refs" / "main").write_text(commits[1])
    state = find_checkpoint(run.checkpoints) / "state.json"
    held = json.loads(state.read_text())
    held["progress"]["ended"] = None
    state.write_text(json.dumps(held))
    launch.resume(run, say=quiet, shows=False)
    assert open_checkpoint(find_checkpoint(run.checkpoints)).place.revision == commits[0]
    assert open_pretrained("acme/tiny").place.revision == commits[1]


def test_an_eval_set_is_answered_before_and_after_with_tokens_that_were_added(room, tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"id": "q", "prompt": "1 + 1?", "expected_answer": "2"}\n')
    settled = recipe(room, "plain", steps=1, add_tokens=True)
    data = settled.data.model_copy(update={"eval_set": str(tmp_path / "questions.jsonl")})
    run, _ = launch.train(
        settled.model_copy(update={"data": data}), tmp_path, folder=tmp_path / "run", say=quiet, shows=False
    )
    before, after = (json.loads((run.folder / f"eval_{when}.jsonl").read_text()) for when in ("before", "after"))
    assert before["id"] == after["id"] == "q"
    assert before["prompt_tokens"] == after["prompt_tokens"]
    assert "Number of examples: 1" in (run.folder / "delta_report.md").read_text()


@pytest.mark.parametrize("what", ["checkpoint-final", ".", "../llama"])
def test_the_command_evaluates_a_folder_adapters_and_a_run(finished, room, tmp_path, what, capsys):
    run, _ = finished
    name = room / "llama" if what == "../llama" else run.folder / what
    (tmp_path / "questions.jsonl").write_text('{"id": "q", "prompt": "1 + 1?", "expected_answer": "2"}\n')
    arguments = ["--model", name, "--eval-set", tmp_path / "questions.jsonl", "--output", tmp_path / "rows.jsonl"]
    assert evaluate_traces([*map(str, arguments), "--max-tokens", "8"]) == 0
    row = json.loads((tmp_path / "rows.jsonl").read_text())
    assert row["expected_answer"] == "2"
    assert 1 <= row["tokens"] <= 8
    meta = json.loads((tmp_path / "rows.meta.json").read_text())
    assert meta["model"]["kind"] == "pretrained"
    assert meta["model"]["system"] == ("" if what == "../llama" else "Count.")


@pytest.mark.parametrize(
    "fields", [{"lora": {"rank": 4}}, {"add_tokens": True}, {"revision": "main"}], ids=["lora", "tokens", "revision"]
)
def test_what_takes_no_effect_on_a_model_of_ours_is_refused(room, tmp_path, fields):
    settled = recipe(room, **fields)
    settled = settled.model_copy(update={"model": settled.model.model_copy(update={"base_model": "base"})})
    with pytest.raises(UsageError, match="is a model of ours, which trains whole"):
        launch.train(settled, tmp_path, folder=tmp_path / "run", say=quiet, shows=False)


def test_a_model_that_is_gone_is_told_before_anything_is_written(room, tmp_path):
    with pytest.raises(ClewError, match=r"There is no folder .*missing"):
        trained(room, tmp_path / "run", model="missing")
    assert list(tmp_path.iterdir()) == []
