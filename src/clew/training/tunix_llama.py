"""Our GPT, or a Llama of a Hugging Face folder, as tunix's Llama 3, and its arrays back under the names that they had.

One table of pieces says which part of which of the model's matrices is which array of tunix's. It serves the weights
and the optimiser's moments alike, so that a checkpoint is the same whichever library trained it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from torch.nn import Module

from clew.core.errors import UsageError
from clew.models.gpt import GPT, NORM_EPS, ROPE_BASE

Array = npt.NDArray[np.float32]
Path = tuple[Any, ...]
"""Where an array stands in tunix's model: ("layers", 0, "attn", "q_proj", "w")."""


@dataclass(frozen=True)
class Sizes:
    """A Llama's sizes, under tunix's names for them."""

    vocab_size: int
    embed_dim: int
    hidden_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float
    norm_eps: float
    weight_tying: bool


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of the matrix `name` ([outputs, inputs], as torch has it), which tunix holds transposed
    in the shape `shape`. A vector and the embedding are the same in both."""

    path: Path
    name: str
    shape: tuple[int, ...]
    start: int = 0
    stop: int | None = None
    transposed: bool = True

    def out_of(self, held: Mapping[str, Array]) -> Array:
        """The array as tunix wants it."""
        part = held[self.name][self.start : self.stop]
        return np.ascontiguousarray(part.T if self.transposed else part).reshape(self.shape)

    def into(self, held: Mapping[str, Array], array: Array) -> None:
        """Write tunix's `array` to its place in the matrix."""
        place = held[self.name][self.start : self.stop]
        place[...] = array.reshape(place.T.shape).T if self.transposed else array


class Layout:
    """How a model's parameters lie in tunix's Llama 3."""

    def __init__(self, model: Module) -> None:
        """Raises `UsageError` for a model that is no Llama, or one with parts that tunix's has not."""
        self.sizes, self.pieces = _of_gpt(model) if isinstance(model, GPT) else _of_hugging_face(model)
        self._shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        if lacking := sorted(self._shapes.keys() - {piece.name for piece in self.pieces}):
            raise UsageError(f"The weight '{lacking[0]}' has no place in tunix's Llama 3: train it with torch.")

    def arrays(self, held: Mapping[str, Array]) -> dict[Path, Array]:
        """tunix's arrays by path, of the model's arrays by name."""
        return {piece.path: piece.out_of(held) for piece in self.pieces}

    def named(self, arrays: Mapping[Path, Any]) -> dict[str, Array]:
        """The model's arrays by name, of tunix's by path: `arrays` undone."""
        held = {name: np.empty(shape, np.float32) for name, shape in self._shapes.items()}
        for piece in self.pieces:
            piece.into(held, np.asarray(arrays[piece.path], np.float32))
        return held


def build(sizes: Sizes, arrays: Mapping[Path, Array]) -> Any:
    """tunix's Llama 3 of these sizes, in float32, with the weights `arrays`."""
    llama3: Any = importlib.import_module("tunix.models.llama3.model")
    # Without weights first: drawing some would cost memory and seconds, and mean nothing.
    model: Any = nnx.eval_shape(lambda: llama3.Llama3(llama3.ModelConfig(**vars(sizes)), rngs=nnx.Rngs(0)))
    for path, variable in nnx.state(model, nnx.Param).flat_state():
        variable.set_value(jnp.array(arrays[path], jnp.float32))
    return model


@contextlib.contextmanager
def rotating(base: float) -> Iterator[None]:
    """Within the block, tunix's Llama 3 turns its queries and keys by `base`.

    Release 0.1.7 reads `rope_theta` from no configuration: `apply_rope` is called without it and takes its default, a
    million, whatever the model was trained with. What is compiled within the block keeps the right one.
    """
    llama3: Any = importlib.import_module("tunix.models.llama3.model")
    before = llama3.apply_rope
    llama3.apply_rope = functools.partial(before, rope_theta=base)
    try:
        yield
    finally:
        llama3.apply_rope = before


