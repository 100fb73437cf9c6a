"""Fine-tuning of our GPT: what is learnt, that nothing leaks, what TRL computes, a base made once, runs that resume."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import datasets
import pytest
import torch
import torch.nn.functional as F
import transformers
from trl import SFTConfig, SFTTrainer

from clew.bundle.chat import conversation_of, find_template
from clew.bundle.load import load_bundle
from clew.core.errors import CheckpointError, EvidenceError, UsageError
from clew.export.chat_models import open_chat_model
from clew.export.huggingface import llama_weights, publish_huggingface
from clew.export.onnx_weights import read_gpt
from clew.export.source import find_source
from clew.models.gpt import GPT
from clew.objectives import base_model
from clew.objectives.chat import make
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.traces.chat_rows import ChatRows
from clew.traces.evidence import prepare
from clew.traces.renderings import answer_text
from clew.training import launch
from clew.training.checkpoint import read_checkpoint
from clew.training.devices import Placement
from clew.training.fit import fit as whole_fit
from clew.training.objective import Shard
from small_runs import clew, environment, metrics, outcome, start_clew
from small_sft import small_sft, write_base_recipe, write_questions, write_traces

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


def quiet(text):
    """Says nothing."""


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with traces and questions, and a cache in which the small `base` was made."""
    folder = tmp_path_factory.mktemp("sft")
    write_traces(folder / "traces.jsonl")
    write_questions(folder / "questions.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEW_CACHE", str(folder / "cache"))
        patch.setenv("CLEW_BASE_RECIPE", str(write_base_recipe(folder)))
        # Two at once make one: the second waits for the first.
        flags = ["--data", folder / "traces.jsonl", "--max-steps", 1, "--max-length", 100, "--threads", 1]
        both = [start_clew("train", "sft", *flags, "--output", folder / f"first{n}") for n in (0, 1)]
        assert [process.wait() for process in both] == [0, 0]
        yield folder


def trained(room, folder, **changed):
    recipe = small_sft(room / "traces.jsonl", **changed)
    return launch.train(recipe, folder.parent, folder=folder, say=quiet, shows=False)[0]


@pytest.fixture(scope="module")
def finished(room, tmp_path_factory):
    """A finished run of six steps with questions before and after. Copy it before changing it."""
    data = {"eval_set": str(room / "questions.jsonl")}
    return trained(room, tmp_path_factory.mktemp("runs") / "run", data=data)


@pytest.fixture(scope="module")
def objective(room, tmp_path_factory):
    prepared = prepare(small_sft(room / "traces.jsonl"))
    return make(prepared, tmp_path_factory.mktemp("unused"), CPU)


def test_base_was_made_once_and_whole(room):
    names = sorted(path.name for path in (room / "cache").iterdir())
    (kept,) = [name for name in names if name.startswith("base-") and not name.endswith(".lock")]
    assert not [name for name in names if name.endswith(".tmp")], "a killed or finished making leaves nothing"
    weights = [
        (room / f"first{n}" / "checkpoints" / "step_00000001" / "model.safetensors").read_bytes() for n in (0, 1)
    ]
    assert weights[0] == weights[1]
    assert base_model.base_folder() == room / "cache" / kept
    # Another recipe is another base.
    (room / "other.yaml").write_text((room / "base.yaml").read_text().replace("max_steps: 2", "max_steps: 3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEW_BASE_RECIPE", str(room / "other.yaml"))
        assert base_model._key(base_model._recipe()) != base_model._key(
            base_model.recipes.load(str(room / "base.yaml"))
        )


def test_a_packed_conversation_sees_itself_alone(objective):
    """Each document's logits in a packed row are those that it has alone, and so is its share of the loss."""
    rows = objective.stream.rows(0, 3)
    batch = objective.to_device(rows)
    packed = objective.net.logits(batch.tokens, documents=batch.documents, positions=batch.positions)
    packed = packed.view(*batch.tokens.shape, -1)
    assert rows.documents.max() >= 1, "rows of one conversation would show nothing"
    nats = tokens = 0
    for row in range(3):
        for number in range(rows.documents[row].max() + 1):
            inside = rows.documents[row] == number
            with torch.no_grad():
                alone = objective.model(torch.from_numpy(rows.tokens[row, inside])[None])[0]
            torch.testing.assert_close(packed[row, torch.from_numpy(inside)], alone, atol=1e-5, rtol=1e-5)
            targets = torch.from_numpy(rows.targets[row, inside])
            nats += float(F.cross_entropy(alone, targets, ignore_index=-100, reduction="sum"))
            tokens += int((targets != -100).sum())
    loss = objective.loss(batch)
    assert float(loss.weight) == tokens
    assert float(loss.total) == pytest.approx(nats / tokens, rel=1e-6)


def test_the_batch_is_the_same_however_it_is_split(objective):
    whole = objective.batch(5, Shard(0, 1))
    parts = [objective.batch(5, Shard(index, 2)) for index in range(2)]
    for name in ("tokens", "documents", "positions"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))
    losses = [objective.loss(part) for part in parts]
    mean = sum(float(each.total) * float(each.weight) for each in losses) / sum(float(each.weight) for each in losses)
    assert mean == pytest.approx(float(objective.loss(whole).total), rel=1e-6)


