"""Preference optimisation: rows that branch, what TRL computes, a reference computed once, runs that resume, export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from trl import DPOConfig, DPOTrainer

from clew.bundle.load import load_bundle
from clew.bundle.session import open_session, run_session
from clew.core.errors import CheckpointError, UsageError
from clew.export import export
from clew.export.preference import load_reward
from clew.objectives.preference import make
from clew.objectives.preference_losses import margin_loss, preference_loss
from clew.runs.checkpoints import find_checkpoint
from clew.runs.folder import open_run
from clew.traces.preferences.evidence import prepare
from clew.training import launch
from clew.training.devices import Placement
from clew.training.objective import Shard
from small_preferences import rows_of_pairs, small_preference, write_rows
from small_runs import losses, metrics, outcome
from tiny_pretrained import write_tiny

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


def quiet(text):
    """Says nothing."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows_of_pairs())


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("llama") / "llama", "llama")


def objective_of(pairs, folder, **changed):
    return make(prepare(small_preference(pairs, **changed)), folder, CPU)


def moved(model, by=0.02):
    """The policy, away from its reference."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=by)


def alone(objective, number, side):
    """Log-probability of one sequence computed as a row of its own."""
    encoded = objective._prepared.encoded[number][side]
    tokens = torch.from_numpy(encoded.tokens)
    with torch.no_grad():
        logits = objective.net.logits(
            tokens[None],
            documents=torch.zeros(1, len(tokens), dtype=torch.int64),
            positions=torch.arange(len(tokens))[None],
        )
    each = F.log_softmax(logits.double(), -1)[:-1].gather(1, tokens[1:, None]).squeeze(1)
    return float(each[torch.from_numpy(encoded.trained[1:])].sum())


@pytest.mark.parametrize("kind", ["ours", "llama", "gpt2", "gemma2"])
def test_sequences_that_share_their_beginning_get_what_they_get_alone(pairs, tmp_path, kind):
    """Gemma has windows of attention, so its sequences stand apart; the others' rows branch."""
    model = {} if kind == "ours" else {"base_model": str(write_tiny(tmp_path / kind, kind))}
    objective = objective_of(pairs, tmp_path / "run", model=model)
    assert objective._shared == (kind != "gemma2")
    found = objective.reference()
    for number in (0, 5, 23):
        assert found[number].tolist() == pytest.approx([alone(objective, number, side) for side in (0, 1)], abs=2e-3)
    longest = max(len(piece.tokens) for pieces in objective.stream._pieces for piece in pieces)
    both = [len(pair.chosen.tokens) + len(pair.rejected.tokens) for pair in objective._prepared.encoded]
    assert (longest < max(both) * 0.75) == objective._shared or kind == "gemma2"


