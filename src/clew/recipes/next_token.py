"""Recipe of the objective `next_token`: a GPT that predicts the next token of proof files."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from clew.recipes.base import LARGEST, MOST_LAYERS, Recipe, Section


class Data(Section):
    """The evidence: a folder of proof files, its split, its tokenizer."""

    data_dir: str = "data/proofs"
    """Folder of the proof files (proof_00000.txt, ...)."""
    validation_fraction: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Share of the files held out, by enclosing theorem."""
    tokenizer: str = "bpe"
    """bytes; turns (bytes and the markers of a chat's turns); bpe (trained on the training split); or the path of a
    tokenizer.json."""
    vocab_size: int = pydantic.Field(default=4096, ge=256, le=65_536)
    """Entries of a BPE vocabulary that is trained here."""


class Model(Section):
    """The GPT's sizes."""

    context_length: int = pydantic.Field(default=256, ge=8, le=LARGEST)
    """Tokens in a row, and the longest history that a token sees in training."""
    d_model: int = pydantic.Field(default=256, ge=8, le=LARGEST)
    """Width of the residual stream."""
    n_layers: int = pydantic.Field(default=6, ge=1, le=MOST_LAYERS)
    """Layers."""
    n_heads: int = pydantic.Field(default=8, ge=1)
    """Attention heads of each layer."""
    d_mlp: int = pydantic.Field(default=704, ge=8, le=LARGEST)
    """Width of the gated MLP. 704 has the parameters of a plain MLP of 1,024: three matrices in place of two."""
    dropout: float = pydantic.Field(default=0.1, ge=0, lt=1)
    """Dropout on the embedding and on each sub-layer's output, rounded to a multiple of 1/256."""

    @pydantic.model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            raise ValueError(f"d_model {self.d_model} must be n_heads {self.n_heads} times an even number")
        return self


class Samples(Section):
    """Text that the model writes at each evaluation, for the eye."""

    sample_prompt: str = "@T\ntheorem "
    """What the samples start from."""
    sample_tokens: int = pydantic.Field(default=200, ge=0)
    """Length of a sample; 0: none."""
    sample_temperature: float = pydantic.Field(default=0.8, gt=0)
    """Temperature of the samples."""
    sample_top_p: float = pydantic.Field(default=0.9, gt=0, le=1)
    """Samples are drawn from the smallest set of tokens that holds this probability."""


class NextTokenRecipe(Recipe):
    """A GPT that learns to write proof files, token by token."""

    objective: Literal["next_token"] = "next_token"
    """What "better" means: bits per byte on held-out files."""
    name: str = pydantic.Field(default="tactics", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders and bundles begin with it."""
    data: Data = Data()
    """The evidence."""
    model: Model = Model()
    """The GPT's sizes."""
    samples: Samples = Samples()
    """Samples at evaluation."""
