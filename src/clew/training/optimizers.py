"""Optimisers made from a recipe, stepped as one, and the average of the weights that they leave; both turn into named
tensors for a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from clew.core.errors import CheckpointError, UsageError
from clew.recipes.base import Training

_SEPARATOR = "/"
_TRAINED = "trained/"
_YOUNG = 10
"""After t steps the average forgets as one with the decay (1 + t) / (10 + t) does, where that is less."""


class Optimizer:
    """AdamW for everything, or Muon (Jordan et al. 2024) for the matrices inside the network and AdamW for the rest.

    Weight decay acts on matrices only. Embeddings are AdamW's in both cases: their rows are looked up, not
    multiplied, so orthogonalising them means nothing.
    """

    def __init__(
        self, model: nn.Module, training: Training, trainable: Mapping[str, nn.Parameter] | None = None
    ) -> None:
        chosen = dict(model.named_parameters()) if trainable is None else trainable
        if not chosen:
            raise UsageError("No parameter of the model trains.")
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in chosen.items()}
        embeddings = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
        muon, matrices, vectors = [], [], []
        for parameter in self._names:
            if parameter.dim() < 2:
                vectors.append(parameter)
            elif training.optimizer == "muon" and parameter.dim() == 2 and parameter not in embeddings:
                muon.append(parameter)
            else:
                matrices.append(parameter)
        groups = [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if filled := [group for group in groups if group["params"]]:
            adamw = torch.optim.AdamW(
                filled,
                lr=training.learning_rate,
                betas=training.betas,
                fused=next(iter(self._names)).device.type in ("cpu", "cuda", "mps"),
            )
            self._parts.append((adamw, training.learning_rate))
        if muon:
            part = torch.optim.Muon(muon, lr=training.muon_learning_rate, weight_decay=training.weight_decay)
            self._parts.append((part, training.muon_learning_rate))

    def set_learning_rate(self, factor: float) -> None:
        """Set each optimiser's rate to its peak times `factor`."""
        for part, peak in self._parts:
            for group in part.param_groups:
                group["lr"] = peak * factor

    def set_epsilon(self, epsilon: float) -> None:
        """Set what AdamW adds to the root of the second moment, where that is not torch's 1e-8."""
        for part, _ in self._parts:
            for group in part.param_groups:
                if isinstance(part, torch.optim.AdamW):
                    group["eps"] = epsilon

    def gradients(self) -> list[Tensor]:
        """The gradients that there are, in the order of the parameters' names."""
        return [parameter.grad for parameter in self._names if parameter.grad is not None]

    def step(self) -> None:
        """Update the parameters from their gradients, and drop the gradients."""
        for part, _ in self._parts:
            part.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Leave every parameter without a gradient."""
        for parameter in self._names:
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name, `<parameter>/<field>`."""
        found = {}
        for part, _ in self._parts:
            for parameter, state in part.state.items():
                for field, value in state.items():
                    found[f"{self._names[parameter]}{_SEPARATOR}{field}"] = value
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state that `tensors` holds. Raises `CheckpointError` when it is of another model or optimiser."""
        owners = {
            self._names[parameter]: (part, parameter)
            for part, _ in self._parts
            for group in part.param_groups
            for parameter in group["params"]
        }
        for part, _ in self._parts:
            part.state.clear()
        for key, value in tensors.items():
            name, _, field = key.rpartition(_SEPARATOR)
            if name not in owners or (value.dim() and value.shape != owners[name][1].shape):
                raise CheckpointError(f"The optimiser state '{key}' belongs to another model than the recipe's.")
            part, parameter = owners[name]
            part.state[parameter][field] = _laid_out_like(parameter, value)
        if lacking := [name for name, (part, parameter) in owners.items() if tensors and parameter not in part.state]:
            raise CheckpointError(f"The optimiser state lacks '{lacking[0]}': it is of another model or optimiser.")


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of `value` beside `parameter`: what safetensors gives may lie in a file that a later checkpoint removes.

    Moments take the parameter's memory format, for a fused step pairs elements by their place in memory.
    """
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class WeightAverage:
    """The exponential moving average of `weights` (a model's own tensors); nothing at all at a decay of 0.

    Where the learning rate never falls, the average takes its place (Polyak and Juditsky 1992; Izmailov et al. 2018):
    it is good at any time, so that a run without an end needs no schedule.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._decay = decay
        state = weights if decay else {}
        # What is no fraction (a counter) is not averaged: it is the same in both.
        self._live: dict[str, Tensor] = {name: value for name, value in state.items() if value.is_floating_point()}
        self._average: dict[str, Tensor] = {name: value.clone() for name, value in self._live.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps. While these are few, the average forgets faster than its decay."""
        if self._live:
            decay = min(self._decay, (1 + step) / (_YOUNG + step))
            torch._foreach_lerp_(list(self._average.values()), list(self._live.values()), 1.0 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average; afterwards, the weights in training again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def trained(self) -> dict[str, Tensor]:
        """Within `in_place`: the weights in training by name, for a checkpoint whose model is the average."""
        return {f"{_TRAINED}{name}": value for name, value in self._average.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take what `trained` gave out of `tensors`, with the average in the model; return the others.

        Raises `CheckpointError` when a weight is missing.
        """
        for name, value in self._average.items():
            if f"{_TRAINED}{name}" not in tensors:
                raise CheckpointError(f"The checkpoint lacks the weight in training '{name}': it has no average.")
            value.copy_(tensors[f"{_TRAINED}{name}"])
        self._swap()
        return {name: value for name, value in tensors.items() if not name.startswith(_TRAINED)}

    def _swap(self) -> None:
        """Exchange values, not tensors: compiled code and optimisers hold on to the tensors."""
        for name, live in self._live.items():
            average = self._average[name]
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)