@pytest.mark.parametrize(
    ("loss", "smoothing", "alpha", "theirs", "count"),
    [
        ("dpo", 0.0, 0.0, ["sigmoid"], 6),
        ("ipo", 0.0, 0.0, ["ipo"], 6),
        ("robust", 0.1, 0.0, ["robust"], 6),
        ("dpo", 0.2, 0.0, ["aot"], 1),
        ("dpo", 0.0, 0.5, ["sigmoid", "sft"], 1),
    ],
)
def test_loss_rewards_and_gradients_are_those_of_trl(pairs, llama, tmp_path, loss, smoothing, alpha, theirs, count):
    """Of one pair, TRL's aot is the loss with conservative label smoothing, and its sft the chosen answer's mean
    negative log-likelihood; of more pairs it is the mean over all their tokens."""
    # ChatML ends a turn with a line feed behind its marker, which TRL counts and we do not.
    folder = shutil.copytree(llama, tmp_path / "reference")
    turns = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}{% endfor %}"
    turns += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    (folder / "chat_template.jinja").write_text(turns)
    changed = {"loss": loss, "label_smoothing": smoothing, "rpo_alpha": alpha, "model": {"base_model": str(folder)}}
    objective = objective_of(pairs, tmp_path / "run", **changed)
    objective.reference()
    moved(objective.model)
    numbers = np.asarray(objective._prepared.train[:count])
    batch = objective.to_device(numbers)
    scores, ours = objective.scores(batch), objective.loss(batch)
    ours.total.backward()
    policy = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    moved(policy)
    rows = [objective._prepared.pairs[number] for number in numbers]
    trainer = DPOTrainer(
        model=policy,
        ref_model=transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        args=DPOConfig(
            output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False,
            max_length=None, beta=0.1, loss_type=theirs, label_smoothing=smoothing,
            loss_weights=[1.0, alpha][:len(theirs)],
        ),
        train_dataset=datasets.Dataset.from_list(
            [
                {
                    "prompt": [{"role": "user", "content": row.prompt}],
                    "chosen": [{"role": "assistant", "content": row.chosen}],
                    "rejected": [{"role": "assistant", "content": row.rejected}],
                }
                for row in rows
            ]
        ),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
    )  # fmt: skip
    inputs = trainer.data_collator([trainer.train_dataset[index] for index in range(count)])
    of_trl = trainer.compute_loss(trainer.model, inputs)
    of_trl.backward()
    told = trainer._metrics["train" if trainer.model.training else "eval"]
    assert ours.total.item() == pytest.approx(of_trl.item(), abs=1e-5)
    assert scores.chosen.mean().item() == pytest.approx(told["rewards/chosen"][-1], abs=1e-5)
    assert scores.rejected.mean().item() == pytest.approx(told["rewards/rejected"][-1], abs=1e-5)
    assert scores.chosen.abs().max() > 1e-2, "a policy that is its reference would show nothing"
    named = dict(policy.named_parameters())
    for name, parameter in objective.model.named_parameters():
        torch.testing.assert_close(parameter.grad, named[name].grad, atol=1e-5, rtol=1e-4)


