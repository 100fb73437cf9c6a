"""Objective `next_token`: a GPT learns to write proof files; "better" is fewer bits per byte on held-out files.

proofs.read_corpus -> split_by_theorem -> tokenizer.encode -> PackedStream -> loss
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clew.bundle.sampling import Sampling, sample
from clew.core.errors import CheckpointError, EvidenceError
from clew.core.randomness import generator, key
from clew.models.gpt import GPT, GPTConfig, dropout_planes
from clew.objectives.packing import IGNORED, PackedStream, Rows, Tokens, evaluation_rows
from clew.proofs.evaluation.bits import bits_per_byte
from clew.proofs.evidence import TOKENIZER, PreparedProofs
from clew.proofs.tokenizers import Tokenizer, check_round_trips, load_tokenizer
from clew.runs.progress import Evaluation
from clew.training.checkpoint import Checkpoint
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard, State


class Batch(NamedTuple):
    """One shard of a step's batch, on the device: int64 [rows, context_length] each, and dropout's random bytes."""

    tokens: Tensor
    targets: Tensor
    documents: Tensor
    noise: Tensor | None


class NextToken(Objective):
    """A GPT, batches of packed rows, cross-entropy, bits per byte."""

    items = "tokens"

    def __init__(self, prepared: PreparedProofs, folder: Path, placement: Placement) -> None:
        """The objective of the run in `folder`, whose tokenizer.json is there."""
        recipe, tokenizer = prepared.recipe, load_tokenizer(folder / TOKENIZER)
        self._recipe, self._tokenizer, self._placement = recipe, tokenizer, placement
        sizes = recipe.model
        self.config = GPTConfig(
            vocab_size=tokenizer.vocab_size,
            context_length=sizes.context_length,
            d_model=sizes.d_model,
            n_layers=sizes.n_layers,
            n_heads=sizes.n_heads,
            d_mlp=sizes.d_mlp,
            dropout=sizes.dropout,
        )
        self.model: GPT = GPT(self.config)
        self.model.initialise(torch.Generator().manual_seed(key(recipe.seed, "weights") % 2**63))
        self.model.to(placement.device)
        training = prepared.texts(prepared.split.train)
        held_out = prepared.texts(prepared.split.validation)
        training_tokens, held_out_tokens = _encode(tokenizer, training), _encode(tokenizer, held_out)
        names = prepared.corpus.names
        for texts, tokens, indices in (
            (training, training_tokens, prepared.split.train),
            (held_out, held_out_tokens, prepared.split.validation),
        ):
            # What a tokenizer of the user's does not give back, the model could only learn wrongly.
            check_round_trips(tokenizer, texts, tokens, [names[index] for index in indices])
        self.stream = PackedStream(training_tokens, sizes.context_length, recipe.seed)
        self.training_bytes = sum(len(text.encode()) for text in training)
        self._held_out_bytes = sum(len(text.encode()) for text in held_out)
        self._held_out_files = len(held_out)
        self._evaluation = evaluation_rows(held_out_tokens, sizes.context_length)
        self.longer_than_context = sum(len(tokens) > sizes.context_length for tokens in held_out_tokens)
        if self.stream.tokens_per_epoch < 2 or not len(self._evaluation.tokens):
            raise EvidenceError(f"{prepared.corpus.folder} holds too little text to train on and to hold out.")

    def planned_steps(self) -> int:
        """`max_steps`, or the steps of `max_epochs` passes."""
        plan = self._recipe.training
        return plan.max_steps or math.ceil(plan.max_epochs * self.stream.rows_per_epoch / plan.batch_size)

    def batch(self, step: int, shard: Shard) -> Batch:
        """Rows [step * batch_size, (step + 1) * batch_size) of the stream, the shard's part of them."""
        size = self._recipe.training.batch_size
        chosen = shard.rows(size)
        rows = self.stream.rows(step * size + chosen.start, step * size + chosen.stop)
        return Batch(*self._to_device(rows), self._noise(step, chosen) if self.config.dropout else None)

    def loss(self, batch: Batch) -> Loss:
        """Mean cross-entropy in nats a token, over the targets that are scored."""
        logits = self.model(batch.tokens, documents=batch.documents, noise=batch.noise)
        total = _summed_cross_entropy(logits, batch.targets)
        weight = (batch.targets != IGNORED).sum().float()
        return Loss(total / weight.clamp(min=1.0), {}, weight)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Bits per byte and nats a token on the held-out files, and samples.

        The first token of a file has nothing before it and is charged log2(vocab_size) bits, so that the figure is
        the length of a real code for the files and tokenizers can be compared by it.
        """
        rows = self._evaluation
        place = self._placement
        sums = torch.zeros(2, dtype=torch.float64)
        size = self._recipe.training.batch_size
        for start in range(place.rank * size, len(rows.tokens), place.world * size):
            part = Rows(*(array[start : start + size] for array in rows))
            tokens, targets, documents = self._to_device(part)
            with place.autocast():
                logits = self.model(tokens, documents=documents)
            sums[0] += float(_summed_cross_entropy(logits, targets))
            sums[1] += int((part.targets != IGNORED).sum())
        nats, tokens_scored = place.sum(sums.to(place.device, _widest(place.device))).tolist()
        vocab_size, size = self.config.vocab_size, self._held_out_bytes
        figures = {
            "validation_bits_per_byte": bits_per_byte(
                nats, files=self._held_out_files, vocab_size=vocab_size, size=size
            ),
            "validation_loss": nats / tokens_scored,
        }
        samples = (self._sample(),) if self._recipe.samples.sample_tokens and place.leads else ()
        return Evaluation(figures, watched="validation_bits_per_byte", samples=samples)

    def state(self) -> State:
        """What the tokenizer was; batches need no state, they are functions of the step."""
        return State({"tokenizer_sha256": self._tokenizer.fingerprint})

    def start_from(self, checkpoint: Checkpoint, path: Path) -> None:
        """Begin with another run's weights. Raises `CheckpointError` for another model or another tokenizer."""
        theirs = checkpoint.state.get("objective", {}).get("tokenizer_sha256")
        # Vocabularies of one size may still number other tokens: the weights would fit and mean nothing.
        if theirs not in (None, self._tokenizer.fingerprint):
            raise CheckpointError(
                f"The checkpoint {path} was trained with another tokenizer. Give its run's: --tokenizer "
                f"{path.parent.parent / TOKENIZER}."
            )
        super().start_from(checkpoint, path)

    def restore(self, state: State) -> None:
        """Check that the run's tokenizer is the one that the checkpoint was trained with."""
        if state.values["tokenizer_sha256"] != self._tokenizer.fingerprint:
            raise CheckpointError(
                f"The run's {TOKENIZER} is not the one that the checkpoint was trained with (its hash differs). "
                "Restore the file; a model cannot be continued with another vocabulary."
            )

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": "gpt", **asdict(self.config)}

    def planned_flops(self) -> float:
        """6 operations a parameter and token (Kaplan et al. 2020)."""
        tokens = self.planned_steps() * self._recipe.training.batch_size * self.config.context_length
        return 6.0 * sum(parameter.numel() for parameter in self.model.parameters()) * tokens

    def _to_device(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        tokens, targets, documents = (torch.from_numpy(array).to(self._placement.device) for array in rows)
        return tokens, targets, documents

    def _noise(self, step: int, rows: range) -> Tensor:
        """Dropout's random bytes [planes, rows, context_length, d_model], keyed by step and row of the batch, so that
        the split into processes and micro-batches changes nothing."""
        device = self._placement.device
        shape = (dropout_planes(self.config), 1, self.config.context_length, self.config.d_model)
        count = math.prod(shape)
        pieces = []
        for row in rows:
            if device.type == "cuda":
                random = torch.Generator(device).manual_seed(key(self._recipe.seed, "dropout", step, row) % 2**63)
                pieces.append(torch.randint(256, shape, dtype=torch.uint8, device=device, generator=random))
            else:
                words = generator(self._recipe.seed, "dropout", step, row).integers(
                    2**64, size=-(-count // 8), dtype=np.uint64
                )
                pieces.append(torch.from_numpy(words.view(np.uint8)[:count].reshape(shape)))
        return torch.cat(pieces, dim=1).to(device)

    def _sample(self) -> str:
        """Text that the model writes after the sample prompt; the same draws at each evaluation."""
        wanted = self._recipe.samples
        device = self._placement.device
        written = _encode(self._tokenizer, [wanted.sample_prompt])[0].tolist()
        draws = generator(self._recipe.seed, "sample").random(wanted.sample_tokens)
        cache = self.model.empty_cache(1)
        sampling = Sampling(temperature=wanted.sample_temperature, top_p=wanted.sample_top_p)
        tokens = written
        for draw in draws:
            logits, cache = self.model.forward_cached(torch.tensor([tokens], device=device), cache)
            tokens = [sample(logits[0, -1].float().cpu().numpy(), sampling, float(draw))]
            written += tokens
        return self._tokenizer.decode(written)


def _summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the targets that are scored, in float32."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
    return [ids.astype(np.int64) for ids in tokenizer.encode_batch(texts)]


def _widest(device: torch.device) -> torch.dtype:
    """float64 where the device has it (mps has not)."""
    return torch.float32 if device.type == "mps" else torch.float64
