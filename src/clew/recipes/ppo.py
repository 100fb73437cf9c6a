"""Recipe of the objective `ppo`: a policy that learns by acting in Gymnasium environments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from clew.core.errors import UsageError
from clew.recipes.base import LARGEST, MOST_LAYERS, Decay, Section, Training
from clew.recipes.familiar import PREFERENCE_MARKS, RL_MARKS, Playbook
from clew.recipes.reporting import ReportedRecipe

MOST_ENVIRONMENTS = 65_536


class EnvironmentSettings(Section):
    """What the policy acts in."""

    id: str = "CartPole-v1"
    """Gymnasium's name of the environment; `package.module:Name-v0` imports the module first, which registers it."""
    kwargs: str = "{}"
    """Arguments of `gymnasium.make`, as a JSON object (in a YAML recipe, a mapping)."""
    count: int = pydantic.Field(default=8, ge=1, le=MOST_ENVIRONMENTS)
    """Environments that are stepped side by side, in this process."""
    max_episode_steps: int = pydantic.Field(default=0, ge=0)
    """Steps after which an episode is broken off (truncated). 0: the environment's own limit."""
    normalise_observations: bool = False
    """Whether observations are shifted and scaled by the mean and deviation of those seen so far; both are part of the
    model, and of its export."""
    reward_scale: float = pydantic.Field(default=1.0, gt=0)
    """What rewards are multiplied by for learning; returns are reported without it."""
    normalise_rewards: bool = False
    """Whether rewards are divided by the running deviation of the discounted return, for learning alone."""

    @pydantic.field_validator("kwargs", mode="before")
    @classmethod
    def _as_json(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return json.dumps(dict(value), sort_keys=True)
        return value

    @pydantic.field_validator("kwargs")
    @classmethod
    def _an_object(cls, value: str) -> str:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValueError('a JSON object is due, such as {"render_mode": null}')
        return value

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `gymnasium.make`."""
        found: dict[str, Any] = json.loads(self.kwargs)
        return found


class Rollout(Section):
    """How much is acted between two updates, and how it is judged."""

    rollout_steps: int = pydantic.Field(default=128, ge=1, le=LARGEST)
    """Steps of each environment in one rollout."""
    total_steps: int = pydantic.Field(default=100_000, ge=1)
    """Steps of all environments together to plan, where `max_steps` is 0; rounded up to whole rollouts."""
    gamma: float = pydantic.Field(default=0.99, ge=0, le=1)
    """Discount of later rewards."""
    gae_lambda: float = pydantic.Field(default=0.95, ge=0, le=1)
    """Share of the longer estimates in an advantage (generalised advantage estimation)."""


class Clipping(Section):
    """The update."""

    clip_coef: float = pydantic.Field(default=0.2, gt=0)
    """How far the ratio of new to old probabilities may leave 1 and still be rewarded."""
    value_coef: float = pydantic.Field(default=0.5, ge=0)
    """Weight of the value's mean squared error."""
    entropy_coef: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the entropy, which keeps the policy from settling early."""
    value_clip: float = pydantic.Field(default=0.0, ge=0)
    """How far a value may move from that of the rollout in one update and still be rewarded. 0: no limit."""
    target_kl: float = pydantic.Field(default=0.0, ge=0)
    """The update ends when the approximate KL divergence from the policy of the rollout passes 1.5 times this; what is
    left of its steps is taken without an update. 0: never."""
    normalise_advantages: bool = True
    """Whether advantages are shifted and scaled to mean 0 and deviation 1."""
    advantage_rows: int = pydantic.Field(default=0, ge=0)
    """Rows that advantages are normalised over: a multiple of the batch size. 0: the rows of each optimiser step."""
    guard_coef: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the guard's cross-entropy, where an environment's info tells `guard` (0 or 1), of a step or of the
    whole episode at its end."""
    latency_coef: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the latency's mean squared error, where an environment's info tells `latency`, likewise."""


class PolicyNet(Section):
    """The policy and value net."""

    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    """Between the layers."""
    separate_value: bool = True
    """Whether the value has hidden layers of its own."""
    residual: bool = False
    """Whether a layer as wide as the one before it is added to what goes into it."""
    layer_norm: bool = False
    """Whether what goes into each hidden layer but the first is normalised."""
    input_dim: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Numbers in an observation. 0: as the environment says; another figure must be the environment's."""
    action_dim: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Policy outputs. 0: as the environment says; another figure must be the environment's."""
    observation_clip: float = pydantic.Field(default=10.0, gt=0)
    """Largest absolute value of a normalised observation."""

    @pydantic.field_validator("hidden")
    @classmethod
    def _sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) > MOST_LAYERS or any(not 1 <= size <= LARGEST for size in value):
            raise ValueError(f"layers of 1 to {LARGEST} units are due")
        return value


class Trajectories(Section):
    """Stored trajectories, in place of acting."""

    path: str = ""
    """File of trajectories (.jsonl or .npz) that carry the log-probabilities of the policy that made them. Empty: the
    policy acts itself."""


class ReturnEvaluation(Section):
    """Episodes at each evaluation."""

    eval_episodes: int = pydantic.Field(default=10, ge=1)
    """Episodes that the most probable actions are played in."""


