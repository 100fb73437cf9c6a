"""Optimiser steps of tunix: its `PeftTrainer` takes them, on weights and moments that come from the house's objective
and optimiser and go back there whenever somebody reads them.

The trainer is driven as tunix's own reinforcement learners drive it ("managed externally"): `train` is called with
the micro-batches of one optimiser step, and tunix differentiates, accumulates, updates, compiles and throttles. So
the batch of every step, evaluations, checkpoints and resumption are those of the one loop, and tunix's own checkpoint
folder (which it would resume from without a word) is never made.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from tunix.sft.peft_trainer import PeftTrainer, TrainingConfig

from clew.core.errors import ClewError, UsageError
from clew.core.randomness import generator
from clew.recipes.base import Training
from clew.training.objective import Objective, Shard
from clew.training.optimizers import Optimizer
from clew.training.steps import Step
from clew.training.tunix_llama import Array, Layout, Path, build

_IGNORED = -100
"""Target of a position that is not scored."""
_TOLERANCE = 1e-4
"""By how much logits may differ from torch's: of themselves, where they are large."""
_CHECKED = 64
"""Tokens that they are compared on, before anything is trained."""
_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq"}
"""Adam's moments, as optax and as torch call them."""
_COUNTS = ("count", "gradient_step")
"""What optax calls the number of steps taken."""


class TunixSteps:
    """Steps of an objective whose model tunix has, and whose batches are packed rows: `tokens` and `documents`
    [rows, length], and `targets` of the same shape, or those of the places `chosen` alone."""

    def __init__(self, objective: Objective, layout: Layout, training: Training) -> None:
        """Within `rotating`. Raises `UsageError` for a part that does not train, `ClewError` where tunix's model
        computes something else than the objective's."""
        if objective.frozen or len(objective.trainable()) != sum(1 for _ in objective.model.parameters()):
            raise UsageError("The backend tunix trains whole models, and a part of this one is frozen: use torch.")
        self._objective, self._training, self._layout = objective, training, layout
        inputs_of(objective.batch(0, Shard(0, training.accumulation)))
        weights = _drawn(objective.model)
        self._trainer = PeftTrainer(
            build(layout.sizes, layout.arrays(weights)),
            _optimizer(training),
            TrainingConfig(
                eval_every_n_steps=2**31 - 1,  # evaluations are the loop's
                gradient_accumulation_steps=training.accumulation if training.accumulation > 1 else None,
            ),
        )
        _check(objective.model, self._trainer.model, weights, layout.sizes.vocab_size)
        self._trainer.is_managed_externally = True
        self._trainer.with_loss_fn(_loss, has_aux=True)
        self._nats: list[Any] = []
        # What tunix offers to be overridden with what becomes of a loss's second value.
        self._trainer._post_process_train_step = self._nats.append
        self._count = 0
        self._in_torch = False
        """Whether the objective's model and the optimiser hold what the trainer holds."""

    def begin(self, optimizer: Optimizer) -> None:
        """Take weights and moments, new or restored."""
        write_arrays(self._trainer.model, nnx.Param, self._weights())
        held: dict[str, dict[str, Array]] = {"exp_avg": {}, "exp_avg_sq": {}, "step": {}}
        for key, value in optimizer.tensors().items():
            name, _, field = key.rpartition("/")
            held[field][name] = value.detach().cpu().numpy()
        self._count = max((int(value) for value in held["step"].values()), default=0)
        moments = {field: self._layout.arrays(held[field]) if self._count else {} for field in _MOMENTS.values()}
        values: dict[Path, Any] = {}
        for path, array in read_arrays(self._trainer.optimizer, nnx.optimizer.OptState).items():
            if path[-1] in _COUNTS:
                values[path] = np.full(array.shape, self._count, array.dtype)
            elif (found := _moment(path)) is not None:
                field, place = found
                values[path] = moments[field].get(place, np.zeros(array.shape, array.dtype))
            else:
                values[path] = array
        write_arrays(self._trainer.optimizer, nnx.optimizer.OptState, values)
        self._in_torch = True

    def take(self, optimizer: Optimizer, step: int, rate: float, *, logs: bool, stop: threading.Event) -> Step:
        """One call of tunix's `train`, with the micro-batches of the step."""
        parts = self._training.accumulation
        inputs = [inputs_of(self._objective.batch(step, Shard(part, parts))) for part in range(parts)]
        total = sum(int((each["targets"] != _IGNORED).sum()) for each in inputs)
        if not total:
            return Step({}, 0.0, 0, stop.is_set())
        for each in inputs:
            # tunix takes the mean over micro-batches; scaled so, it is the mean over all tokens of the step.
            each["scale"] = np.float32(parts / total)
        _set_learning_rate(self._trainer.optimizer, self._training.learning_rate * rate)
        self._nats.clear()
        self._trainer.train(inputs)
        loss = sum(float(nats) for nats in self._nats) / total
        self._count += 1
        self._in_torch = False
        return Step({"loss": loss}, _gradient_norm(self._trainer.optimizer), total, stop.is_set())

    def give_back(self, optimizer: Optimizer) -> None:
        """Put weights and moments into the objective's model and into `optimizer`, in the names and layout of torch."""
        if self._in_torch:
            return
        weights = self._layout.named(read_arrays(self._trainer.model, nnx.Param))
        with torch.no_grad():
            for name, parameter in self._objective.trainable().items():
                parameter.copy_(torch.from_numpy(weights[name]))
        moments: dict[str, dict[Path, Array]] = {"exp_avg": {}, "exp_avg_sq": {}}
        for path, array in read_arrays(self._trainer.optimizer, nnx.optimizer.OptState).items():
            if (found := _moment(path)) is not None:
                moments[found[0]][found[1]] = array
        tensors = {f"{name}/step": torch.tensor(float(self._count)) for name in weights}
        for field, arrays in moments.items():
            for name, array in self._layout.named(arrays).items():
                tensors[f"{name}/{field}"] = torch.from_numpy(array)
        optimizer.load(tensors)
        self._in_torch = True

    def _weights(self) -> dict[Path, Array]:
        """The weights of the objective's model, by path in tunix's."""
        trains = self._objective.trainable()
        return self._layout.arrays({name: value.detach().cpu().numpy() for name, value in trains.items()})


