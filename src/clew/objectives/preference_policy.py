"""A policy that learns which of two answers is preferred.

traces.preferences.evidence.prepare -> PairStream.rows -> log_probabilities -> preference_losses

A policy is held against the log-probabilities that it began with. They are computed once, before the first step, and
kept in the run; no reference network stays in memory, and no resumed run computes them anew.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clew.core import files
from clew.core.errors import CheckpointError
from clew.models.chat_net import ChatNet, Groups
from clew.objectives.preference_losses import Scores, log_probabilities, preference_loss
from clew.objectives.preference_reference import Reference
from clew.recipes.preference import PreferenceRecipe
from clew.runs.progress import Evaluation
from clew.traces.preferences.evidence import PreparedPreference
from clew.traces.preferences.trees import PairRows, PairStream, Tokens
from clew.training.checkpoint import Checkpoint
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard, State

_AT_ONCE = 32
"""Pairs in one forward pass without gradients, at most."""


class Batch(NamedTuple):
    """One shard of a step's pairs, on the device: see `PairRows`."""

    tokens: Tensor
    documents: Tensor
    positions: Tensor
    places: Tensor
    targets: Tensor
    entries: Tensor
    sequences: Tensor
    ends: Tensor
    lengths: Tensor
    reference: Tensor
    """float64 [2 * pairs]: log-probabilities of the sequences by what training began with."""
    branches: Tensor | None = None
    """None for a network that rows cannot branch for."""
    groups: Groups | None = None
    """Of one row without padding, for a network that wants that."""
    noise: Any = None
    """What dropout draws from; None: nothing is dropped."""


