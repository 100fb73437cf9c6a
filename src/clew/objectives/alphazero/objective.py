"""Objective `alphazero`: a policy/value net learns the search's distribution and the outcome of the game.

games.replay -> ReplayFeed -> Window.gather -> symmetries -> loss (Silver et al. 2018, without the model's own search)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from clew.core.errors import ClewError
from clew.core.randomness import generator, key
from clew.games.evidence import PreparedReplay
from clew.games.replay import Replay
from clew.games.replay.window import Batch as Rows
from clew.games.rules import GameInfo
from clew.games.symmetry import symmetries
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet
from clew.objectives.alphazero.feed import Mark, ReplayFeed
from clew.objectives.alphazero.gate import Champion
from clew.objectives.alphazero.hooks import Gate, Publishing, TakingIn
from clew.objectives.alphazero.publishing import LearnerFiles
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.runs.progress import Evaluation
from clew.training.devices import Placement
from clew.training.objective import Hook, Loss, Objective, Shard

_ILLEGAL = -1e30
"""Logit of an illegal move: no infinity, so that a row without legal moves gives a number."""
_EVALUATION_ROWS = 2048


class Batch(NamedTuple):
    """One shard of a step's batch, on the device."""

    observation: Tensor
    """float32 [rows, obs_size]."""
    policy: Tensor
    """float32 [rows, num_actions]: the search's distribution."""
    value: Tensor
    """float32 [rows], for the player to move."""


def net_config(recipe: AlphaZeroRecipe, info: GameInfo) -> PolicyValueConfig:
    """The net's sizes: what the recipe leaves open follows from the board alone, so that any game has a net."""
    cells = info.board_width * info.board_height
    planes = info.legal_mask_offset // cells if cells else 0
    kind = recipe.net.kind
    if kind == "auto":
        kind = "tower" if cells > 16 and planes else "mlp"
    if kind == "tower" and not planes:
        raise ClewError(f"{info.env_id} has no planes of cells for a tower. Use --kind mlp.")
    large = kind == "tower" and cells > 49
    return PolicyValueConfig(
        kind=kind,
        width=recipe.net.width or (256 if large else 128),
        depth=recipe.net.depth or (2 if kind == "mlp" else 6 if large else 4),
        board_width=info.board_width,
        board_height=info.board_height,
        num_actions=info.num_actions,
        obs_size=info.obs_size,
        legal_mask_offset=info.legal_mask_offset,
    )


