"""Recipe of the objective `chat`: a language model that is fine-tuned on reasoning traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pydantic

from clew.core.errors import UsageError, nearest
from clew.databases import split_password
from clew.recipes.base import LARGEST, Decay, Recipe, Section, Training
from clew.recipes.familiar import Familiar


class TraceData(Section):
    """The evidence: traces, each a conversation of one question and its answer."""

    path: str = ""
    """File of traces (JSON lines, of any exported format), or the key of a dataset (NAME-VERSION) in `db`."""
    db: str = "data/traces.db"
    """Where the dataset of a key is: path of an SQLite file, or a postgresql:// URL."""
    format: Literal["auto", "trace", "tunix_sft", "training_example"] = "auto"
    """Format that the rows must be of, and that a dataset is read in; auto: whichever they are."""
    shuffle: bool = True
    """Whether each pass takes the traces in another order."""
    shuffle_seed: int | None = None
    """Of the order; none: the recipe's seed."""
    max_samples: int = pydantic.Field(default=0, ge=0)
    """Train on the first so many traces; 0: on all."""
    validation_fraction: float = pydantic.Field(default=0.05, ge=0, lt=1)
    """Share of the traces held out, by prompt: no prompt is on both sides."""
    packing: bool = True
    """Whether rows hold as many conversations as fit, each of which sees itself alone; else one a row."""
    too_long: Literal["stop", "skip"] = "stop"
    """What happens to a conversation of more tokens than a row: the run stops before it begins, or goes on without."""
    eval_set: str = ""
    """Questions (JSON lines) that the model answers before and after training; the two are compared in a report."""
    eval_examples: int = pydantic.Field(default=0, ge=0)
    """Answer so many of the questions, drawn by the seed; 0: all."""
    judge: str = "answer"
    """What says whether an answer is right: answer (what stands behind "Answer:"), exact, numeric, choice, checker."""


class ChatModel(Section):
    """The model that training begins with."""

    base_model: str = "base"
    """base (a small GPT made on this machine); a run, checkpoint or bundle of ours; or a Hugging Face folder or id."""
    revision: str = ""
    """Commit, branch or tag of a Hugging Face id; empty: the newest, whose commit the run keeps."""
    max_length: int = pydantic.Field(default=512, ge=8, le=LARGEST)
    """Tokens in a row."""
    template: str = "auto"
    """Chat template: turns, chatml, the path of a Jinja file; auto: the model's own, or turns."""
    add_tokens: bool = False
    """Whether a Hugging Face tokenizer gets those markers of the template that it lacks, and the model rows for them,
    which are learnt."""


