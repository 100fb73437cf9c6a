"""Recipe of the objective `imitation`: a guide of the program search that learns from demonstrations."""

from __future__ import annotations

from typing import Literal

import pydantic

from clew.recipes.base import LARGEST, MOST_LAYERS, Decay, Section, Training
from clew.recipes.familiar import PREFERENCE_MARKS, RL_MARKS, SUPERVISED_MARKS, Playbook
from clew.recipes.reporting import ReportedRecipe


class DemonstrationData(Section):
    """The evidence: states of a search, each with what a solution did there."""

    path: str = ""
    """Demonstrations that `clew programs demonstrate` wrote; empty: they are made when training begins."""
    grammar: Literal["full", "small"] = "full"
    """Grammar of demonstrations that are made when training begins: full, or small (eight actions over one list)."""
    demonstrations: int = pydantic.Field(default=2000, ge=8, le=LARGEST)
    """How many programs are demonstrated, where they are made when training begins."""
    held_out_fraction: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Share of the tasks that are evaluated on and never trained on, by what they compute."""


class GuideModel(Section):
    """The guide; sizes of 0 follow from the grammar."""

    input_dim: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Numbers in a state. 0: those of the grammar; another number than that is an error."""
    hidden_dim: int = pydantic.Field(default=384, ge=1, le=LARGEST)
    """Units of each hidden layer."""
    layers: int = pydantic.Field(default=3, ge=1, le=MOST_LAYERS)
    """Hidden layers; from the second on each is added to what goes into it."""
    action_dim: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Productions that the policy chooses among. 0: those of the grammar; another number than that is an error."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """Between the layers."""
    layer_norm: bool = True
    """Whether what goes into a layer is normalised."""


class HeadWeights(Section):
    """How much each head counts in the loss."""

    policy: float = pydantic.Field(default=1.0, ge=0)
    """Cross-entropy of the next production, among those that are legal."""
    value: float = pydantic.Field(default=1.0, ge=0)
    """Squared error of whether the task can be solved from here within the budget."""
    guard: float = pydantic.Field(default=1.0, ge=0)
    """Cross-entropy of whether this completion fails a contract or an error stops it."""
    latency: float = pydantic.Field(default=1.0, ge=0)
    """Squared error of the steps of the finished program, on a logarithmic scale."""
    task_alone: float = pydantic.Field(default=0.5, ge=0, le=1)
    """Share of the rows that are shown without their partial program: the task and the place of the hole alone, which
    is what the compiled search asks for."""


class ImitationTraining(Training):
    """What the loop does."""

    max_epochs: float = pydantic.Field(default=4.0, gt=0)
    """Passes over the demonstrations to plan, where `max_steps` is 0."""
    batch_size: int = pydantic.Field(default=512, ge=1, le=LARGEST)
    """States in one optimiser step, over all processes and micro-batches."""
    learning_rate: float = pydantic.Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW."""
    min_learning_rate: float = pydantic.Field(default=0.0, ge=0)
    """Learning rate at the end of the planned steps."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = pydantic.Field(default=0.01, ge=0)
    """Decoupled weight decay, on matrices only."""
    evaluate_every: int = pydantic.Field(default=500, ge=1)
    """Steps between evaluations on the held-out tasks (one more stands at the end)."""
    checkpoint_every: int = pydantic.Field(default=500, ge=1)
    """Steps between checkpoints; an evaluation that improves makes one too."""
    patience: int = pydantic.Field(default=0, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of the forward and backward pass; weights stay float32. auto: bfloat16 where it is native."""
    compile: Literal["auto", "yes", "no"] = "no"
    """torch.compile of the loss. auto: where a compiler is installed and the run is long enough to pay for it."""


class SynthesisLoop(Section):
    """What `clew loop` does: short programs are demonstrated, then rounds in which what is solved becomes evidence."""

    rounds: int = pydantic.Field(default=3, ge=0)
    """Rounds after the demonstrations."""
    demonstrated: int = pydantic.Field(default=5, ge=3, le=9)
    """Size of the largest program that is demonstrated at first."""
    largest: int = pydantic.Field(default=9, ge=3, le=14)
    """Size of the largest program that a training or held-out task is drawn from."""
    tasks: int = pydantic.Field(default=400, ge=1, le=LARGEST)
    """Training tasks that are drawn anew in each round: most of the sizes that were solved about every other time."""
    tried_again: int = pydantic.Field(default=200, ge=0, le=LARGEST)
    """Tasks of the round before that were not solved and are tried again, at most."""
    held_out: int = pydantic.Field(default=200, ge=1, le=LARGEST)
    """Random tasks to evaluate on, beside the tasks that ship; nothing that computes the same is trained on."""
    nodes: int = pydantic.Field(default=20_000, ge=1, le=LARGEST)
    """Candidate programs that each search may build."""
    later_epochs: float = pydantic.Field(default=4.0, gt=0)
    """Passes over all evidence in the rounds, which start from the weights of the round before."""


class ImitationRecipe(ReportedRecipe):
    """A guide of the program search: policy, value, guard and latency, learnt from demonstrations."""

    objective: Literal["imitation"] = "imitation"
    """What "better" means: the four losses on held-out tasks."""
    name: str = pydantic.Field(default="guide", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it."""
    training: ImitationTraining = ImitationTraining()
    """What the loop does."""
    data: DemonstrationData = DemonstrationData()
    """The evidence."""
    model: GuideModel = GuideModel()
    """The guide."""
    weights: HeadWeights = HeadWeights()
    """How much each head counts in the loss."""
    loop: SynthesisLoop = SynthesisLoop()
    """What `clew loop` does."""


PLAYBOOK = Playbook(
    {"epochs": "max_epochs", "log_interval": "log_every", "num_samples": "demonstrations"},
    kind=ImitationRecipe,
    marks=SUPERVISED_MARKS,
    foreign=RL_MARKS | PREFERENCE_MARKS,
    moved={
        "dataset.num_samples": "data.demonstrations",
        "training.epochs": "training.max_epochs",
        "training.log_interval": "training.log_every",
        "training.checkpoint_dir": "reporting.checkpoint_dir",
    },
    meant={
        "name": "supervised",
        "reporting.structured": True,
        "data.grammar": "small",
        "data.held_out_fraction": 0.25,
        "model.layers": 1,
        "model.activation": "tanh",
        "weights.task_alone": 0.25,
    },
)