class AlphaZero(Objective):
    """A policy/value net, batches from the window, masked cross-entropy and squared error."""

    def __init__(self, prepared: PreparedReplay, folder: Path, placement: Placement) -> None:
        recipe, info = prepared.recipe, prepared.info
        self.recipe: AlphaZeroRecipe = recipe
        self.info, self._placement = info, placement
        self.config = net_config(recipe, info)
        self.net = PolicyValueNet(self.config)
        self.model: nn.Module = self.net
        self.net.initialise(torch.Generator().manual_seed(key(recipe.seed, "weights") % 2**63))
        self.net.to(placement.device)
        if placement.device.type in ("cpu", "cuda"):
            # Channels last is what convolutions are fastest in: on two cores it saves 3 to 17% of a step.
            for module in self.net.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        self._symmetries = symmetries(info, recipe.targets.symmetry)
        replay = Replay.open(recipe.data.db) if placement.leads else None
        self.feed = ReplayFeed(folder / "replay", replay, info, recipe.data, recipe.seed)
        self.champion = Champion(recipe, info, folder)
        self.hooks: list[Hook] = [
            TakingIn(recipe, info, self.feed, replay=replay, folder=folder, placement=placement),
            Gate(self.champion, self.net, self.sample_observations, placement),
        ]
        if placement.leads:
            files = LearnerFiles(recipe, info, folder)
            self.hooks.append(Publishing(files, self.champion, self.net, self.sample_observations, self.feed))

    def mark(self, step: int) -> Mark:
        """What there is to sample from at `step`."""
        found = self.feed.at(step)
        assert found is not None, "the loop asks whether a step is ready before it asks for its batch"
        return found

    def batch(self, step: int, shard: Shard) -> Batch:
        """Rows drawn uniformly from the window, each in a symmetry of the board, keyed by step and row."""
        training = self.feed.training
        stop = self.mark(step).training
        size = self.recipe.training.batch_size
        random = generator(self.recipe.seed, "batch", step)
        ordinals = random.integers(self._start(stop), stop, size)
        turned = random.integers(0, len(self._symmetries), size)
        rows = shard.rows(size)
        chosen = slice(rows.start, rows.stop)
        return self._to_device(training.gather(ordinals[chosen]), turned[chosen])

    def loss(self, batch: Batch) -> Loss:
        """Masked cross-entropy to the search's distribution, and the squared error of the value."""
        logits, value = self.net(batch.observation)
        policy_loss, value_loss = self._losses(logits, value, batch)
        total = policy_loss + self.recipe.targets.value_weight * value_loss
        weight = torch.ones((), device=total.device) * len(batch.value)
        return Loss(total, {"policy_loss": policy_loss, "value_loss": value_loss}, weight)

    def evaluate(self, step: int) -> Evaluation:
        """Losses on held-out episodes; while there are none, on the newest rows: `held_out_rows` is 0 then."""
        mark = self.mark(step - 1)
        window, stop = (self.feed.held_out, mark.held_out) if mark.held_out else (self.feed.training, mark.training)
        first = max(window.first, stop - _EVALUATION_ROWS)
        sums = np.zeros(2)
        self.net.eval()
        with torch.inference_mode():
            for start in range(first, stop, 256):
                ordinals = np.arange(start, min(start + 256, stop))
                batch = self._to_device(window.gather(ordinals), np.zeros(len(ordinals), np.int64))
                logits, value = self.net(batch.observation)
                losses = self._losses(logits, value, batch)
                sums += np.array([float(loss) for loss in losses]) * len(ordinals)
        self.net.train()
        policy_loss, value_loss = sums / (stop - first)
        figures = {
            "validation_policy_loss": float(policy_loss),
            "validation_value_loss": float(value_loss),
            "validation_loss": float(policy_loss + self.recipe.targets.value_weight * value_loss),
            "held_out_rows": float(stop - first if mark.held_out else 0),
        }
        return Evaluation(figures, watched="validation_loss")

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": "policy_value", **dataclasses.asdict(self.config), "env_id": self.info.env_id}

    def planned_flops(self) -> float:
        """Six operations a weight and row, a convolution's weights once a cell."""
        positions = self.config.cells if self.config.kind == "tower" else 1
        weights = sum(parameter.numel() for parameter in self.net.parameters() if parameter.dim() == 4) * positions
        weights += sum(parameter.numel() for parameter in self.net.parameters() if parameter.dim() == 2)
        return 6.0 * weights * self.recipe.training.batch_size * self.recipe.training.max_steps

    def sample_observations(self, count: int = 64) -> NDArray[np.float32]:
        """Observations to compare an export on: from the window, or random bits while it is empty."""
        stop, random = self.feed.training.last, generator(self.recipe.seed, "export")
        if not stop:
            return random.integers(0, 2, (count, self.info.obs_size)).astype(np.float32)
        ordinals = random.integers(self._start(stop), stop, count)
        return np.ascontiguousarray(self.feed.training.gather(ordinals).observation)

    def _start(self, stop: int) -> int:
        """The oldest row to sample."""
        window = self.recipe.data.replay_window
        return max(0, stop - window) if window else 0

    def _losses(self, logits: Tensor, value: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        offset = self.info.legal_mask_offset
        legal = batch.observation[:, offset : offset + self.info.num_actions] > 0.5
        log_probabilities = F.log_softmax(logits.float().masked_fill(~legal, _ILLEGAL), dim=1)
        policy_loss = -(batch.policy * log_probabilities).sum(dim=1).mean()
        return policy_loss, F.mse_loss(value.float(), batch.value)

    def _to_device(self, rows: Rows, turned: NDArray[np.int64]) -> Batch:
        share = self.recipe.targets.root_value_share
        value = (1.0 - share) * rows.outcome + share * rows.root_value
        observation = np.take_along_axis(rows.observation, self._symmetries.observations[turned], axis=1)
        policy = np.take_along_axis(rows.policy, self._symmetries.actions[turned], axis=1)
        device = self._placement.device
        return Batch(*(torch.from_numpy(each).to(device) for each in (observation, policy, value.astype(np.float32))))