def test_loss_and_gradients_are_those_of_trl_on_the_same_weights_batch_and_mask(objective, room, tmp_path):
    prepared = objective._prepared
    source = find_source(str(base_model.base_folder() / base_model.CHECKPOINT))
    publish_huggingface(source, tmp_path / "llama", template=find_template("turns"))
    chosen = list(prepared.train[:8])
    messages = [
        conversation_of(row.prompt, "", answer_text(row.steps, row.answer))
        for row in (prepared.rows[index] for index in chosen)
    ]
    theirs = SFTTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama"),
        args=SFTConfig(
            output_dir=str(tmp_path / "trl"), assistant_only_loss=True, per_device_train_batch_size=8, max_length=None,
            use_cpu=True, report_to=[], bf16=False, gradient_checkpointing=False,
        ),
        train_dataset=datasets.Dataset.from_list([{"messages": each} for each in messages]),
        processing_class=transformers.AutoTokenizer.from_pretrained(tmp_path / "llama"),
    )  # fmt: skip
    inputs = next(iter(theirs.get_train_dataloader()))
    expected = theirs.compute_loss(theirs.model, inputs)
    expected.backward()

    stream = replace(prepared, train=chosen).stream()
    found = objective.loss(objective.to_device(ChatRows(*stream.all_rows())))
    objective.model.zero_grad()
    found.total.backward()
    assert float(found.weight) == int((inputs["labels"][:, 1:] != -100).sum())
    assert abs(float(found.total) - float(expected)) < 1e-5
    gradients = GPT(objective.model.config)
    gradients.load_state_dict({name: each.grad for name, each in objective.model.named_parameters()})
    of_trl = dict(theirs.model.named_parameters())
    for name, ours in llama_weights(gradients).items():
        assert (ours - of_trl[name].grad).abs().max() < 1e-5, name
    objective.model.zero_grad()


def test_the_run_folder_is_that_of_the_contract(finished, room):
    manifest = json.loads((finished.folder / "run_manifest.json").read_text())
    for key in (
        "run_id", "created_at", "dataset_key", "build_id", "dataset_path", "dataset_sha256", "training_config",
        "model_config", "recipe", "seed", "git_sha", "backend", "artifacts_path",
    ):  # fmt: skip
        assert key in manifest
    assert manifest["backend"] == "torch"
    assert manifest["artifacts_path"] == str(finished.folder)
    assert manifest["training_config"]["max_steps"] == 6
    present = {path.name for path in finished.folder.iterdir()}
    assert {
        "run_manifest.json", "metrics.jsonl", "checkpoint-final", "eval_before.jsonl", "eval_after.jsonl",
        "delta_report.md", "recipe.yaml", "tokenizer.json", "chat_template.jinja",
    } <= present  # fmt: skip
    after = [json.loads(line) for line in (finished.folder / "eval_after.jsonl").read_text().splitlines()]
    assert [row["id"] for row in after] == ["q0", "q1", "q2", "q3"]
    assert [row["expected_answer"] for row in after] == ["51", "52", "53", "54"]
    losses = [row["loss"] for row in metrics(finished.folder) if "loss" in row]
    assert losses[-1] < losses[0]


def test_the_final_model_is_a_verified_bundle_that_says_how_it_is_asked(finished):
    bundle = load_bundle(finished.folder / "checkpoint-final")
    assert bundle.manifest["chat"]["end_of_turn"] == "<end_of_turn>"
    assert bundle.manifest["chat"]["template"] in bundle.manifest["files"]
    assert bundle.manifest["checkpoint"]["step"] == 6
    config = json.loads((finished.folder / "checkpoint-final" / "config.json").read_text())
    assert config["chat"]["end_of_turn"] == "<end_of_turn>"
    # Its weights come back out of it.
    held = read_checkpoint(find_checkpoint(finished.checkpoints), with_optimizer=False).model
    for name, weight in read_gpt(bundle.folder).state_dict().items():
        assert torch.equal(weight, held[name]), name