class PPOTraining(Training):
    """What the loop does, with the defaults of PPO."""

    max_steps: int = pydantic.Field(default=0, ge=0)
    """Optimiser steps to plan; 0 plans as many updates as `rollout.total_steps` takes."""
    max_epochs: int = pydantic.Field(default=10, ge=1, le=LARGEST)
    """Passes over each rollout in the update that follows it."""
    batch_size: int = pydantic.Field(default=64, ge=1, le=LARGEST)
    """Rows of the rollout in one optimiser step (a minibatch)."""
    learning_rate: float = pydantic.Field(default=3e-4, gt=0)
    """Peak learning rate."""
    min_learning_rate: float = pydantic.Field(default=0.0, ge=0)
    """Learning rate at the end of the planned steps, where the schedule falls."""
    schedule: Literal["constant", "linear", "cosine", "trapezoid"] = "constant"
    """After the warm-up: constant; linear or cosine to the minimum; or flat, then linear to the minimum (trapezoid)."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    epsilon: float = pydantic.Field(default=1e-5, gt=0)
    """What AdamW adds to the root of the second moment."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    """Decoupled weight decay, on matrices only."""
    clip: float = pydantic.Field(default=0.5, ge=0)
    """Largest norm of the gradient; a longer one is scaled down to it. 0: no limit."""
    evaluate_every: int = pydantic.Field(default=2000, ge=1)
    """Steps between evaluations (one more stands at the end)."""
    patience: int = pydantic.Field(default=0, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    checkpoint_every: int = pydantic.Field(default=2000, ge=1)
    """Steps between checkpoints."""
    log_every: int = pydantic.Field(default=100, ge=1)
    """Steps between lines of metrics."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of the forward and backward pass; weights stay float32. auto: bfloat16 where it is native."""
    fused: Literal["auto", "yes", "no"] = "auto"
    """Acting and optimiser steps of small nets on a CPU compiled as one. auto: where the net allows it."""


class PPORecipe(ReportedRecipe):
    """A policy that learns by acting in a Gymnasium environment (proximal policy optimisation)."""

    objective: Literal["ppo"] = "ppo"
    """What "better" means: the mean return of an episode."""
    name: str = pydantic.Field(default="ppo", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it."""
    training: PPOTraining = PPOTraining()
    """What the loop does."""
    environment: EnvironmentSettings = EnvironmentSettings()
    """What the policy acts in."""
    rollout: Rollout = Rollout()
    """How much is acted between two updates, and how it is judged."""
    ppo: Clipping = Clipping()
    """The update."""
    net: PolicyNet = PolicyNet()
    """The policy and value net."""
    data: Trajectories = Trajectories()
    """Stored trajectories, in place of acting."""
    evaluation: ReturnEvaluation = ReturnEvaluation()
    """Episodes at each evaluation."""

    @pydantic.model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        rows, batch = self.environment.count * self.rollout.rollout_steps, self.training.batch_size
        over = self.ppo.advantage_rows
        if not self.data.path and batch > rows:
            raise ValueError(
                f"a rollout of {self.environment.count} environments and {self.rollout.rollout_steps} steps has "
                f"{rows} rows, which is less than a batch of {batch}: lower training.batch_size, or act longer"
            )
        if over and over % batch:
            raise ValueError(f"ppo.advantage_rows is {over}: a multiple of the batch size {batch} is due")
        return self


_MINIBATCH = "minibatch_size"


class RolloutPlaybook(Playbook):
    """As `Playbook`; beside a `minibatch_size`, which is an optimiser step's, `batch_size` counts the rows whose
    advantages are normalised together."""

    def nested(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`values` with the recipe's own keys in place of the playbook's. Raises `UsageError`."""
        training = values.get("training")
        over = None
        if isinstance(training, Mapping) and _MINIBATCH in training:
            training = dict(training)
            over = training.pop("batch_size", None)
            training["batch_size"] = training.pop(_MINIBATCH)
            values = {**values, "training": training}
        found = super().nested(values, where)
        if over is not None:
            clipping = dict(found.get("ppo") or {})
            if "advantage_rows" in clipping:
                raise UsageError(
                    f"{where}: 'training.batch_size' beside 'training.minibatch_size' and 'ppo.advantage_rows' mean "
                    "the same; give one of them."
                )
            found["ppo"] = {**clipping, "advantage_rows": over}
        return found


PLAYBOOK = RolloutPlaybook(
    {"epochs": "max_epochs", "log_interval": "log_every", _MINIBATCH: "batch_size", "num_steps": "rollout_steps"},
    kind=PPORecipe,
    marks=RL_MARKS,
    foreign=PREFERENCE_MARKS,
    moved={
        "dataset.num_trajectories": "environment.count",
        "dataset.trajectory_length": "rollout.rollout_steps",
        "training.epochs": "training.max_epochs",
        "training.gamma": "rollout.gamma",
        "training.gae_lambda": "rollout.gae_lambda",
        "training.clip_coef": "ppo.clip_coef",
        "training.value_coef": "ppo.value_coef",
        "training.entropy_coef": "ppo.entropy_coef",
        "training.log_interval": "training.log_every",
        "training.checkpoint_dir": "reporting.checkpoint_dir",
        "model.input_dim": "net.input_dim",
        "model.action_dim": "net.action_dim",
    },
    meant={
        "name": "rl",
        "reporting.structured": True,
        "environment.id": "clew.programs.environment:clew/Synthesis-v0",
        "environment.kwargs": {"grammar": "small"},
        "rollout.total_steps": 1,
        "net.hidden": [64],
        "net.activation": "tanh",
        "net.layer_norm": True,
        "net.separate_value": False,
        "ppo.guard_coef": 1.0,
        "ppo.latency_coef": 1.0,
        "training.log_every": 1,
    },
)
