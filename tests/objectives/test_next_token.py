"""The objective next_token: its batches, its loss, and bits per byte against a slow computation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clew.core.errors import CheckpointError, EvidenceError
from clew.objectives import next_token
from clew.objectives.next_token import NextToken
from clew.proofs.evidence import prepare
from clew.proofs.tokenizers import load_tokenizer
from clew.training.devices import Placement
from clew.training.objective import Shard
from small_runs import small_recipe, write_corpus

CPU = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


def made(corpus, folder, **changed) -> NextToken:
    prepared = prepare(small_recipe(corpus, **changed))
    prepared.keep(folder)
    return NextToken(prepared, folder, CPU)


@torch.no_grad()
def bits_per_byte_by_hand(objective: NextToken, texts: list[str], tokenizer) -> float:
    """One forward pass a token: its history is its document so far, no packing, no batch."""
    bits, size = 0.0, 0
    for text in texts:
        ids = tokenizer.encode(text).astype(int).tolist()
        bits += math.log2(tokenizer.vocab_size)
        for position in range(1, len(ids)):
            logits = objective.model(torch.tensor([ids[:position]]))[0, -1].double()
            bits -= float(torch.log_softmax(logits, 0)[ids[position]]) / math.log(2)
        size += len(text.encode("utf-8"))
    return bits / size


@pytest.mark.parametrize("changed", [{}, {"tokenizer": "bpe", "vocab_size": 300}], ids=["bytes", "bpe"])
def test_bits_per_byte_are_those_of_a_slow_computation(corpus, tmp_path, changed):
    objective = made(corpus, tmp_path, context_length=512, batch_size=3, **changed)
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    prepared = prepare(small_recipe(corpus))
    texts = prepared.texts(prepared.split.validation)
    assert max(len(text) for text in texts) < 512, "both see the whole history"
    figures = objective.evaluate(0).figures
    by_hand = bits_per_byte_by_hand(objective, texts, tokenizer)
    assert figures["validation_bits_per_byte"] == pytest.approx(by_hand, rel=1e-6)


def test_an_untrained_model_of_bytes_needs_eight_bits_a_byte(corpus, tmp_path):
    figures = made(corpus, tmp_path).evaluate(0).figures
    assert figures["validation_bits_per_byte"] == pytest.approx(8.0, abs=0.1)


def test_a_theorem_longer_than_the_context_is_scored_whole(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    long = folder / "proof_00000.txt"
    long.write_text(long.read_text() + "".join(f"join(a, {number}) = {number}\n" for number in range(200)))
    objective = made(folder, tmp_path, validation_fraction=0.5, seed=1)
    texts = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    held_out = prepare(small_recipe(folder, validation_fraction=0.5, seed=1)).split.validation
    scored = int((objective._evaluation.targets >= 0).sum())
    assert scored == sum(len(texts[index].encode()) - 1 for index in held_out)
    assert objective.stream.tokens_per_epoch + scored + len(held_out) == sum(len(text.encode()) for text in texts)
    assert math.isfinite(objective.evaluate(0).score)


def test_the_parts_of_a_batch_are_the_batch(corpus, tmp_path):
    objective = made(corpus, tmp_path)
    whole = objective.batch(5, Shard(0, 1))
    parts = [objective.batch(5, Shard(index, 4)) for index in range(4)]
    for name in ("tokens", "targets", "documents"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    assert torch.equal(torch.cat([part.noise for part in parts], dim=1), whole.noise), "dropout's bytes too"


def test_a_batch_depends_on_its_step_alone(corpus, tmp_path):
    objective = made(corpus, tmp_path)
    before = objective.batch(7, Shard(0, 1))
    for step in (3, 90, 0):
        objective.loss(objective.batch(step, Shard(0, 1)))
    after = objective.batch(7, Shard(0, 1))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not torch.equal(before.noise, objective.batch(8, Shard(0, 1)).noise)


@torch.no_grad()
def test_the_loss_is_the_mean_over_scored_targets(corpus, tmp_path):
    objective = made(corpus, tmp_path, dropout=0.0)
    batch = objective.batch(0, Shard(0, 1))
    assert batch.noise is None
    loss = objective.loss(batch)
    logits = objective.model(batch.tokens, documents=batch.documents).double().log_softmax(-1)
    expected = [
        -float(logits[row, column, target])
        for (row, column), target in np.ndenumerate(batch.targets.numpy())
        if target >= 0
    ]
    assert float(loss.weight) == len(expected)
    assert float(loss.total) == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_epochs_plan_the_steps_that_read_every_token_so_often(corpus, tmp_path):
    objective = made(corpus, tmp_path, max_steps=0, max_epochs=2.5)
    assert objective.planned_steps() == math.ceil(2.5 * objective.stream.tokens_per_epoch / 32 / 4)


def test_samples_are_the_same_at_each_asking_and_begin_with_the_prompt(corpus, tmp_path):
    objective = made(corpus, tmp_path, sample_tokens=20, sample_prompt="@T\ntheorem ")
    (one,), (other,) = objective.evaluate(0).samples, objective.evaluate(0).samples
    assert one == other
    assert one.startswith("@T\ntheorem ")
    assert len(one) > len("@T\ntheorem ")


def test_a_tokenizer_of_another_vocabulary_is_refused(corpus, tmp_path):
    bytes_run = made(corpus, tmp_path)
    (tmp_path / "bpe").mkdir()
    with pytest.raises(CheckpointError, match="is not the one that the checkpoint was trained with"):
        made(corpus, tmp_path / "bpe", tokenizer="bpe", vocab_size=300).restore(bytes_run.state())
    bytes_run.restore(bytes_run.state())


def test_the_tokenizer_is_trained_on_the_training_split_alone(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    recipe = small_recipe(folder, tokenizer="bpe", vocab_size=400)
    prepared = prepare(recipe)
    held_out = [prepared.corpus.names[index] for index in prepared.split.validation]
    prepared.keep(tmp_path)
    before = (tmp_path / "tokenizer.json").read_bytes()
    # Text that would win a merge at once, were it read.
    for name in held_out:
        with (folder / name).open("a") as file:
            file.write("zyzzyva zyzzyva zyzzyva\n" * 50)
    again = prepare(recipe)
    assert again.split.validation == prepared.split.validation
    again.keep(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == before


def test_a_corpus_of_one_file_cannot_be_held_out(tmp_path):
    with pytest.raises(EvidenceError, match="holds one proof file, so none can be held out"):
        prepare(small_recipe(write_corpus(tmp_path / "corpus", count=1)))


def test_a_tokenizer_that_does_not_give_the_files_back_is_refused_with_file_and_place(tmp_path, monkeypatch):
    prepared = prepare(small_recipe(write_corpus(tmp_path / "corpus", 12)))
    prepared.keep(tmp_path)
    lossy = load_tokenizer(tmp_path / "tokenizer.json")
    whole = lossy.decode
    monkeypatch.setattr(lossy, "decode", lambda ids: whole(ids).replace("{", ""))
    monkeypatch.setattr(next_token, "load_tokenizer", lambda path: lossy)
    first = prepared.corpus.names[prepared.split.train[0]]
    with pytest.raises(EvidenceError, match=rf"{first}:2"):
        NextToken(prepared, tmp_path, CPU)
