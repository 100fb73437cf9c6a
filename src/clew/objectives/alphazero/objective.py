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

from clew.core import files
from clew.core.errors import ClewError
from clew.core.randomness import generator, key
from clew.games.replay import open_replay, without_password
from clew.games.replay.window import Batch as Rows
from clew.games.rules import GameInfo
from clew.games.symmetry import symmetries
from clew.models.policy_value import PolicyValueConfig, PolicyValueNet
from clew.objectives.alphazero.feed import Mark, ReplayFeed
from clew.objectives.alphazero.gate import Champion
from clew.objectives.alphazero.hooks import Learner, wait_for_game
from clew.objectives.alphazero.publishing import LearnerFiles
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.base import Recipe
from clew.runs.folder import Evidence
from clew.training.devices import Placement
from clew.training.fit import Evaluation, Loss, Progress, Shard

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


def prepare(recipe: Recipe) -> PreparedReplay:
    """Wait for the database and read what it says of the game. Raises `ClewError`, exit code 2 after `max_wait`."""
    if not isinstance(recipe, AlphaZeroRecipe):
        raise ClewError(f"The objective alphazero needs its own recipe, not a {type(recipe).__name__}.")
    info = wait_for_game(recipe)
    symmetries(info, recipe.targets.symmetry)  # a choice that the game does not allow is told before a run is made
    return PreparedReplay(recipe, info)


@dataclasses.dataclass(frozen=True)
class PreparedReplay:
    """A database that is there, and the game that it describes."""

    recipe: AlphaZeroRecipe
    info: GameInfo

    @property
    def evidence(self) -> Evidence:
        """Kind and place of the database; the fingerprint is the game's, since rows are still being written."""
        described = {field.name: getattr(self.info, field.name) for field in dataclasses.fields(GameInfo)}
        return Evidence(
            kind="replay",
            path=without_password(self.recipe.data.db),
            sha256=files.sha256_of(files.canonical_json(described)),
        )

    def describe(self) -> list[str]:
        """What there is to train on so far."""
        with open_replay(self.recipe.data.db) as replay:
            rows = replay.count(self.info.env_id)
        return [f"{without_password(self.recipe.data.db)}: {rows:,} rows of {self.info.display_name}"]

    def keep(self, folder: Path) -> None:
        """Clear the game's rows where the recipe says so: once, when the run begins."""
        if self.recipe.data.clear_replay:
            with open_replay(self.recipe.data.db) as replay:
                replay.clear(self.info.env_id)

    def objective(self, folder: Path, placement: Placement) -> AlphaZero:
        """The objective of the run in `folder`."""
        return AlphaZero(self.recipe, self.info, folder, placement)


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


class AlphaZero:
    """A policy/value net, batches from the window, masked cross-entropy and squared error."""

    items = "samples"

    def __init__(self, recipe: AlphaZeroRecipe, info: GameInfo, folder: Path, placement: Placement) -> None:
        self.recipe, self.info, self._placement = recipe, info, placement
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
        self._step = 0
        leads = placement.leads
        replay = open_replay(recipe.data.db) if leads else None
        self.feed = ReplayFeed(folder / "replay", replay, info, recipe.data, recipe.seed)
        self.champion = Champion(recipe, info, folder)
        self.companion = Learner(
            recipe,
            info,
            self.feed,
            self.champion,
            publish=self._publish,
            replay=replay,
            files=LearnerFiles(recipe, info, folder) if leads else None,
            placement=placement,
        )

    def planned_steps(self) -> int:
        """The recipe's steps."""
        return self.recipe.training.max_steps

    def mark(self, step: int) -> Mark:
        """What there is to sample from at `step`."""
        found = self.feed.at(step)
        assert found is not None, "the loop asks whether a step is ready before it asks for its batch"
        return found

    def batch(self, step: int, shard: Shard) -> Batch:
        """Rows drawn uniformly from the window, each in a symmetry of the board, keyed by step and row."""
        self._share_norms()
        self._step = step
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

    def evaluate(self) -> Evaluation:
        """Losses on held-out episodes (on the newest rows while there are none), and games against the champion."""
        mark = self.mark(self._step)
        held_out = mark.held_out > 0
        window, stop = (self.feed.held_out, mark.held_out) if held_out else (self.feed.training, mark.training)
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
        name = "validation" if held_out else "recent"
        figures = {f"{name}_policy_loss": float(policy_loss), f"{name}_value_loss": float(value_loss)}
        figures |= self.champion.challenge(self.net, self._step + 1, self.sample_observations)
        return Evaluation(float(policy_loss + self.recipe.targets.value_weight * value_loss), figures)

    def state(self) -> dict[str, Any]:
        """Who is champion, and the games so far; batches need no state beyond the run's marks."""
        return {"champion": self.champion.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.champion.restore(state["champion"])

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes."""
        return {"family": "policy_value", **dataclasses.asdict(self.config), "env_id": self.info.env_id}

    def planned_flops(self) -> float:
        """Six operations a weight and row, a convolution's weights once a cell."""
        positions = self.config.cells if self.config.kind == "tower" else 1
        weights = sum(parameter.numel() for parameter in self.net.parameters() if parameter.dim() == 4) * positions
        weights += sum(parameter.numel() for parameter in self.net.parameters() if parameter.dim() == 2)
        return 6.0 * weights * self.recipe.training.batch_size * self.planned_steps()

    def sample_observations(self, count: int = 64) -> NDArray[np.float32]:
        """Observations to compare an export on: from the window, or random bits while it is empty."""
        stop, random = self.feed.training.last, generator(self.recipe.seed, "export")
        if not stop:
            return random.integers(0, 2, (count, self.info.obs_size)).astype(np.float32)
        ordinals = random.integers(self._start(stop), stop, count)
        return np.ascontiguousarray(self.feed.training.gather(ordinals).observation)

    def _publish(self, files: LearnerFiles, progress: Progress) -> None:
        files.publish(self.net, self.sample_observations(), progress, self.champion)

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

    def _share_norms(self) -> None:
        """Give every process the leader's running means and variances, so that what it saves is what all have."""
        buffers = [buffer for buffer in self.net.buffers() if buffer.is_floating_point()]
        if self._placement.world == 1 or not buffers:
            return
        flat = torch.cat([buffer.reshape(-1) for buffer in buffers]) * float(self._placement.leads)
        self._placement.sum(flat)
        for buffer, piece in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(piece.view_as(buffer))
