"""Objective `ppo`: a policy acts in environments, and what did better than its value foretold becomes more likely.

environments.evidence.prepare -> Collector.collect -> Updates.minibatch -> clipped surrogate (Schulman et al. 2017)

An optimiser step of the loop is a minibatch. Where a step begins an iteration, the policy acts for a rollout first:
rollout, environments and normalisation are in the saved state, so that a resumed run is the same run.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clew.core.errors import EvidenceError, UsageError
from clew.core.randomness import key
from clew.environments.episodes import Returns, play
from clew.environments.evidence import PreparedEnvironments
from clew.environments.running import Running
from clew.environments.spaces import Actions
from clew.environments.vector import Environments
from clew.models.guide import GuideConfig, GuideNet
from clew.objectives.ppo.distributions import log_probability_and_entropy
from clew.objectives.ppo.fused import FusedNet, FusedSteps, can_be_fused
from clew.objectives.ppo.rollout import Actor, Collector, Rollout, stored_rollout
from clew.objectives.ppo.torch_steps import PolicySteps, TorchActor
from clew.objectives.ppo.updates import Updates
from clew.recipes.ppo import PPORecipe
from clew.runs.progress import Evaluation
from clew.training.checkpoint import Checkpoint
from clew.training.devices import Placement
from clew.training.objective import Loss, Objective, Shard, State
from clew.training.steps import Steps

UNBOUNDED = 1e30
"""Where observations that are not normalised are cut off: nowhere."""
_STRANGE = 0.5
"""Share of stored rows whose probability has nothing to do with the policy's, from which they are refused."""