@torch.no_grad()
def _check(model: torch.nn.Module, theirs: Any, weights: Mapping[str, Array], vocab_size: int) -> None:
    """Hold the logits of tunix's model, which has these `weights`, against those that `model` would have with them.

    Raises `ClewError` where they differ.
    """
    device = next(model.parameters()).device
    tokens = generator(0, "parity").integers(0, vocab_size, (1, _CHECKED))
    held = {name: torch.from_numpy(array).to(device) for name, array in weights.items()}
    answer = torch.func.functional_call(model, held, (torch.from_numpy(tokens).to(device),))
    expected = (answer if isinstance(answer, torch.Tensor) else answer.logits).float().cpu().numpy()
    one_document, positions = jnp.zeros((1, _CHECKED), jnp.int32), jnp.arange(_CHECKED)[None]
    found = nnx.jit(_logits)(theirs, jnp.asarray(tokens, jnp.int32), one_document, positions)
    difference = float(np.abs(np.asarray(found) - expected).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ClewError(
            f"With the same weights the logits of tunix differ from torch's by {difference:.3g}: they do not compute "
            "the same model here, so nothing was trained. Use --backend torch, and report the versions of jax and "
            "google-tunix."
        )


def _drawn(model: torch.nn.Module) -> dict[str, Array]:
    """Weights with which every part of `model` matters to its logits: those that training begins with may hide a
    difference that comes out later."""
    random = generator(0, "parity", 1)
    drawn: dict[str, Array] = {}
    for name, parameter in model.named_parameters():
        array = random.standard_normal(tuple(parameter.shape), np.float32)
        scaled = array * 2 / math.sqrt(array.shape[-1]) if array.ndim > 1 else 1 + array / 4
        drawn[name] = scaled.astype(np.float32)
    return drawn


def _loss(
    model: Any, tokens: jax.Array, targets: jax.Array, documents: jax.Array, positions: jax.Array, scale: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy over the targets that are scored, times `scale`; and its plain sum in nats."""
    logits = _logits(model, tokens, documents, positions)
    each = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), jnp.maximum(targets, 0))
    nats = jnp.where(targets == _IGNORED, 0.0, each).sum()
    return nats * scale, nats


def _logits(model: Any, tokens: jax.Array, documents: jax.Array, positions: jax.Array) -> jax.Array:
    """Logits [rows, length, vocab_size]. A token attends to the earlier ones of its own document alone."""
    length = tokens.shape[1]
    same = documents[:, :, None] == documents[:, None, :]
    logits: jax.Array = model(tokens, positions, None, same & jnp.tril(jnp.ones((length, length), bool)))[0]
    return logits


def inputs_of(batch: Any) -> dict[str, Any]:
    """A batch of the objective as the arguments of `_loss`. Raises `UsageError` where it is none of packed rows."""
    if getattr(batch, "noise", None) is not None:
        raise UsageError("tunix's Llama 3 has no dropout, which the recipe asks for: give --dropout 0, or use torch.")
    fields = {name: getattr(batch, name, None) for name in ("tokens", "targets", "documents", "positions", "chosen")}
    arrays = {name: value.cpu().numpy().astype(np.int32) for name, value in fields.items() if value is not None}
    if lacking := [name for name in ("tokens", "targets", "documents") if name not in arrays]:
        raise UsageError(
            f"The backend tunix trains language models on packed rows, and this objective's batches have no "
            f"{lacking[0]}: train it with torch."
        )
    shape = arrays["tokens"].shape
    if "chosen" in arrays:
        targets = np.full(shape, _IGNORED, np.int32)
        learnt = arrays["targets"] != _IGNORED
        targets.reshape(-1)[arrays.pop("chosen")[learnt]] = arrays["targets"][learnt]
        arrays["targets"] = targets
    arrays.setdefault("positions", np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape))
    return arrays


class _Clipped(NamedTuple):
    norm: jax.Array


def _clip(longest: float) -> optax.GradientTransformation:
    """Scale a gradient that is longer than `longest` (0: none is) down to it, and remember its norm before.

    The house's rule, 1e-6 in the divisor included. `optax.clip_by_global_norm` has another, and tells no norm: what
    tunix reports is that of a micro-batch.
    """

    def update(gradients: Any, state: _Clipped, parameters: Any = None) -> tuple[Any, _Clipped]:
        norm = optax.global_norm(gradients)
        if longest > 0:
            scale = jnp.minimum(longest / (norm + 1e-6), 1.0)
            gradients = jax.tree.map(lambda gradient: gradient * scale, gradients)
        return gradients, _Clipped(norm)

    return optax.GradientTransformation(lambda parameters: _Clipped(jnp.zeros((), jnp.float32)), update)


def _optimizer(training: Training) -> optax.GradientTransformation:
    """The recipe's AdamW, with decay on matrices only; its learning rate is set at each step.

    tunix's arrays of attention have three axes where torch's matrices have two; vectors have one in both.
    """
    first, second = training.betas

    def matrices(parameters: Any) -> Any:
        return jax.tree.map(lambda parameter: parameter.ndim > 1, parameters)

    scaled: Callable[..., optax.GradientTransformation] = optax.inject_hyperparams(optax.scale_by_learning_rate)
    return optax.chain(
        _clip(training.clip),
        optax.scale_by_adam(b1=first, b2=second, eps=1e-8),
        optax.add_decayed_weights(training.weight_decay, mask=matrices),
        scaled(learning_rate=training.learning_rate),
    )


def _set_learning_rate(optimizer: Any, rate: float) -> None:
    write_arrays(
        optimizer,
        nnx.optimizer.OptState,
        {path: np.float32(rate) for path in _paths(optimizer) if path[-1] == "learning_rate"},
    )


def _paths(optimizer: Any) -> list[Path]:
    return [path for path, _ in nnx.state(optimizer, nnx.optimizer.OptState).flat_state()]


def _gradient_norm(optimizer: Any) -> float:
    held = nnx.state(optimizer, nnx.optimizer.OptState).flat_state()
    return next(float(variable[...]) for path, variable in held if path[-1] == "norm")


def _moment(path: Path) -> tuple[str, Path] | None:
    """What torch calls the moment at `path` of optax's state, and of which parameter it is; None for other state."""
    for at, part in enumerate(path):
        if part in _MOMENTS:
            return _MOMENTS[str(part)], path[at + 1 :]
    return None


def read_arrays(module: Any, kind: Any) -> dict[Path, Array]:
    """The arrays of a `kind` of variables in `module`, by path."""
    return {path: np.asarray(variable[...]) for path, variable in nnx.state(module, kind).flat_state()}


def write_arrays(module: Any, kind: Any, arrays: Mapping[Path, Any]) -> None:
    """Put copies of `arrays` into the variables of a `kind` in `module` that stand at their paths."""
    for path, variable in nnx.state(module, kind).flat_state():
        if path in arrays:
            variable[...] = jnp.array(arrays[path])