class Lora(Section):
    """Low-rank adapters in place of all weights (Hugging Face models)."""

    rank: int = pydantic.Field(default=0, ge=0, le=65_536)
    """Rank of the adapters; 0: all weights train."""
    alpha: float = pydantic.Field(default=16.0, gt=0)
    """Adapters are scaled by alpha / rank."""
    dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout on what goes into the adapters, keyed by step and row."""
    targets: str = "all-linear"
    """Layers that get adapters: all-linear, or names with commas between them."""
    merge: bool = False
    """Whether the trained model is written with the adapters merged into its weights; else apart."""


class TraceLoop(Section):
    """The closed loop: evidence of a generator, training on it, and rounds in which the model makes its own."""

    generator: str = ""
    """Where traces, questions and checks come from, such as arithmetic."""
    traces: int = pydantic.Field(default=20_000, ge=1, le=LARGEST)
    """Traces that the generator makes for the first round."""
    questions: int = pydantic.Field(default=500, ge=1, le=LARGEST)
    """Held-out questions of the levels in training, and as many of the harder level, if there is one."""
    rounds: int = pydantic.Field(default=2, ge=1, le=1000)
    """Rounds; from the second on, the model learns from its own answers too."""
    practice: int = pydantic.Field(default=1000, ge=1, le=LARGEST)
    """New questions that the model answers before each round but the first."""
    attempts: int = pydantic.Field(default=4, ge=1, le=10_000)
    """Answers to each of them; what the checker accepts becomes a trace."""
    temperature: float = pydantic.Field(default=0.7, gt=0)
    """Of these answers."""
    later_steps: int = pydantic.Field(default=0, ge=0)
    """Training steps of each round but the first; 0: as many as the first has."""
    allowed_loss: float = pydantic.Field(default=0.02, ge=0, le=1)
    """How much of the held-out score a round may lose before the gate shuts."""


class ChatTraining(Training):
    """What the loop does, with the defaults that users of fine-tuning scripts know."""

    max_steps: int = pydantic.Field(default=50, ge=0)
    """Optimiser steps to plan; 0 plans `max_epochs` passes over the traces."""
    max_epochs: float = pydantic.Field(default=3.0, gt=0)
    """Passes over the traces to plan, where `max_steps` is 0."""
    batch_size: int = pydantic.Field(default=1, ge=1, le=LARGEST)
    """Rows in one optimiser step, over all processes and micro-batches."""
    learning_rate: float = pydantic.Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    min_learning_rate: float = pydantic.Field(default=0.0, ge=0)
    """Learning rate at the end of the planned steps."""
    schedule: Literal["constant", "linear", "cosine", "trapezoid"] = "linear"
    """After the warm-up: constant; linear or cosine to the minimum; or flat, then linear to the minimum (trapezoid)."""
    warmup_steps: int = pydantic.Field(default=5, ge=0)
    """Steps over which the learning rate rises linearly to its peak."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = pydantic.Field(default=0.01, ge=0)
    """Decoupled weight decay, on matrices only."""
    evaluate_every: int = pydantic.Field(default=50, ge=1)
    """Steps between evaluations on the held-out traces (one more stands at the end)."""
    patience: int = pydantic.Field(default=0, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    checkpoint_every: int = pydantic.Field(default=50, ge=1)
    """Steps between checkpoints; an evaluation that improves makes one too."""


class ChatRecipe(Recipe):
    """A language model that learns to answer as reasoning traces do: cross-entropy on the assistant's tokens."""

    objective: Literal["chat"] = "chat"
    """What "better" means: nats a token of held-out answers."""
    name: str = pydantic.Field(default="sft", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it."""
    system_instruction: str = ""
    """Text before each question, in training and when the model is asked."""
    training: ChatTraining = ChatTraining()
    """What the loop does."""
    data: TraceData = TraceData()
    """The evidence."""
    model: ChatModel = ChatModel()
    """The model that training begins with."""
    lora: Lora = Lora()
    """Low-rank adapters in place of all weights."""
    loop: TraceLoop = TraceLoop()
    """The closed loop, for `clew loop`."""

    def without_secrets(self) -> Self:
        """This recipe without the password of its database."""
        data = self.data.model_copy(update={"db": split_password(self.data.db)[0]})
        return self.model_copy(update={"data": data})


_RENAMED = {
    "num_steps": "max_steps",
    "lr_scheduler": "schedule",
    "logging_steps": "log_every",
    "save_steps": "checkpoint_every",
    "data": "path",
    "model": "base_model",
}
_PER_DEVICE, _ACCUMULATION = "per_device_batch_size", "gradient_accumulation_steps"
_TRAINING = {
    **{name: own for name, own in _RENAMED.items() if name not in ("data", "model")},
    _PER_DEVICE: "batch_size",
    _ACCUMULATION: "accumulation",
    "eval_steps": "evaluate_every",
    "num_epochs": "max_epochs",
}


class ChatFamiliar(Familiar):
    """Keys and flags of fine-tuning scripts: nested as they have them, a batch given by device and accumulation."""

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether a recipe that names no objective is one of a fine-tuning script."""
        training, model = values.get("training"), values.get("model")
        return (
            "system_instruction" in values
            or (isinstance(training, Mapping) and any(name in training for name in _TRAINING))
            or (isinstance(model, Mapping) and "name" in model)
        )

    def nested(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`values` with the recipe's own keys in place of the familiar ones in its sections. Raises `UsageError`."""
        found = dict(values)
        if isinstance(found.get("training"), Mapping):
            training = dict(found["training"])
            _check_known(training, [*_TRAINING, "seed", *ChatTraining.model_fields], where)
            if "seed" in training:
                found.setdefault("seed", training.pop("seed"))
            found["training"] = self._training(training, where)
        if isinstance(found.get("model"), Mapping):
            found["model"] = _renamed(found["model"], {"name": "base_model"}, f"{where}: model")
        elif isinstance(found.get("model"), str):
            found["model"] = {"base_model": found["model"]}
        if isinstance(found.get("data"), str):
            found["data"] = {"path": found["data"]}
        return found

    def flags(self, arguments: Sequence[str], training: Training) -> list[str]:
        """As `Familiar.flags`; `--per-device-batch-size` times `--gradient-accumulation-steps` is the batch size."""
        plain, given = [], {}
        waiting = list(arguments)
        names = {f"--{name.replace('_', '-')}": name for name in (_PER_DEVICE, _ACCUMULATION)}
        while waiting:
            flag, joined, value = waiting.pop(0).partition("=")
            name = names.get(flag.replace("_", "-"))
            if name is None:
                plain.append(f"{flag}{joined}{value}")
                continue
            if not joined and not waiting:
                raise UsageError(f"{flag} needs a value, a whole number.")
            given[name] = value if joined else waiting.pop(0)
            if not given[name].isdecimal() or not int(given[name]):
                raise UsageError(f"{flag} is {given[name]}: a whole number of at least 1 is due.")
        found = super().flags(plain, training)
        if given:
            rows = int(given.get(_PER_DEVICE, training.batch_size // training.accumulation))
            parts = int(given.get(_ACCUMULATION, training.accumulation))
            found += ["--batch-size", str(rows * parts), "--accumulation", str(parts)]
        return found

    def keys(self, values: Mapping[str, Any], training: Training) -> dict[str, Any]:
        """As `Familiar.keys`, for keys at the top of a recipe."""
        batch = {name: value for name, value in values.items() if name in (_PER_DEVICE, _ACCUMULATION)}
        found = super().keys({name: value for name, value in values.items() if name not in batch}, training)
        return found | (self._training(batch, "the recipe") if batch else {})

    def _training(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        values = dict(values)
        given = {name: values.pop(name) for name in (_PER_DEVICE, _ACCUMULATION) if name in values}
        found = _renamed(values, _TRAINING, f"{where}: training")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{where}: 'training.{name}' is {value!r}: a whole number of at least 1 is due.")
        if given:
            if "batch_size" in found or "accumulation" in found:
                raise UsageError(f"{where}: the batch size stands twice, as batch_size and as {min(given)}.")
            parts = given.get(_ACCUMULATION, 1)
            found |= {"batch_size": given.get(_PER_DEVICE, 1) * parts, "accumulation": parts}
        if str(found.get("optimizer", "")).startswith("adamw_"):
            found["optimizer"] = "adamw"
        if found.get("schedule") == "constant_with_warmup":
            found["schedule"] = "constant"
        return found


def _renamed(values: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        own = names.get(name, name)
        if own in found:
            raise UsageError(f"{where}: '{name}' and '{own}' mean the same; give one of them.")
        found[own] = value
    return found


def _check_known(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in values:
        if name not in known:
            raise UsageError(
                f"{where}: unknown key 'training.{name}'.{nearest(str(name), list(known))} Known here: "
                f"{', '.join(known)}."
            )


SFT = ChatFamiliar({**_RENAMED, "num_epochs": "max_epochs", "eval_steps": "evaluate_every"})
