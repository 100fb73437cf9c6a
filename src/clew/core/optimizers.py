"""Optimisers made from a recipe, stepped as one, and turned into named tensors for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clew.core.errors import CheckpointError
from clew.core.recipe import Training

_SEPARATOR = "/"


class Optimizer:
    """AdamW for everything, or Muon (Jordan et al. 2024) for the matrices inside the network and AdamW for the rest.

    Weight decay acts on matrices only. Embeddings are AdamW's in both cases: their rows are looked up, not
    multiplied, so orthogonalising them means nothing.
    """

    def __init__(self, model: nn.Module, training: Training) -> None:
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
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
        adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=training.learning_rate,
            betas=training.betas,
            fused=next(iter(self._names)).device.type in ("cpu", "cuda", "mps"),
        )
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [(adamw, training.learning_rate)]
        if muon:
            part = torch.optim.Muon(muon, lr=training.muon_learning_rate, weight_decay=training.weight_decay)
            self._parts.append((part, training.muon_learning_rate))

    def set_learning_rate(self, factor: float) -> None:
        """Set each optimiser's rate to its peak times `factor`."""
        for part, peak in self._parts:
            for group in part.param_groups:
                group["lr"] = peak * factor

    def step(self) -> None:
        """Update the parameters from their gradients, and drop the gradients."""
        for part, _ in self._parts:
            part.step()
            part.zero_grad(set_to_none=True)

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
            # A copy: what safetensors gives may lie in the file, which a later checkpoint removes.
            part.state[parameter][field] = value.to(parameter.device, copy=True)
        if lacking := [name for name, (part, parameter) in owners.items() if tensors and parameter not in part.state]:
            raise CheckpointError(f"The optimiser state lacks '{lacking[0]}': it is of another model or optimiser.")
