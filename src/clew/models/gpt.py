"""A decoder-only transformer whose weights are also those of a Hugging Face `LlamaForCausalLM`.

RMSNorm before each sub-layer (Zhang & Sennrich 2019), rotary positions (Su et al. 2021, the half-split layout that
Llama uses), causal attention through `scaled_dot_product_attention`, a SiLU-gated MLP (Shazeer 2020), tied
embeddings, no biases. Rotary positions and not learned ones: a proof packed anywhere in a row sees the positions
that it sees at inference, and a host may start from any cache.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0

Cache = tuple[Tensor, Tensor]
"""Keys and values of one layer, each [batch, n_heads, past, head_dim]."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Shape of the network. `d_model` must be a multiple of `n_heads`, and `d_model / n_heads` even."""

    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int
    n_heads: int
    d_mlp: int
    dropout: float = 0.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


def dropout_planes(config: GPTConfig) -> int:
    """How many activations of the network dropout acts on: the embedding, and both sub-layers of each layer."""
    return 1 + 2 * config.n_layers


class GPT(nn.Module):
    """The network. Its parameters carry Clew's names; `export.huggingface` maps them to Llama's."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.d_model, eps=NORM_EPS)

    @property
    def layers(self) -> Sequence[Block]:
        """The blocks, typed."""
        return cast("Sequence[Block]", self.blocks)

    @torch.no_grad()
    def initialise(self, random: torch.Generator) -> None:
        """Draw the weights: normal with deviation 0.02, residual projections scaled by 1/sqrt(2 n_layers) (GPT-2)."""
        residual = 0.02 / math.sqrt(2 * self.config.n_layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(1.0)
            else:
                deviation = residual if name.endswith(("out.weight", "down.weight")) else 0.02
                parameter.normal_(0.0, deviation, generator=random)

    def forward(
        self,
        tokens: Tensor,
        *,
        documents: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Return logits [batch, seq, vocab_size] for `tokens` int64 [batch, seq].

        `documents` int [batch, seq]: a token attends only to earlier tokens with its own number (None: one
        document a row). `noise` uint8 [1 + 2 n_layers, batch, seq, d_model]: the random bytes that dropout compares
        with its rate; None for no dropout. Randomness comes in as data, so a step depends on nothing hidden.
        """
        return self.head(self.hidden(tokens, documents=documents, noise=noise))

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits [..., vocab_size] of `hidden` [..., d_model]."""
        return F.linear(hidden, self.embedding.weight)

    def hidden(self, tokens: Tensor, *, documents: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Return what the head reads, [batch, seq, d_model]; arguments as of `forward`."""
        length = tokens.shape[1]
        mask = None
        if documents is not None:
            same = documents.unsqueeze(2) == documents.unsqueeze(1)
            causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
            mask = (same & causal).unsqueeze(1)
        rotation = rotary(torch.arange(length, device=tokens.device).unsqueeze(0), self.config.head_dim)
        x = self._drop(self.embedding(tokens), noise, 0)
        for index, block in enumerate(self.layers):
            attended, _ = block.attention(block.attention_norm(x), rotation, mask=mask)
            x = x + self._drop(attended, noise, 1 + 2 * index)
            x = x + self._drop(block.mlp(block.mlp_norm(x)), noise, 2 + 2 * index)
        return cast("Tensor", self.norm(x))

    def hidden_of_pieces(
        self, tokens: Tensor, positions: Tensor, groups: Sequence[tuple[Tensor, Tensor]], back: Tensor
    ) -> Tensor:
        """What the head reads, [n, d_model], of `tokens` int64 [n] without padding, each at its one of `positions`.

        Only attention knows which tokens belong together: `groups` are pieces of about one length, an index int64
        [pieces, length] into the tokens (n where a shorter piece has ended), a mask bool [pieces, 1, length, length],
        True where a query may look. `back` int64 [n]: where each token stands in the groups behind one another.
        """
        count, heads, width = len(tokens), self.config.n_heads, self.config.head_dim
        cosine, sine = (part[0, 0].unsqueeze(1) for part in rotary(positions.unsqueeze(0), width))
        x = self.embedding(tokens)
        for block in self.layers:
            qkv = block.attention.qkv(block.attention_norm(x)).view(count, 3, heads, width)
            turned = rotate(qkv[:, :2], (cosine.unsqueeze(1), sine.unsqueeze(1)))
            padded = torch.cat([torch.cat([turned, qkv[:, 2:]], dim=1), qkv.new_zeros(1, 3, heads, width)])
            attended = []
            for index, mask in groups:
                query, keys, values = padded[index].permute(2, 0, 3, 1, 4)
                with _attention_kernel(query):
                    found = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
                attended.append(found.transpose(1, 2).reshape(-1, heads * width))
            x = x + block.attention.out(torch.cat(attended).index_select(0, back))
            x = x + block.mlp(block.mlp_norm(x))
        return cast("Tensor", self.norm(x))

    def forward_cached(self, tokens: Tensor, past: Sequence[Cache]) -> tuple[Tensor, list[Cache]]:
        """Return logits [batch, seq, vocab_size] and the extended cache of each layer.

        A slot of the cache whose keys are all zero in the first layer holds no token: it takes no part in the
        softmax and counts for no position. So an empty cache, a cache of one zero slot, and rows padded with zero
        slots all give the logits of `forward`.
        """
        length = tokens.shape[1]
        first_keys = past[0][0]
        filled = (first_keys != 0).any(dim=3).any(dim=1)  # [batch, past]
        start = filled.sum(dim=1, keepdim=True)
        new = torch.arange(length, device=tokens.device)
        rotation = rotary(start + new.unsqueeze(0), self.config.head_dim)
        causal = new.unsqueeze(1) >= new.unsqueeze(0)  # [seq, seq]
        batch = tokens.shape[0]
        mask = torch.cat(
            [
                filled[:, None, None, :].expand(batch, 1, length, first_keys.shape[2]),
                causal[None, None].expand(batch, 1, length, length),
            ],
            dim=3,
        )
        x = self.embedding(tokens)
        present = []
        for block, cache in zip(self.layers, past, strict=True):
            attended, extended = block.attention(block.attention_norm(x), rotation, mask=mask, past=cache)
            present.append(extended)
            x = x + attended
            x = x + block.mlp(block.mlp_norm(x))
        return F.linear(self.norm(x), self.embedding.weight), present

    def empty_cache(self, batch: int, length: int = 0) -> list[Cache]:
        """A cache of `length` zero slots for each layer."""
        shape = (batch, self.config.n_heads, length, self.config.head_dim)
        weight = self.embedding.weight
        return [(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in self.blocks]

    def _drop(self, x: Tensor, noise: Tensor | None, plane: int) -> Tensor:
        # The rate is rounded to 1/256, and the scale to the rate that acts, so the expectation is exact.
        threshold = round(self.config.dropout * 256)
        if noise is None or threshold == 0:
            return x
        return torch.where(noise[plane] >= threshold, x * (256.0 / (256 - threshold)), 0.0)


class Block(nn.Module):
    """One layer: attention and MLP, each behind its RMSNorm."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.d_model, eps=NORM_EPS)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(config.d_model, eps=NORM_EPS)
        self.mlp = GatedMLP(config)


class Attention(nn.Module):
    """Multi-head attention; queries, keys and values come from one matrix, stacked in this order."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        *,
        mask: Tensor | None,
        past: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Attend from x [batch, seq, d_model]; `mask` bool, True where a query may look (None: causal)."""
        batch, length, width = x.shape
        query, keys, values = (
            part.view(batch, length, self.n_heads, self.head_dim).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=-1)
        )
        query, keys = rotate(query, rotation), rotate(keys, rotation)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        with _attention_kernel(query):
            attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=mask is None)
        return self.out(attended.transpose(1, 2).reshape(batch, length, width)), (keys, values)


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)); gate and up come from one matrix, stacked in this order."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_mlp, bias=False)
        self.down = nn.Linear(config.d_mlp, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., d_model] to the same shape."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return cast("Tensor", self.down(F.silu(gate) * up))


def _attention_kernel(query: Tensor) -> contextlib.AbstractContextManager[None]:
    """The kernel of `scaled_dot_product_attention` for `query`; torch's own choice but for short rows on a CPU.

    There its fused kernel takes twice as long in bfloat16 as the plain one (256 tokens, 8 heads of 32), whose
    [seq, seq] scores fit the cache. Long rows keep the fused kernel, which never stores them.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.shape[2] <= 512:
        return cast("contextlib.AbstractContextManager[None]", sdpa_kernel(SDPBackend.MATH))
    return contextlib.nullcontext()


def rotary(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [batch, 1, seq, head_dim / 2] for integer `positions` [batch, seq]."""
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = (positions.float().unsqueeze(-1) * (ROPE_BASE**-exponents)).unsqueeze(1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate x [batch, n_heads, seq, head_dim] by its positions; result in the dtype of x."""
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