def test_losses_by_hand():
    logps = torch.tensor([-10.0, -12.0], dtype=torch.float64)
    reference = torch.tensor([-11.0, -11.0], dtype=torch.float64)
    given = {"beta": 0.5, "label_smoothing": 0.0, "lengths": torch.tensor([4, 2])}
    scores = preference_loss(logps, reference, loss="dpo", **given)
    assert scores.chosen.item() == 0.5
    assert scores.rejected.item() == -0.5
    assert scores.loss.item() == pytest.approx(np.log1p(np.exp(-1.0)))
    # ipo: means over 4 and 2 tokens are 0.25 and -0.5; 1 / (2 beta) is 1.
    assert preference_loss(logps, reference, loss="ipo", **given).loss.item() == pytest.approx((0.75 - 1.0) ** 2)
    # The chosen answer's 4 tokens have a mean log-likelihood of -2.5.
    kept = preference_loss(logps, reference, loss="dpo", rpo_alpha=2.0, **given)
    assert kept.loss.item() == pytest.approx(np.log1p(np.exp(-1.0)) + 2.0 * 2.5)
    assert (kept.chosen.item(), kept.rejected.item()) == (0.5, -0.5)
    # Where one label in ten is wrong, the mean of the unbiased loss over labels is the loss of the right label.
    margin = torch.tensor([1.5, -1.5])
    mean = (torch.tensor([0.9, 0.1]) * margin_loss(margin, 0.1, unbiased=True)).sum()
    assert mean.item() == pytest.approx(margin_loss(margin[:1], 0.0).item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_a_kept_likelihood_draws_on_the_chosen_answer_alone(loss):
    reference = torch.tensor([-11.0, -11.0], dtype=torch.float64)
    gradients = []
    for alpha in (0.0, 2.0):
        logps = torch.tensor([-10.0, -12.0], dtype=torch.float64, requires_grad=True)
        given = {"beta": 0.5, "label_smoothing": 0.0, "lengths": torch.tensor([4, 2]), "rpo_alpha": alpha}
        preference_loss(logps, reference, loss=loss, **given).loss.sum().backward()
        gradients.append(logps.grad)
    # 2 over 4 tokens.
    assert (gradients[1] - gradients[0]).tolist() == pytest.approx([-0.5, 0.0], abs=1e-6)
    if loss == "dpo":  # beta * sigmoid(-margin), of a margin of 1
        assert gradients[0].tolist() == pytest.approx([-0.5 / (1 + np.e), 0.5 / (1 + np.e)], abs=1e-6)


def test_the_output_layer_in_pieces_gives_the_same(pairs, tmp_path, monkeypatch):
    objective = objective_of(pairs, tmp_path)
    objective.reference()
    moved(objective.model)
    batch = objective.batch(0, Shard(0, 1))
    whole = objective.loss(batch)
    whole.total.backward()
    expected = {name: each.grad.clone() for name, each in objective.model.named_parameters()}
    objective.model.zero_grad()
    monkeypatch.setattr("clew.objectives.preference_losses.MOST_LOGITS", 258 * 7)
    pieces = objective.loss(batch)
    pieces.total.backward()
    assert pieces.total.item() == pytest.approx(whole.total.item(), abs=1e-6)
    for name, each in objective.model.named_parameters():
        torch.testing.assert_close(each.grad, expected[name], atol=1e-6, rtol=1e-4)


def test_a_policy_that_is_its_reference_has_no_margin(pairs, tmp_path):
    objective = objective_of(pairs, tmp_path)
    loss = objective.loss(objective.batch(0, Shard(0, 1)))
    assert loss.total.item() == pytest.approx(np.log(2), abs=1e-6)
    assert loss.parts["margin"].item() == pytest.approx(0, abs=1e-6)


def test_each_pass_takes_every_pair_once_and_a_split_batch_is_the_batch(pairs, tmp_path):
    objective = objective_of(pairs, tmp_path)
    count = objective.stream.pairs_per_epoch
    seen = objective.stream.members(0, 2 * count)
    assert sorted(seen[:count]) == sorted(seen[count:]) == sorted(objective._prepared.train)
    assert seen[:count].tolist() != seen[count:].tolist()
    whole = objective.loss(objective.batch(1, Shard(0, 1)))
    parts = [objective.loss(objective.batch(1, Shard(index, 2))) for index in (0, 1)]
    assert whole.total.item() == pytest.approx(sum(part.total.item() for part in parts) / 2, abs=1e-6)


def train(recipe, folder):
    return launch.train(recipe, folder.parent, folder=folder, say=quiet, shows=False)[0]


@pytest.fixture(scope="module")
def finished(pairs, tmp_path_factory):
    """A finished run of thirty steps. Copy it before changing it."""
    changed = {"max_steps": 30, "evaluate_every": 10, "checkpoint_every": 10}
    return train(small_preference(pairs, **changed), tmp_path_factory.mktemp("runs") / "run")


def test_a_policy_learns_what_is_preferred(finished):
    first, *_, last = [row["evaluation"] for row in metrics(finished.folder) if "evaluation" in row]
    assert last["validation_accuracy"] == 1.0
    assert last["validation_margin"] > first["validation_margin"] > 0
    assert last["validation_loss"] < first["validation_loss"] < np.log(2)
    rows = [row for row in metrics(finished.folder) if "loss" in row]
    assert {"rewards_chosen", "rewards_rejected", "margin", "accuracy"} <= rows[-1].keys()


def test_a_run_that_was_broken_off_comes_to_the_same_bytes(finished, tmp_path):
    whole = outcome(finished.folder)
    copy = shutil.copytree(finished.folder, tmp_path / "run")
    before = (copy / "reference.safetensors").read_bytes()
    (copy / "checkpoints" / "best.json").unlink()
    launch.resume(open_run(copy), checkpoint="10", say=quiet, shows=False)
    assert outcome(copy) == whole
    assert (copy / "reference.safetensors").read_bytes() == before


@pytest.mark.parametrize("fault", ["missing", "altered"])
def test_a_reference_that_is_not_the_runs_is_refused_and_not_computed_anew(finished, tmp_path, fault):
    copy = shutil.copytree(finished.folder, tmp_path / "run")
    path = copy / "reference.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink() if fault == "missing" else path.write_bytes(content)
    with pytest.raises(CheckpointError, match="Copy it back"):
        launch.resume(open_run(copy), checkpoint="10", say=quiet, shows=False)
    assert path.exists() == (fault == "altered")


def test_a_run_that_starts_from_another_is_held_against_that_one(finished, pairs, tmp_path):
    recipe = small_preference(pairs, max_steps=1, start_from=str(finished.folder))
    run = train(recipe, tmp_path / "next")
    # Measured against the first run's weights the first step has no margin, though the model prefers already.
    assert losses(run.folder)[0] == pytest.approx(np.log(2), abs=1e-5)
    before, after = (Path(each.folder, "reference.safetensors").read_bytes() for each in (finished, run))
    assert before != after


def test_the_policy_ships_as_a_bundle_that_chats(finished, tmp_path):
    _, manifest = export(finished.folder, tmp_path / "bundle")
    assert manifest["family"] == "chat"
    assert load_bundle(tmp_path / "bundle").config.vocab_size == 258


def test_adapters_on_a_hugging_face_model_train_against_it(pairs, llama, tmp_path):
    recipe = small_preference(
        pairs, model={"base_model": str(llama)}, lora={"rank": 4, "dropout": 0.1}, learning_rate=0.03, max_steps=12
    )
    run = train(recipe, tmp_path / "run")
    evaluations = [row["evaluation"] for row in metrics(run.folder) if "evaluation" in row]
    assert evaluations[-1]["validation_accuracy"] == 1.0
    whole = outcome(run.folder)
    launch.resume(open_run(run.folder), checkpoint="10", say=quiet, shows=False)
    assert outcome(run.folder) == whole


def test_a_reward_model_learns_resumes_and_ships_its_score(pairs, tmp_path):
    recipe = small_preference(pairs, loss="reward", beta=1.0, max_steps=20, checkpoint_every=10, evaluate_every=10)
    run = train(recipe, tmp_path / "run")
    evaluations = [row["evaluation"] for row in metrics(run.folder) if "evaluation" in row]
    assert evaluations[-1]["validation_accuracy"] == 1.0
    assert not (run.folder / "reference.safetensors").exists(), "a reward model has no reference"
    whole = outcome(run.folder)
    launch.resume(open_run(run.folder), checkpoint="10", say=quiet, shows=False)
    assert outcome(run.folder) == whole
    folder, manifest = export(run.folder, tmp_path / "bundle")
    assert manifest["family"] == "reward"
    assert manifest["parity"]["max_abs_score_difference"] < 1e-4
    # By the bundle alone: the score of a held-out pair is higher where it is preferred.
    prepared = prepare(recipe)
    number = prepared.held_out[0]
    sides = [prepared.encoded[number][side].tokens for side in (0, 1)]
    tokens = np.zeros((2, max(map(len, sides))), np.int64)
    for row, side in enumerate(sides):
        tokens[row, : len(side)] = side
    lengths = np.array([len(side) for side in sides])
    session = open_session(folder / "model.onnx", (folder / "model.onnx").read_bytes(), threads=1, spin=False)
    (scores,) = run_session(session, ["score"], {"input_ids": tokens, "lengths": lengths}, folder)
    assert scores.shape == (2,)
    assert scores[0] > scores[1]
    with torch.no_grad():
        model = load_reward(find_checkpoint(run.checkpoints, "best"))
        expected, embedding = model(torch.from_numpy(tokens), torch.from_numpy(lengths))
    assert scores.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    assert embedding.shape == (2, 64)
    with pytest.raises(UsageError, match="exported as onnx"):
        export(run.folder, tmp_path / "other", format="huggingface")
    state = json.loads((find_checkpoint(run.checkpoints, "latest") / "state.json").read_text())
    assert state["model"]["family"] == "reward"


def test_a_reward_model_is_made_of_a_gpt_of_ours(pairs, llama):
    with pytest.raises(UsageError, match="A reward model is made of a GPT of ours"):
        prepare(small_preference(pairs, loss="reward", model={"base_model": str(llama)}))
