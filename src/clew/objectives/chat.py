"""Objective `chat`: a language model learns to answer as traces do; "better" is a lower loss on held-out answers.

traces.evidence.prepare -> ChatStream.rows -> ChatNet.logits -> loss, on the assistant's tokens alone
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clew.core import files
from clew.core.errors import CheckpointError
from clew.core.named import named
from clew.models.chat_net import ChatNet
from clew.runs.progress import Evaluation
from clew.traces.chat_rows import IGNORED, ChatRows
from clew.traces.evidence import PreparedChat
from clew.traces.named_models import FOREIGN, OURS
from clew.training.checkpoint import Checkpoint
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard, State

NETS = {OURS: "clew.objectives.base_model:open_net", FOREIGN: "clew.models.pretrained:open_net"}
"""Kind of model -> `open_net(prepared, placement) -> ChatNet`: what training begins with, on the placement's device."""

_EVALUATED_AT_ONCE = 16
"""Rows of held-out traces in one forward pass, at most."""


class Batch(NamedTuple):
    """One shard of a step's batch, on the device."""

    tokens: Tensor
    documents: Tensor
    positions: Tensor
    chosen: Tensor
    """int64 [n]: the places of the flattened rows whose next token is learnt, and a few more."""
    targets: Tensor
    """int64 [n]: that token, or `IGNORED`."""
    noise: Any = None
    """What dropout draws from; None: nothing is dropped."""


class Chat(Objective):
    """A network, packed conversations, cross-entropy on what the assistant writes."""

    items = "tokens"

    def __init__(self, prepared: PreparedChat, net: ChatNet, placement: Placement) -> None:
        self._prepared, self._placement = prepared, placement
        self.recipe, self.net = prepared.recipe, net
        self.model, self.frozen = net.module, net.frozen
        self.stream, self._evaluation = prepared.stream(), prepared.evaluation()

    def planned_steps(self) -> int:
        """`max_steps`, or the steps of `max_epochs` passes."""
        plan = self.recipe.training
        return plan.max_steps or math.ceil(plan.max_epochs * self.stream.rows_per_epoch / plan.batch_size)

    def batch(self, step: int, shard: Shard) -> Batch:
        """Rows [step * batch_size, (step + 1) * batch_size) of the stream, the shard's part of them."""
        size = self.recipe.training.batch_size
        chosen = shard.rows(size)
        batch = self.to_device(self.stream.rows(step * size + chosen.start, step * size + chosen.stop))
        return batch._replace(noise=self.net.noise(step, chosen))

    def loss(self, batch: Batch) -> Loss:
        """Mean cross-entropy in nats a token, over the assistant's tokens of the batch."""
        logits = self.net.logits(
            batch.tokens,
            documents=batch.documents,
            positions=batch.positions,
            chosen=batch.chosen,
            noise=batch.noise,
        )
        total = F.cross_entropy(logits.float(), batch.targets, ignore_index=IGNORED, reduction="sum")
        weight = (batch.targets != IGNORED).sum().float()
        return Loss(total / weight.clamp(min=1.0), {}, weight)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Nats an assistant's token of the held-out traces; where none are held out, of those of training."""
        place = self._placement
        rows = self._evaluation.all_rows()
        size = min(_EVALUATED_AT_ONCE, max(1, self.recipe.training.batch_size))
        sums = torch.zeros(3, dtype=torch.float32 if place.device.type == "mps" else torch.float64)
        for start in range(place.rank * size, len(rows.tokens), place.world * size):
            batch = self.to_device(ChatRows(*(array[start : start + size] for array in rows)))
            with place.autocast():
                logits = self.net.logits(
                    batch.tokens, documents=batch.documents, positions=batch.positions, chosen=batch.chosen
                )
            sums[0] += float(F.cross_entropy(logits.float(), batch.targets, ignore_index=IGNORED, reduction="sum"))
            sums[1] += int((logits.argmax(-1) == batch.targets).sum())
            sums[2] += int((batch.targets != IGNORED).sum())
        nats, right, count = place.sum(sums.to(place.device)).tolist()
        about = "validation" if self._prepared.held_out else "training"
        figures = {f"{about}_loss": nats / count, f"{about}_token_accuracy": right / count}
        return Evaluation(figures, watched=f"{about}_loss")

    def state(self) -> State:
        """What the model's tokens and template were; batches need no state, they are functions of the step."""
        return State(self._made_with())

    def restore(self, state: State) -> None:
        """Check that tokens, template and what training began with are those of the checkpoint."""
        if dict(state.values) != self._made_with():
            raise CheckpointError(
                "The tokenizer, the chat template or the model that training began with is not the one that the "
                "checkpoint was trained with. Restore the model's files; what was learnt over others cannot be "
                "continued."
            )

    def start_from(self, checkpoint: Checkpoint, path: Path) -> None:
        """Begin with another run's weights. Raises `CheckpointError` for another model or other tokens."""
        noted = checkpoint.state.get("objective")
        theirs = noted.get("tokenizer_sha256") if isinstance(noted, dict) else None
        if theirs not in (None, self._made_with()["tokenizer_sha256"]):
            raise CheckpointError(f"The checkpoint {path} was trained with another tokenizer.")
        super().start_from(checkpoint, path)

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes of the network."""
        return self.net.describe()

    def planned_flops(self) -> float:
        """6 operations a parameter and token (Kaplan et al. 2020)."""
        if self.net.describe()["family"] != OURS:
            return 0.0
        rows = self.planned_steps() * self.recipe.training.batch_size
        return 6.0 * sum(parameter.numel() for parameter in self.model.parameters()) * rows * self._prepared.length

    def to_device(self, rows: ChatRows) -> Batch:
        """Rows as tensors, with the places whose next token is learnt."""
        targets = rows.targets.reshape(-1)
        chosen = np.flatnonzero(targets != IGNORED)
        learnt = targets[chosen]
        # A compiled loss is compiled for each length: a few are enough.
        grain = max(1, len(targets) // 16)
        spare = -len(chosen) % grain
        chosen, learnt = np.pad(chosen, (0, spare)), np.pad(learnt, (0, spare), constant_values=IGNORED)
        arrays = (rows.tokens, rows.documents, rows.positions, chosen, learnt)
        return Batch(*(torch.from_numpy(array).to(self._placement.device) for array in arrays))

    def _made_with(self) -> dict[str, str]:
        """Hashes of the tokens, the template, and where the network has one the model that it began as."""
        model, began_as = self._prepared.model, self.net.describe().get("sha256")
        return {
            "tokenizer_sha256": files.sha256_of(model.tokenizer),
            "template_sha256": files.sha256_of(model.template.source),
            **({"model_sha256": began_as} if began_as else {}),
        }


def make(prepared: PreparedChat, folder: Path, placement: Placement) -> Chat:
    """The objective of the run in `folder`."""
    net: ChatNet = named(NETS[prepared.model.kind])(prepared, placement)
    return Chat(prepared, net, placement)