class Batch(NamedTuple):
    """One shard of a minibatch, on the device."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    """Normalised, where the recipe says so."""
    returns: Tensor
    values: Tensor
    masks: Tensor | None
    guards: Tensor | None
    latencies: Tensor | None
    steps: int
    """Environment steps that were taken for this shard."""


class PPO(Objective):
    """A guide as policy and value, rollouts, the clipped surrogate."""

    items = "steps"

    def __init__(self, prepared: PreparedEnvironments, placement: Placement) -> None:
        if placement.world > 1:
            raise UsageError(
                "PPO trains in one process: its environments are stepped there. Start it without torchrun."
            )
        recipe, self._placement, self._prepared = prepared.recipe, placement, prepared
        self.recipe: PPORecipe = recipe
        if recipe.ppo.target_kl and recipe.training.accumulation > 1:
            raise UsageError("ppo.target_kl looks at whole minibatches: leave training.accumulation at 1 with it.")
        self.actions: Actions = prepared.actions
        self.net = GuideNet(net_config(prepared))
        self.net.initialise(torch.Generator().manual_seed(key(recipe.seed, "weights") % 2**63))
        self.model = self.net.to(placement.device)
        self._torch = TorchActor(self.net, self.actions, placement)
        fused = can_be_fused(recipe, self.net, self.actions, placement)
        if recipe.training.fused == "yes" and not fused:
            raise UsageError(
                "training.fused is yes, but compiled are perceptrons of some million weights at most, with hidden "
                "layers of tanh or relu and a value of their own, without layer norm, residuals, guard and latency to "
                "learn, with AdamW, without accumulation, average and torch.compile, in float32 on a CPU, for one "
                "choice or for vectors."
            )
        self.fused = (
            FusedNet(self.net, self.actions, recipe.training.batch_size)
            if fused and recipe.training.fused != "no"
            else None
        )
        self.seen = Running(self.net.config.input_dim)
        self.collector: Collector | None = None
        rows = (
            len(prepared.steps)
            if prepared.steps is not None
            else recipe.environment.count * recipe.rollout.rollout_steps
        )
        self.updates = Updates(recipe, rows, self._collected)
        self._evaluated: Environments | None = None

    @property
    def actor(self) -> Actor:
        """What acts: the compiled net, or torch's."""
        return self._torch if self.fused is None else self.fused

    def planned_steps(self) -> int:
        """`max_steps`, or the steps of as many updates as `total_steps` takes; of stored trajectories, one update."""
        if self.recipe.training.max_steps:
            return self.recipe.training.max_steps
        if self._prepared.steps is not None:
            return self.updates.per_update
        rows = self.recipe.environment.count * self.recipe.rollout.rollout_steps
        return math.ceil(self.recipe.rollout.total_steps / rows) * self.updates.per_update

    def own_steps(self) -> Steps:
        """The compiled steps, or torch's, which end an update when its KL divergence says so."""
        if self.fused is not None:
            return FusedSteps(self.recipe, self.fused, self.updates)
        loss = torch.compile(self.loss, dynamic=True) if self.recipe.training.compile == "yes" else self.loss
        return PolicySteps(self, self.updates, self._placement, loss)

    def batch(self, step: int, shard: Shard) -> Batch:
        """The shard's rows of the minibatch of `step`."""
        made = self.updates.minibatch(step)
        assert made is not None, "an update that has ended asks for no batch"
        within = shard.rows(self.recipe.training.batch_size)
        rows, rollout = made.rows[within.start : within.stop], made.rollout

        def put(array: NDArray[Any] | None) -> Tensor | None:
            return None if array is None else torch.from_numpy(array[rows]).to(self._placement.device)

        def need(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array[rows]).to(self._placement.device)

        advantages = ((rollout.advantages[rows] - np.float32(made.centre)) * np.float32(made.scale)).astype(np.float32)
        return Batch(
            need(rollout.observations),
            need(rollout.actions),
            need(rollout.log_probs),
            torch.from_numpy(advantages).to(self._placement.device),
            need(rollout.returns),
            need(rollout.values),
            put(rollout.masks),
            put(rollout.guards),
            put(rollout.latencies),
            len(rollout) if made.fresh and shard.index == 0 else 0,
        )

    def loss(self, batch: Batch) -> Loss:
        """The clipped surrogate (equation 7), the value's squared error, the entropy, and the auxiliary heads."""
        ppo = self.recipe.ppo
        found = self.net(batch.observations)
        log_probs, entropy = log_probability_and_entropy(
            self.actions, found.policy_logits.float(), self.net.log_std, batch.actions, batch.masks
        )
        difference = log_probs - batch.log_probs
        ratio = torch.exp(difference)
        bounded = ratio.clamp(1.0 - ppo.clip_coef, 1.0 + ppo.clip_coef)
        rows = max(1, len(ratio))
        policy_loss = -torch.minimum(ratio * batch.advantages, bounded * batch.advantages).sum() / rows
        value_loss = _value_loss(found.value.float(), batch, ppo.value_clip).sum() / rows
        mean_entropy = entropy.sum() / rows
        total = policy_loss + ppo.value_coef * value_loss - ppo.entropy_coef * mean_entropy
        with torch.no_grad():
            # Schulman's estimator of the divergence from the old policy: never negative, and of low variance.
            approx_kl = ((ratio - 1.0) - difference).sum() / rows
            clip_fraction = ((ratio - 1.0).abs() > ppo.clip_coef).float().sum() / rows
        parts = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": mean_entropy,
            "approx_kl": approx_kl,
            "clip_fraction": clip_fraction,
        }
        for name, coefficient, targets, said in (
            ("guard", ppo.guard_coef, batch.guards, found.guard_logits),
            ("latency", ppo.latency_coef, batch.latencies, found.latency),
        ):
            if coefficient and targets is not None:
                parts[f"{name}_loss"] = _auxiliary_loss(name, said.float(), targets)
                total = total + coefficient * parts[f"{name}_loss"]
        weight = torch.full((), float(len(ratio)), device=total.device)
        if ppo.target_kl:
            weight = torch.where(approx_kl > 1.5 * ppo.target_kl, torch.zeros_like(weight), weight)
        return Loss(total, parts, weight, torch.full((), float(batch.steps), device=total.device))

    def evaluate(self, step: int) -> Evaluation:
        """The mean return of episodes in which the most probable actions are played; of stored trajectories also."""
        returns = self._played(step)
        figures = returns.figures()
        return Evaluation(figures, watched="mean_return", higher_is_better=True)

    def _played(self, step: int) -> Returns:
        return play(
            self._prepared.make,
            self._torch.best,
            self.recipe.evaluation.eval_episodes,
            seed=key(self.recipe.seed, "evaluation", step),
        )

    def figures(self) -> Mapping[str, float]:
        """Mean return and length of the last episodes, environment steps, and how well the values foretold."""
        found = {}
        if self.collector is not None:
            envs = self.collector.envs
            found["environment_steps"] = float(envs.steps_taken)
            if envs.finished:
                found["episode_return"] = float(np.mean([each for each, _ in envs.finished]))
                found["episode_length"] = float(np.mean([length for _, length in envs.finished]))
        if self.updates.rollout is not None:
            found["explained_variance"] = self.updates.rollout.explained_variance
        return found

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """All but heads that nothing is learnt for."""
        idle = [
            name
            for name, used in (("guard", self.recipe.ppo.guard_coef), ("latency", self.recipe.ppo.latency_coef))
            if not used
        ]
        return {name: each for name, each in self.net.named_parameters() if name.partition(".")[0] not in idle}

    def state(self) -> State:
        """Rollout, environments, normalisation, and where the update stands."""
        rollout = self.updates.rollout
        values = {
            "iteration": self.updates.iteration,
            "update_ended": self.updates.ended,
            "seen": self.seen.state(),
            "clip": self.net.config.clip,
            "collector": self.collector.state() if self.collector is not None else None,
        }
        return State(values, rollout.tensors() if rollout is not None else {})

    def restore(self, state: State) -> None:
        """Take back what `state` gave, environments rebuilt."""
        values = state.values
        self.seen.restore(values["seen"])
        self._clip_at(float(values["clip"]))
        self.updates.iteration, self.updates.ended = int(values["iteration"]), bool(values["update_ended"])
        self.updates.rollout = Rollout.from_tensors(state.tensors) if state.tensors else None
        if self.updates.rollout is not None and len(self.updates.rollout) != self.updates.rows:
            raise ValueError(f"a rollout of {len(self.updates.rollout)} rows where {self.updates.rows} are due")
        if values["collector"] is not None:
            self.collector = self._new_collector()
            lost = self.collector.restore(values["collector"])
            if lost:
                print(
                    f"note: not bit for bit as before, since {len(lost)} of {self.recipe.environment.count} "
                    f"environments of {self._prepared.name} did otherwise when their episodes were replayed, and begin "
                    "new ones",
                    file=sys.stderr,
                    flush=True,
                )

    def start_from(self, checkpoint: Checkpoint, path: Path) -> None:
        """Begin with another run's weights and normalisation. Raises `CheckpointError` where they do not fit."""
        super().start_from(checkpoint, path)
        described = checkpoint.state.get("model")
        if isinstance(described, dict) and "clip" in described:
            self._clip_at(float(described["clip"]))

    def _clip_at(self, clip: float) -> None:
        self.net.config = dataclasses.replace(self.net.config, clip=clip)

    def describe_model(self) -> dict[str, Any]:
        """Family and sizes, and what observations and actions are."""
        settings, prepared = self.recipe.environment, self._prepared
        about = {
            "environment": {
                "id": settings.id,
                "kwargs": settings.arguments,
                "max_episode_steps": settings.max_episode_steps,
            },
            "actions": prepared.actions.as_json(),
            "observation": {"kind": "flat", "size": prepared.observations.size},
            **prepared.about,
        }
        return {**self.net.describe(), "about": about}

    def _new_collector(self) -> Collector:
        settings = self.recipe.environment
        return Collector(self.recipe, Environments(self._prepared.make, settings.count, seed=self.recipe.seed))

    def _collected(self, iteration: int) -> Rollout:
        if self._prepared.steps is not None:
            return self._stored(iteration)
        if self.collector is None:
            self.collector = self._new_collector()
            self.collector.envs.reset()
        normalises = self.recipe.environment.normalise_observations
        # The figures that observations are normalised by stay the same from a rollout to the end of its update, or the
        # ratios of the update would not begin at 1.
        if normalises and self.seen.count:
            self.net.set_normalisation(self.seen.mean, self.seen.std)
        rollout = self.collector.collect(self.actor, iteration)
        if normalises:
            self.seen.update(rollout.observations)
        return rollout

    def _stored(self, iteration: int) -> Rollout:
        steps = self._prepared.steps
        assert steps is not None
        rollout = stored_rollout(self.recipe, steps, self.actor)
        if iteration == 0:
            now, _ = self.actor.judge(steps.observations, steps.actions, steps.masks)
            off = np.abs(np.exp(np.clip(now - steps.log_probs, -30, 30)) - 1.0) > self.recipe.ppo.clip_coef
            if off.mean() > _STRANGE:
                raise EvidenceError(
                    f"{self.recipe.data.path}: {off.mean():.0%} of the log-probabilities are not those of the policy "
                    "that training begins with (their ratios lie outside the clip range), so there is next to nothing "
                    "to learn from them. Start from the checkpoint that made the trajectories (--start-from), or store "
                    "the log-probabilities of the policy that acted."
                )
        return rollout


