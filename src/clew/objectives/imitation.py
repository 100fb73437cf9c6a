"""Objective `imitation`: a guide learns what demonstrations of the program search did; four heads, four targets.

clew.programs.evidence.prepare -> rows by number -> GuideNet -> policy, value, guard and latency losses
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clew.bundle.guide import Scores
from clew.core.errors import EvidenceError
from clew.core.randomness import generator, key
from clew.models.guide import Guidance, GuideConfig, GuideNet
from clew.programs import features
from clew.programs.evidence import check_sizes
from clew.programs.grammar import Grammar
from clew.programs.heads import NO_ACTION, Frequencies, figures, policy_accuracy
from clew.programs.rows import LabelledStates, Rows
from clew.recipes.imitation import GuideModel, ImitationRecipe
from clew.runs.progress import Evaluation
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard

ILLEGAL = -1e30
"""Logit of an illegal action: no infinity, so that a row without legal actions gives a number."""
EVALUATED = 20_000
"""Held-out states of an evaluation during training, at most; `clew evaluate programs` takes all."""
_LEAST_SPREAD = 0.1
"""Features are divided by their standard deviation, but by no less: what is rarely set would be all that is heard."""
_CHUNK = 2048
_HEADS = ("policy", "value", "guard", "latency")


class Batch(NamedTuple):
    """One shard of a step's batch, on the device. A row whose label is not known has the weight 0 in that head."""

    features: Tensor
    """float32 [rows, input_dim]"""
    actions: Tensor
    """int64 [rows]; 0 where there is none."""
    illegal: Tensor
    """bool [rows, actions]"""
    targets: Tensor
    """float32 [3, rows]: value, guard, latency; 0 where not known."""
    weights: Tensor
    """float32 [4, rows]: of policy, value, guard, latency; over all rows of the training evidence their mean is 1."""


def guide_config(recipe: ImitationRecipe, grammar: Grammar) -> GuideConfig:
    """The guide's sizes. Raises `UsageError` for sizes in the recipe that do not fit the grammar."""
    model: GuideModel = recipe.model
    check_sizes(recipe, grammar)
    return GuideConfig(
        input_dim=features.input_dim(grammar),
        action_dim=grammar.actions,
        hidden=(model.hidden_dim,) * model.layers,
        activation=model.activation,
        residual=model.layers > 1,
        layer_norm=model.layer_norm,
    )