def test_a_model_answers_alike_by_whatever_name(finished):
    names = [finished.folder, finished.folder / "checkpoint-final", find_checkpoint(finished.checkpoints)]
    from clew.bundle.sampling import Sampling

    sampling = Sampling(temperature=0.0, max_tokens=12)
    said = [
        [each.tokens for each in open_chat_model(str(name)).answer(["1 + 1?", "2?"], sampling, ["a", "b"])]
        for name in names
    ]
    assert said[0] == said[1] == said[2]
    before = open_chat_model("base").answer(["1 + 1?", "2?"], sampling, ["a", "b"])
    assert [each.tokens for each in before] != said[0]


class PowerCutError(BaseException):
    """Ends a process at once, as far as a test in it can."""


@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopped_anywhere_it_resumes_to_the_same_bytes(finished, room, tmp_path, monkeypatch, stop_at):
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
            trained(room, tmp_path / "run", data={"eval_set": str(room / "questions.jsonl")})
    torch.manual_seed(stop_at)  # nothing reads the global generator
    launch.resume(open_run(tmp_path / "run"), say=quiet, shows=False)
    assert outcome(tmp_path / "run") == outcome(finished.folder)
    assert (tmp_path / "run" / "delta_report.md").is_file()


def test_what_a_kill_left_undone_after_the_last_step_is_done_when_it_is_resumed(finished, tmp_path):
    run = open_run(shutil.copytree(finished.folder, tmp_path / "run"))
    shutil.rmtree(run.folder / "checkpoint-final")
    (run.folder / "delta_report.md").unlink()
    launch.resume(run, say=quiet, shows=False)
    load_bundle(run.folder / "checkpoint-final")
    assert (run.folder / "delta_report.md").is_file()


def test_training_goes_on_from_a_run_a_checkpoint_and_a_bundle(finished, room, tmp_path):
    newest = find_checkpoint(finished.checkpoints)
    first = [
        trained(room, tmp_path / "a", start_from=str(newest), max_steps=1),
        trained(room, tmp_path / "b", model={"base_model": str(newest)}, max_steps=1),
        trained(room, tmp_path / "c", model={"base_model": str(finished.folder / "checkpoint-final")}, max_steps=1),
    ]
    losses = [metrics(run.folder)[0]["loss"] for run in first]
    assert losses[0] == losses[1] == losses[2]
    assert losses[0] < metrics(finished.folder)[0]["loss"]
    assert first[0].manifest["parent"] == str(newest)


def test_a_run_of_other_data_or_tokens_is_not_resumed(finished, room, tmp_path):
    run = open_run(shutil.copytree(finished.folder, tmp_path / "run"))
    state = find_checkpoint(run.checkpoints) / "state.json"
    held = json.loads(state.read_text())
    held["progress"]["ended"] = None
    held["objective"]["template_sha256"] = "0"
    state.write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match="the chat template or the model that training began with is not"):
        launch.resume(run, say=quiet, shows=False)
    more = write_traces(tmp_path / "more.jsonl", 25)
    with pytest.raises(EvidenceError, match="changed since run"):
        launch.resume(run, moved={"path": str(more)}, say=quiet, shows=False)


def test_the_command_takes_the_contracts_flags_and_refuses_a_folder_that_is_used(finished, room, tmp_path):
    (tmp_path / "theirs.yaml").write_text(
        "model: {name: base, max_length: 100}\ntraining: {num_steps: 2, per_device_batch_size: 2}\n"
    )
    flags = ["--config", tmp_path / "theirs.yaml", "--data", room / "traces.jsonl", "--threads", 1]
    dry = clew("train", "sft", *flags, "--output", tmp_path / "run", "--max-samples", 10, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "10 traces" in dry.stderr
    assert not (tmp_path / "run").exists()
    done = clew("train", str(tmp_path / "theirs.yaml"), *flags[2:], "--output", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["step"] == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    for folder, told in (("run", "clew resume"), ("full", "holds files already")):
        refused = clew("train", "sft", *flags, "--output", tmp_path / folder)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"


def test_traces_that_were_moved_are_named_when_a_run_is_resumed(room, tmp_path):
    traces = write_traces(tmp_path / "traces.jsonl")
    run = trained(tmp_path, tmp_path / "run", max_steps=2)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    traces.rename(tmp_path / "moved.jsonl")
    lost = clew("resume", run.folder)
    assert lost.returncode == 1
    assert "There is no file" in lost.stderr
    found = clew("resume", run.folder, "--data", tmp_path / "moved.jsonl")
    assert found.returncode == 0, found.stderr
    wrong = clew("resume", run.folder, "--db", "x.db")
    assert "said with --path" in wrong.stderr


def test_base_is_made_by_a_recipe_of_next_token_alone(room, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEW_BASE_RECIPE", "sft")
    with pytest.raises(UsageError, match="CLEW_BASE_RECIPE names a recipe of chat"):
        base_model.base_folder()
    assert "CLEW_CACHE" in environment()
    assert os.environ["CLEW_CACHE"] == str(room / "cache")