def net_config(prepared: PreparedEnvironments) -> GuideConfig:
    """Sizes of the net: what the recipe leaves open follows from the environment."""
    recipe, net = prepared.recipe, prepared.recipe.net
    return GuideConfig(
        input_dim=prepared.observations.size,
        action_dim=prepared.actions.outputs,
        hidden=net.hidden,
        activation=net.activation,
        residual=net.residual,
        layer_norm=net.layer_norm,
        separate_value=net.separate_value,
        continuous=prepared.actions.kind == "box",
        clip=net.observation_clip if recipe.environment.normalise_observations else UNBOUNDED,
    )


def _value_loss(values: Tensor, batch: Batch, clip: float) -> Tensor:
    loss = (values - batch.returns) ** 2
    if clip:
        held = batch.values + (values - batch.values).clamp(-clip, clip)
        loss = torch.maximum(loss, (held - batch.returns) ** 2)
    return loss


def _auxiliary_loss(name: str, said: Tensor, targets: Tensor) -> Tensor:
    """Over the rows whose target is known: a target that is NaN was not told."""
    known = ~torch.isnan(targets)
    wanted = torch.where(known, targets, torch.zeros_like(targets))
    each = (
        F.binary_cross_entropy_with_logits(said, wanted, reduction="none") if name == "guard" else (said - wanted) ** 2
    )
    return (each * known).sum() / known.sum().clamp(min=1)


def make(prepared: PreparedEnvironments, folder: Path, placement: Placement) -> PPO:
    """The objective of the run in `folder`."""
    return PPO(prepared, placement)