class Preference(Objective):
    """A policy, pairs whose common beginning is computed once, and a loss of the margin of their log-ratios."""

    items = "pairs"
    recipe: PreferenceRecipe
    whole = False
    """Whether the last token of each answer is read, too."""

    def __init__(self, prepared: PreparedPreference, net: ChatNet, folder: Path, placement: Placement) -> None:
        self._prepared, self._placement = prepared, placement
        self.recipe, self.net = prepared.recipe, net
        self.model, self.frozen = net.module, net.frozen
        self._shared = net.shares()
        self.stream = PairStream(
            prepared.encoded,
            prepared.train,
            self.recipe.seed,
            shared=self._shared,
            whole=self.whole,
            ragged=self._shared and net.ragged,
        )
        self._reference = Reference(folder, prepared.fingerprint(), self._made_with(), placement)

    def planned_steps(self) -> int:
        """`max_steps`, or the steps of `max_epochs` passes."""
        plan = self.recipe.training
        return plan.max_steps or math.ceil(plan.max_epochs * self.stream.pairs_per_epoch / plan.batch_size)

    def batch(self, step: int, shard: Shard) -> Batch:
        """Pairs [step * batch_size, (step + 1) * batch_size) of the stream, the shard's part of them."""
        size = self.recipe.training.batch_size
        chosen = shard.rows(size)
        numbers = self.stream.members(step * size + chosen.start, step * size + chosen.stop)
        batch = self.to_device(numbers)
        # Rows are packed anew for each batch: a row's noise is keyed by where the shard begins, and its number.
        first = chosen.start * 2
        return batch._replace(noise=self.net.noise(step, range(first, first + len(batch.tokens))))

    def loss(self, batch: Batch) -> Loss:
        """Mean loss of the shard's pairs."""
        return _loss_of(self.scores(batch))

    def scores(self, batch: Batch) -> Scores:
        """Loss, rewards and margin of each pair."""
        logps = log_probabilities(self.net, batch, len(batch.ends))
        recipe = self.recipe
        return preference_loss(
            logps,
            batch.reference,
            loss=recipe.loss,
            beta=recipe.beta,
            label_smoothing=recipe.label_smoothing,
            lengths=batch.lengths,
            rpo_alpha=recipe.rpo_alpha,
        )

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Loss, rewards and accuracy on the held-out pairs; where none are held out, on those of training."""
        place = self._placement
        about = "validation" if self._prepared.held_out else "training"
        numbers = np.asarray(self._prepared.held_out or self._prepared.train, np.int64)
        sums = torch.zeros(6, dtype=torch.float32 if place.device.type == "mps" else torch.float64)
        for start in range(place.rank * _AT_ONCE, len(numbers), place.world * _AT_ONCE):
            batch = self.to_device(numbers[start : start + _AT_ONCE])
            with place.autocast():
                scores = self.scores(batch)
            for index, values in enumerate((scores.loss, scores.chosen, scores.rejected, scores.accuracy)):
                sums[index] += float(values.double().sum()) if values.device.type != "mps" else float(values.sum())
            sums[4] += len(scores.loss)
        found = place.sum(sums.to(place.device)).tolist()
        loss, chosen, rejected, accuracy = (value / found[4] for value in found[:4])
        figures = {
            f"{about}_loss": loss,
            f"{about}_accuracy": accuracy,
            f"{about}_margin": chosen - rejected,
            f"{about}_rewards_chosen": chosen,
            f"{about}_rewards_rejected": rejected,
        }
        watched = self.recipe.watch
        return Evaluation(figures, watched=f"{about}_{watched}", higher_is_better=watched == "accuracy")

    def state(self) -> State:
        """What the model's tokens, template and reference were; batches need no state, they are functions of the
        step."""
        return State({**self._made_with(), **self._reference.state()})

    def restore(self, state: State) -> None:
        """Check that tokens, template, reference and what training began with are those of the checkpoint."""
        values = dict(state.values)
        kept = values.pop("reference_sha256", None)
        if values != self._made_with():
            raise CheckpointError(
                "The tokenizer, the chat template or the model that training began with is not the one that the "
                "checkpoint was trained with. Restore the model's files; what was learnt over others cannot be "
                "continued."
            )
        self._reference.must_be(kept)

    def start_from(self, checkpoint: Checkpoint, path: Path) -> None:
        """Begin with another run's weights, which are the reference, too. Raises `CheckpointError`."""
        noted = checkpoint.state.get("objective")
        theirs = noted.get("tokenizer_sha256") if isinstance(noted, dict) else None
        if theirs not in (None, self._made_with()["tokenizer_sha256"]):
            raise CheckpointError(f"The checkpoint {path} was trained with another tokenizer.")
        super().start_from(checkpoint, path)

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes of the network."""
        return self.net.describe()

    def reference(self) -> Tensor:
        """float64 [pairs, 2]: log-probabilities of chosen and rejected by what training begins with.

        Computed when it is first asked for, before the first step; read from the run after that.
        """
        return self._reference.values(len(self._prepared.pairs), self._log_probabilities_of)

    @torch.no_grad()
    def _log_probabilities_of(self, numbers: Tokens) -> Tensor:
        parts = [torch.zeros(0, 2, device=self._placement.device)]
        for start in range(0, len(numbers), _AT_ONCE):
            batch = self._moved(self.stream.rows(numbers[start : start + _AT_ONCE]), torch.zeros(0))
            with self._placement.autocast():
                parts.append(log_probabilities(self.net, batch, len(batch.ends)).view(-1, 2))
        return torch.cat(parts)

    def to_device(self, numbers: Tokens) -> Batch:
        """The pairs of these numbers as a batch."""
        return self._moved(self.stream.rows(numbers), self.reference()[torch.from_numpy(numbers)].flatten())

    def _moved(self, rows: PairRows, reference: Tensor) -> Batch:
        device = self._placement.device

        def move(array: Tokens) -> Tensor:
            return torch.from_numpy(array).to(device)

        moved = {name: move(array) for name, array in rows._asdict().items() if isinstance(array, np.ndarray)}
        back = moved.pop("back", None)
        if not self._shared:
            del moved["branches"]
        pieces = tuple((move(index), move(branches)) for index, branches in rows.groups)
        groups = None if back is None else Groups(pieces, back)
        return Batch(**moved, reference=reference.to(device), groups=groups)

    def _made_with(self) -> dict[str, str]:
        """Hashes of the tokens, the template, and where the network has one the model that it began as."""
        model, began_as = self._prepared.model, self.net.describe().get("sha256")
        return {
            "tokenizer_sha256": files.sha256_of(model.tokenizer),
            "template_sha256": files.sha256_of(model.template.source),
            **({"model_sha256": began_as} if began_as else {}),
        }


def _loss_of(scores: Scores) -> Loss:
    count = torch.tensor(float(len(scores.loss)), device=scores.loss.device)
    chosen, rejected = scores.chosen.detach(), scores.rejected.detach()
    parts = {
        "rewards_chosen": chosen.mean(),
        "rewards_rejected": rejected.mean(),
        "margin": (chosen - rejected).mean(),
        "accuracy": scores.accuracy.mean(),
    }
    return Loss(scores.loss.mean(), parts, count)