def _of_gpt(model: GPT) -> tuple[Sizes, list[Piece]]:
    config = model.config
    width, heads, head, inner = config.d_model, config.n_heads, config.head_dim, config.d_mlp
    sizes = Sizes(
        vocab_size=config.vocab_size,
        embed_dim=width,
        hidden_dim=inner,
        num_layers=config.n_layers,
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=head,
        rope_theta=ROPE_BASE,
        norm_eps=NORM_EPS,
        weight_tying=True,
    )
    pieces = [
        Piece(("embedder", "input_embedding"), "embedding.weight", (config.vocab_size, width), transposed=False),
        Piece(("final_norm", "w"), "norm.weight", (width,), transposed=False),
    ]
    for layer in range(config.n_layers):
        ours, theirs = f"blocks.{layer}", ("layers", layer)
        pieces += [
            *_stacked(
                f"{ours}.attention.qkv.weight",
                [(*theirs, "attn", f"{part}_proj", "w") for part in ("q", "k", "v")],
                (width, heads, head),
            ),
            Piece((*theirs, "attn", "o_proj", "w"), f"{ours}.attention.out.weight", (heads, head, width)),
            *_stacked(
                f"{ours}.mlp.gate_up.weight",
                [(*theirs, "mlp", f"{part}_proj", "kernel") for part in ("gate", "up")],
                (width, inner),
            ),
            Piece((*theirs, "mlp", "down_proj", "kernel"), f"{ours}.mlp.down.weight", (inner, width)),
            *_norms(theirs, f"{ours}.attention_norm.weight", f"{ours}.mlp_norm.weight", width),
        ]
    return sizes, pieces


def _stacked(name: str, paths: Sequence[Path], shape: tuple[int, ...]) -> list[Piece]:
    """Pieces of one matrix that holds several, each of `shape`, one below the other."""
    rows = int(np.prod(shape[1:]))
    return [Piece(path, name, shape, at * rows, (at + 1) * rows) for at, path in enumerate(paths)]


def _norms(layer: Path, before_attention: str, before_mlp: str, width: int) -> list[Piece]:
    return [
        Piece((*layer, "input_layernorm", "w"), before_attention, (width,), transposed=False),
        Piece((*layer, "post_attention_layernorm", "w"), before_mlp, (width,), transposed=False),
    ]


def _of_hugging_face(model: Module) -> tuple[Sizes, list[Piece]]:
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", type(model).__name__)
    if kind != "llama" or type(model).__name__ != "LlamaForCausalLM":
        raise UsageError(
            f"The backend tunix trains our own GPT and the Llamas of Hugging Face whole, and this model is {kind!r} "
            f"({type(model).__name__}): train it with torch."
        )
    turns: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    for wanted, value, what in (
        ("default", turns.get("rope_type", "default"), "scaled rotary positions"),
        ("silu", config.hidden_act, "another activation than SiLU"),
        (0.0, config.attention_dropout, "dropout in its attention"),
        (False, config.attention_bias, "biases in its attention"),
        (False, config.mlp_bias, "biases in its MLP"),
    ):
        if value != wanted:
            raise UsageError(f"The model has {what} ({value}), which tunix's Llama 3 has not: train it with torch.")
    width, heads, groups = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    head, inner, tied = config.head_dim or width // heads, config.intermediate_size, bool(config.tie_word_embeddings)
    sizes = Sizes(
        vocab_size=config.vocab_size,
        embed_dim=width,
        hidden_dim=inner,
        num_layers=config.num_hidden_layers,
        num_heads=heads,
        num_kv_heads=groups,
        head_dim=head,
        rope_theta=float(turns.get("rope_theta", ROPE_BASE)),
        norm_eps=config.rms_norm_eps,
        weight_tying=tied,
    )
    pieces = [
        Piece(
            ("embedder", "input_embedding"), "model.embed_tokens.weight", (config.vocab_size, width), transposed=False
        ),
        Piece(("final_norm", "w"), "model.norm.weight", (width,), transposed=False),
    ]
    if not tied:
        pieces.append(Piece(("lm_head", "w"), "lm_head.weight", (width, config.vocab_size)))
    for layer in range(config.num_hidden_layers):
        theirs, ours = f"model.layers.{layer}", ("layers", layer)
        pieces += [
            Piece((*ours, "attn", "q_proj", "w"), f"{theirs}.self_attn.q_proj.weight", (width, heads, head)),
            Piece((*ours, "attn", "k_proj", "w"), f"{theirs}.self_attn.k_proj.weight", (width, groups, head)),
            Piece((*ours, "attn", "v_proj", "w"), f"{theirs}.self_attn.v_proj.weight", (width, groups, head)),
            Piece((*ours, "attn", "o_proj", "w"), f"{theirs}.self_attn.o_proj.weight", (heads, head, width)),
            Piece((*ours, "mlp", "gate_proj", "kernel"), f"{theirs}.mlp.gate_proj.weight", (width, inner)),
            Piece((*ours, "mlp", "up_proj", "kernel"), f"{theirs}.mlp.up_proj.weight", (width, inner)),
            Piece((*ours, "mlp", "down_proj", "kernel"), f"{theirs}.mlp.down_proj.weight", (inner, width)),
            *_norms(ours, f"{theirs}.input_layernorm.weight", f"{theirs}.post_attention_layernorm.weight", width),
        ]
    return sizes, pieces
