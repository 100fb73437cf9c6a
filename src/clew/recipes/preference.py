"""Recipe of the objective `preference`: a language model learns which of two answers is preferred."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from clew.recipes.base import LARGEST, Decay, Section, Training
from clew.recipes.chat import ChatModel, Lora
from clew.recipes.familiar import PREFERENCE_MARKS, RL_MARKS, SUPERVISED_MARKS, Playbook
from clew.recipes.reporting import ReportedRecipe

TINY = "tiny"
"""Name of a model to begin with: a small GPT of drawn weights, which takes no time to make."""


class PreferenceData(Section):
    """The evidence: pairs, each a prompt with an answer that is preferred and one that is not."""

    path: str = ""
    """File of pairs (JSON lines with prompt, chosen and rejected, as texts or as lists of messages). Empty: `pairs`
    pairs are made by a checker."""
    plain_as: Literal["chat", "text"] = "chat"
    """What a pair of plain texts is: a question and two answers, in the turns of the model's chat template; or two
    continuations of a text, written as they stand."""
    bad: Literal["stop", "skip"] = "stop"
    """What happens to a line that holds no pair (a key that is missing, an empty text, equal answers): the run stops
    before it begins, or counts and names it and goes on without."""
    too_long: Literal["stop", "skip"] = "stop"
    """What happens to a pair with more tokens than a row: the run stops before it begins, or goes on without."""
    max_samples: int = pydantic.Field(default=0, ge=0)
    """Train on the first so many pairs; 0: on all."""
    validation_fraction: float = pydantic.Field(default=0.1, ge=0, lt=1)
    """Share of the pairs held out, by prompt: no prompt is on both sides."""
    checker: str = "programs"
    """Where no path is given: what says which answer is preferred. programs: of two programs for a task the one that
    fits its examples, or the shorter of two that do; or a generator of traces, such as arithmetic: the answer that is
    right."""
    pairs: int = pydantic.Field(default=512, ge=2, le=LARGEST)
    """Where no path is given: how many pairs are made."""


class PreferenceModel(ChatModel):
    """The model that training begins with, and that the policy is held against."""

    base_model: str = TINY
    """tiny (a GPT of drawn weights, to see the way things go); base (a small GPT made on this machine); a run,
    checkpoint or bundle of ours; or a Hugging Face folder or id."""


class PreferenceTraining(Training):
    """What the loop does, with defaults for preference optimisation."""

    max_epochs: float = pydantic.Field(default=2.0, gt=0)
    """Passes over the pairs to plan, where `max_steps` is 0."""
    batch_size: int = pydantic.Field(default=8, ge=1, le=LARGEST)
    """Pairs in one optimiser step, over all processes and micro-batches."""
    learning_rate: float = pydantic.Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    min_learning_rate: float = pydantic.Field(default=0.0, ge=0)
    """Learning rate at the end of the planned steps."""
    schedule: Literal["constant", "linear", "cosine", "trapezoid"] = "linear"
    """After the warm-up: constant; linear or cosine to the minimum; or flat, then linear to the minimum (trapezoid)."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    """Decoupled weight decay, on matrices only."""
    evaluate_every: int = pydantic.Field(default=50, ge=1)
    """Steps between evaluations on the held-out pairs (one more stands at the end)."""
    patience: int = pydantic.Field(default=0, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    checkpoint_every: int = pydantic.Field(default=50, ge=1)
    """Steps between checkpoints; an evaluation that improves makes one too."""


class PreferenceRecipe(ReportedRecipe):
    """A language model that learns to prefer some answers to others: direct preference optimisation, or a reward model.

    dpo, robust and ipo train a policy against a frozen copy of what it began as. reward trains a model of one score,
    without a policy or a reference.
    """

    objective: Literal["preference"] = "preference"
    """What "better" means: the loss, or the accuracy, on held-out pairs."""
    name: str = pydantic.Field(default="preference", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it."""
    loss: Literal["dpo", "robust", "ipo", "reward"] = "dpo"
    """dpo: -log sigmoid of beta times the margin of log-probability ratios (Rafailov et al. 2023). robust: the same,
    unbiased where a share `label_smoothing` of the labels is wrong (Chowdhury et al. 2024). ipo: the squared distance
    of the margin, a mean over tokens, from 1 / (2 beta) (Azar et al. 2023). reward: a reward model, -log sigmoid of
    beta times the difference of two scores (Bradley & Terry 1952)."""
    beta: float = pydantic.Field(default=0.1, gt=0)
    """How strongly the policy is held to what it began as: higher is closer."""
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=0.5)
    """Share of the labels that is taken to be wrong (dpo, robust, reward)."""
    rpo_alpha: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the chosen answer's negative log-likelihood, a mean over its tokens, beside the loss (Pang et al. 2024);
    not for reward. The margin alone lets the chosen answer become less likely, as long as the rejected one does so
    faster; 1 keeps it likely."""
    watch: Literal["loss", "accuracy"] = "loss"
    """Which held-out figure says which checkpoint is best."""
    system_instruction: str = ""
    """Text before each question, where the pairs are plain texts."""
    training: PreferenceTraining = PreferenceTraining()
    """What the loop does."""
    data: PreferenceData = PreferenceData()
    """The evidence."""
    model: PreferenceModel = PreferenceModel()
    """The model that training begins with."""
    lora: Lora = Lora()
    """Low-rank adapters in place of all weights (Hugging Face models)."""

    @pydantic.model_validator(mode="after")
    def _smoothing_has_a_meaning(self) -> Self:
        if self.loss == "ipo" and self.label_smoothing:
            raise ValueError("the loss ipo has no label_smoothing: leave it out, or take dpo or robust")
        if self.loss == "reward" and self.rpo_alpha:
            raise ValueError("a reward model gives no likelihoods, so rpo_alpha means nothing: leave it out")
        if self.loss == "robust" and not self.label_smoothing:
            raise ValueError("the loss robust needs label_smoothing, the share of wrong labels, such as 0.1")
        return self


PLAYBOOK = Playbook(
    {"epochs": "max_epochs", "log_interval": "log_every", "num_pairs": "pairs"},
    kind=PreferenceRecipe,
    marks=PREFERENCE_MARKS,
    foreign=SUPERVISED_MARKS | RL_MARKS,
    moved={
        "dataset.num_pairs": "data.pairs",
        "training.epochs": "training.max_epochs",
        "training.log_interval": "training.log_every",
        "training.beta": "beta",
        "training.label_smoothing": "label_smoothing",
        "training.checkpoint_dir": "reporting.checkpoint_dir",
    },
    meant={"reporting.structured": True, "training.log_every": 1},
)
"""Flags and keys of training playbooks, in terms of the recipe's own."""