class Imitation(Objective):
    """A guide, rows of demonstrations, four losses."""

    items = "states"

    def __init__(self, prepared: LabelledStates, folder: Path, placement: Placement) -> None:
        self.recipe: ImitationRecipe = prepared.recipe
        self._placement, self._grammar = placement, prepared.grammar
        self._train, self._held_out = prepared.train, prepared.held_out
        if not len(self._train) or not len(self._held_out):
            raise EvidenceError(
                f"{prepared.evidence.path}: {len(self._train)} states to train on and {len(self._held_out)} held out; "
                "both are needed. Make more demonstrations, or hold out another share."
            )
        self.config = guide_config(self.recipe, self._grammar)
        self.model: GuideNet = GuideNet(self.config)
        self.model.initialise(torch.Generator().manual_seed(key(self.recipe.seed, "weights") % 2**63))
        self._alone = features.context_rows(self._grammar)
        self._task_width = features.layout(self._grammar).task
        self.model.set_normalisation(*self._moments())
        self.model.to(placement.device)
        self._frequencies = Frequencies.of(
            self._train.actions, self._train.contexts, (len(self._grammar.contexts), self._grammar.actions)
        )
        self._shares = self._label_shares()
        self._ordered: tuple[int, NDArray[np.int64]] | None = None

    def planned_steps(self) -> int:
        """`max_steps`, or the steps of `max_epochs` passes."""
        plan = self.recipe.training
        return plan.max_steps or math.ceil(plan.max_epochs * len(self._train) / plan.batch_size)

    def batch(self, step: int, shard: Shard) -> Batch:
        """Rows [step * batch_size, (step + 1) * batch_size) of the passes, each pass in another order; some of them
        without their partial program, keyed by step and row."""
        size, count = self.recipe.training.batch_size, len(self._train)
        part = shard.rows(size)
        places = np.arange(step * size + part.start, step * size + part.stop)
        chosen = np.concatenate(
            [self._order(int(epoch))[places[places // count == epoch] % count] for epoch in np.unique(places // count)]
        )
        drawn = generator(self.recipe.seed, "task alone", step).random(size)[part.start : part.stop]
        return self._to_device(self._train, chosen, drawn < self.recipe.weights.task_alone)

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the legal policy, squared error of value and latency, cross-entropy of the guard."""
        losses = self._losses(self.model(batch.features), batch)
        of = self.recipe.weights
        total = sum(
            (weight * loss for weight, loss in zip((of.policy, of.value, of.guard, of.latency), losses, strict=True)),
            start=torch.zeros((), device=batch.features.device),
        )
        names = [f"{name}_loss" for name in _HEADS]
        weight = torch.ones((), device=total.device) * len(batch.actions)
        return Loss(total, dict(zip(names, losses, strict=True)), weight)

    def evaluate(self, step: int) -> Evaluation:
        """The heads on held-out tasks (`clew.programs.heads`), with the partial program and by the task alone."""
        rows = self._drawn(self._held_out, "evaluated states")
        said, losses = self._said(rows, alone=False)
        labels = self._held_out.labels(rows)
        found = figures(said, labels, self._frequencies)
        alone, _ = self._said(rows, alone=True)
        found["policy_accuracy_task_alone"] = policy_accuracy(alone, labels)
        of = self.recipe.weights
        named = dict(zip(_HEADS, losses, strict=True))
        return Evaluation(
            {
                "validation_loss": sum(getattr(of, name) * loss for name, loss in named.items()),
                **{f"validation_{name}_loss": loss for name, loss in named.items()},
                **found,
                "held_out_states": float(len(rows)),
            },
            watched="validation_loss",
        )

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes, and what its observations and actions are."""
        return {**self.model.describe(), "about": features.about(self._grammar)}

    def planned_flops(self) -> float:
        """Six operations a weight and row."""
        weights = sum(parameter.numel() for parameter in self.model.parameters() if parameter.dim() == 2)
        return 6.0 * weights * self.recipe.training.batch_size * self.planned_steps()

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self._ordered is None or self._ordered[0] != epoch:
            self._ordered = epoch, generator(self.recipe.seed, "order", epoch).permutation(len(self._train))
        return self._ordered[1]

    def _drawn(self, rows: Rows, purpose: str) -> NDArray[np.int64]:
        """At most `EVALUATED` of the rows, in their order."""
        if len(rows) <= EVALUATED:
            return np.arange(len(rows))
        return np.sort(generator(self.recipe.seed, purpose).permutation(len(rows))[:EVALUATED])

    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and spread of the features of training rows."""
        shown = self._train.features(self._drawn(self._train, "normalised by")).astype(np.float64)
        return shown.mean(axis=0), np.maximum(shown.std(axis=0), _LEAST_SPREAD)

    def _said(self, rows: NDArray[np.int64], *, alone: bool) -> tuple[Scores, list[float]]:
        """What the guide says of held-out rows, and its mean losses on those whose labels are known."""
        said: list[tuple[NDArray[np.float32], ...]] = []
        sums, known = np.zeros(len(_HEADS)), np.zeros(len(_HEADS))
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), _CHUNK):
                chosen = rows[start : start + _CHUNK]
                batch = self._to_device(self._held_out, chosen, np.full(len(chosen), alone))
                batch = batch._replace(weights=(batch.weights > 0).float())
                heads = self.model(batch.features)
                sums += [float(loss) * len(chosen) for loss in self._losses(heads, batch)]
                known += batch.weights.sum(dim=1).cpu().numpy()
                said.append(tuple(each.float().cpu().numpy() for each in heads))
        self.model.train()
        means = (sums / np.maximum(known, 1)).tolist()
        return Scores(*(np.concatenate(parts) for parts in zip(*said, strict=True))), means

    def _label_shares(self) -> NDArray[np.float32]:
        """[4] what share of the training rows has a label of each head; of one that none has, 1."""
        rows = self._train
        known = [rows.actions != NO_ACTION, *(np.isfinite(each) for each in (rows.values, rows.guards, rows.latencies))]
        shares = np.array([each.mean() for each in known], np.float32)
        return np.where(shares > 0, shares, np.float32(1))

    def _losses(self, said: Guidance, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        policy_weight, value_weight, guard_weight, latency_weight = batch.weights
        value, guard, latency = batch.targets
        logits = said.policy_logits.float().masked_fill(batch.illegal, ILLEGAL)
        crossed = F.cross_entropy(logits, batch.actions, reduction="none")
        guarded = F.binary_cross_entropy_with_logits(said.guard_logits.float(), guard, reduction="none")
        return (
            (crossed * policy_weight).mean(),
            ((said.value.float() - value) ** 2 * value_weight).mean(),
            (guarded * guard_weight).mean(),
            ((said.latency.float() - latency) ** 2 * latency_weight).mean(),
        )

    def _to_device(self, rows: Rows, chosen: NDArray[np.int64], alone: NDArray[np.bool_]) -> Batch:
        shown = rows.features(chosen)
        actions = rows.actions[chosen]
        acted = actions != NO_ACTION
        alone = alone & acted
        shown[alone, self._task_width :] = self._alone[rows.contexts[chosen[alone]]]
        labels = np.stack([each[chosen] for each in (rows.values, rows.guards, rows.latencies)])
        # By the task alone the policy is asked, and nothing else.
        known = np.concatenate((acted[None], np.isfinite(labels) & ~alone))
        weights = known / self._shares[:, None]
        # Rows that may be shown by the task alone are shown whole less often than those that have no action.
        whole = 1.0 - self.recipe.weights.task_alone
        weights[1:, acted] /= whole or 1.0
        parts = (
            shown,
            np.where(acted, actions, 0),
            ~rows.legal(chosen) & acted[:, None],
            np.nan_to_num(labels, nan=0.0).astype(np.float32),
            weights.astype(np.float32),
        )
        return Batch(*(torch.from_numpy(np.ascontiguousarray(each)).to(self._placement.device) for each in parts))


make = Imitation
