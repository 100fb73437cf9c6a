"""Low-rank adapters (LoRA, Hu et al. 2021) through peft: put into a model, read from a folder, merged into it.

What peft draws from torch's global generator is drawn here from keys: the adapters' first weights, and dropout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from clew.core import files
from clew.core.errors import EvidenceError, UsageError, nearest
from clew.core.randomness import key
from clew.models.pretrained_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Place, library
from clew.recipes.chat import Lora

ALL_LINEAR = "all-linear"
"""peft's name of all linear layers but the output layer."""
ADAPTER = "default"
"""peft's name of the one adapter."""


@dataclass(frozen=True)
class Noise:
    """What dropout draws from: a function of the run's seed, the step and the row of its batch."""

    seed: int
    step: int
    rows: Sequence[tuple[int, ...]]
    """The key of each row of the tensors that pass through the model: the place of the row in the step's batch."""


class Draws:
    """The noise of the forward pass that is under way; None: nothing is dropped."""

    noise: Noise | None = None


class KeyedDropout(nn.Module):
    """Dropout whose draws are keyed: a step drops the same in a resumed run, however its batch is split."""

    def __init__(self, rate: float, name: str, draws: Draws) -> None:
        super().__init__()
        self._rate, self._name, self._draws = rate, name, draws

    def forward(self, x: Tensor) -> Tensor:
        """Drop from x [rows, ...] where there is noise."""
        noise = self._draws.noise
        if noise is None:
            return x
        kept = [
            torch.rand(x.shape[1:], device=x.device, generator=self._generator(noise, row, x.device)) >= self._rate
            for row in noise.rows
        ]
        return torch.where(torch.stack(kept), x / (1.0 - self._rate), 0.0)

    def _generator(self, noise: Noise, row: tuple[int, ...], device: torch.device) -> torch.Generator:
        seed = key(noise.seed, "lora dropout", self._name, noise.step, *row) % 2**63
        return torch.Generator(device).manual_seed(seed)


def with_adapters(model: nn.Module, lora: Lora, *, seed: int, name: str) -> tuple[nn.Module, Draws]:
    """`model` with adapters as `lora` says, in place, and what their dropout draws from.

    The adapters begin at zero: the product of a matrix drawn by `seed` and the matrix's name, as LoRA's authors draw
    it, and one of zeros. Raises `UsageError` where a target names no linear layer; `name` is the model's.
    """
    peft = library("peft", "Training with adapters (LoRA)")
    targets: list[str] | str = ALL_LINEAR
    if lora.targets != ALL_LINEAR:
        targets = [target for each in lora.targets.split(",") if (target := each.strip())]
        _check_targets(model, targets, name)
    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=targets,
        task_type="CAUSAL_LM",
        fan_in_fan_out=_has_conv1d(model),
    )
    state = torch.get_rng_state()
    try:
        wrapped: nn.Module = peft.get_peft_model(model, settings)
    except ValueError as error:
        raise UsageError(f"The model {name} takes no adapters: {str(error).splitlines()[0][:200]}") from error
    finally:
        torch.set_rng_state(state)
    _draw(wrapped, seed)
    return wrapped, _keyed_dropout(wrapped, lora.dropout)


def read_adapters(model: nn.Module, place: Place) -> nn.Module:
    """`model` with the adapters that lie at `place` (a folder of peft's), in place.

    Raises `EvidenceError` for weights that are missing, pickled, damaged, or of another model.
    """
    peft = library("peft", f"The adapter {place.name}")
    folder = place.folder
    if not files.is_file(folder / ADAPTER_WEIGHTS):
        pickled = " Its weights are pickled, which Clew does not open." if any(folder.glob("*.bin")) else ""
        raise EvidenceError(
            f"{folder} holds no {ADAPTER_WEIGHTS}, so it is no adapter that can be read.{pickled} Save it with "
            "model.save_pretrained(FOLDER)."
        )
    try:
        settings = peft.PeftConfig.from_pretrained(str(folder))
        settings.inference_mode = True
        wrapped: nn.Module = peft.get_peft_model(model, settings)
        held = peft.utils.load_peft_weights(str(folder), device="cpu")
        wanted = peft.get_peft_model_state_dict(wrapped)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise EvidenceError(
            f"The adapter {folder} cannot be put into its model: {' '.join(str(error).split())[:200]}. Check that "
            f"its {ADAPTER_CONFIG} names the model that it was trained over."
        ) from error
    for which, tensor in wanted.items():
        if which not in held or held[which].shape != tensor.shape:
            raise EvidenceError(
                f"The adapter {folder} was trained over another model: its weight '{which}' is missing or has another "
                f"shape. Name the right one in its {ADAPTER_CONFIG}."
            )
    peft.set_peft_model_state_dict(wrapped, held)
    return wrapped.eval()


def merged(model: nn.Module) -> nn.Module:
    """The model that `model` (adapters over it) comes to, as one without adapters. The argument is used up."""
    whole: Any = model
    result: nn.Module = whole.merge_and_unload(safe_merge=True)
    return result


def _has_conv1d(model: nn.Module) -> bool:
    return any(type(module).__name__ == "Conv1D" for module in model.modules())


def _check_targets(model: nn.Module, names: Sequence[str], label: str) -> None:
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    }
    if not names:
        raise UsageError(f"No layer for an adapter is named. The model {label} has: {', '.join(sorted(linear))}.")
    for wanted in names:
        if wanted.rpartition(".")[2] not in linear:
            raise UsageError(
                f"The model {label} has no linear layer '{wanted}' for an adapter.{nearest(wanted, sorted(linear))} "
                f"It has: {', '.join(sorted(linear))}."
            )


@torch.no_grad()
def _draw(model: nn.Module, seed: int) -> None:
    """The first weights of the adapters: A uniform within 1 / sqrt(inputs), B zero."""
    for name, parameter in model.named_parameters():
        if ".lora_A." in name or ".lora_embedding_B." in name:
            random = torch.Generator().manual_seed(key(seed, "lora", name) % 2**63)
            bound = 1.0 / math.sqrt(parameter.shape[1])
            parameter.copy_((torch.rand(parameter.shape, generator=random) * 2 - 1) * bound)
        elif ".lora_B." in name or ".lora_embedding_A." in name:
            parameter.zero_()


def _keyed_dropout(model: nn.Module, rate: float) -> Draws:
    draws = Draws()
    if rate:
        for name, module in model.named_modules():
            if isinstance(layers := getattr(module, "lora_dropout", None), nn.ModuleDict) and ADAPTER in layers:
                layers[ADAPTER] = KeyedDropout(rate, name, draws)
    return draws
