"""The section of a recipe that says whether a model trains whole or through low-rank adapters (LoRA)."""

from __future__ import annotations

from typing import Self

import pydantic

from clew.recipes.base import LARGEST, Section


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021): the model's own weights stay, small matrices beside them train."""

    lora_rank: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Rank of the adapters; 0: none, the whole model trains."""
    lora_alpha: float = pydantic.Field(default=0.0, ge=0)
    """What an adapter adds is scaled by alpha / rank; 0: twice the rank."""
    lora_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout on what goes into the adapters, keyed by step and row."""
    lora_targets: str = "auto"
    """Linear layers that get an adapter, by the last part of their names, such as q_proj,v_proj. auto: all of them
    but the output layer."""

    @pydantic.model_validator(mode="after")
    def _nothing_without_a_rank(self) -> Self:
        if not self.lora_rank and (self.lora_alpha or self.lora_dropout or self.lora_targets != "auto"):
            raise ValueError("adapters need a lora_rank above 0, such as 16; without it the whole model trains")
        return self

    @property
    def scaled_alpha(self) -> float:
        """Alpha, where it is left open twice the rank."""
        return self.lora_alpha or 2.0 * self.lora_rank

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that are named; none: all linear ones."""
        return () if self.lora_targets == "auto" else tuple(filter(None, map(str.strip, self.lora_targets.split(","))))
