"""A Hugging Face causal language model: opened from a folder or an id, asked for logits of packed rows, described.

Weights are float32 and attention is torch's `scaled_dot_product_attention` where the model has it. Nothing random is
in the forward pass: dropout of the model's own is off, that of adapters is keyed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clew.core.errors import CheckpointError, ClewError, EvidenceError
from clew.core.randomness import generator, key
from clew.models.lora import Draws, Noise, base_of, merged, read_adapters, with_adapters
from clew.models.pretrained_folder import Place, check_model, find_model, library
from clew.models.pretrained_tokenizer import ChatTokenizer, open_chat_tokenizer
from clew.recipes.lora import Lora
from clew.training.checkpoint import Frozen

FAMILY = "pretrained"
"""What checkpoints call such a model."""
PROBE_TOLERANCE = 1e-3
"""How far logits of a packed row may be from those of its documents alone, as a share of the largest logit."""
LONGEST = 2**30

Packing = Literal["positions", "mask", "separate"]
"""How a row of several documents is computed: the model derives the borders from positions that begin anew; it is
given a mask; or each document is computed as a row of its own."""


@dataclass
class Pretrained:
    """A model with its tokenizer."""

    module: nn.Module
    """The network; with adapters, peft's around it. Always in evaluation mode."""
    chat: ChatTokenizer
    place: Place
    sha256: str
    """Of all that lies at `place`."""
    packing: Packing
    context_length: int
    lora: Lora | None = None
    draws: Draws = field(default_factory=Draws)
    added_tokens: tuple[str, ...] = ()

    @property
    def frozen(self) -> Frozen | None:
        """Under adapters: the model's own weights, which a checkpoint names and does not copy."""
        if self.lora is None:
            return None
        training = set(self.trainable())
        names = frozenset(name for name in self.module.state_dict() if name not in training)
        return Frozen(names, self.place.name, self.sha256)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name; weights that are tied stand once."""
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}

    def describe(self) -> dict[str, Any]:
        """As JSON: where the model comes from, its hash, and how it is trained."""
        config = _config_of(self.module)
        return {
            "family": FAMILY,
            "name": self.place.name,
            "revision": self.place.revision,
            "sha256": self.sha256,
            "model_type": config.model_type,
            "vocab_size": self.vocab_size,
            "context_length": self.context_length,
            "attention": config._attn_implementation,
            "packing": self.packing,
            "added_tokens": list(self.added_tokens),
            "lora": self.lora.model_dump(mode="json") if self.lora else None,
        }

    @property
    def vocab_size(self) -> int:
        """Rows of the output layer; the tokenizer may have fewer tokens."""
        return int(_output_layer(self.module).weight.shape[0])

    def logits(
        self,
        tokens: Tensor,
        documents: Tensor | None = None,
        *,
        chosen: Tensor | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Logits [rows, length, vocab_size] for `tokens` int64 [rows, length].

        `documents` int [rows, length]: a token sees earlier tokens of its own number alone, and its position is
        counted from where its document begins in the row (None: one document a row). `chosen` bool [rows, length]:
        only of those positions, as [positions, vocab_size] in their order; the output layer computes no others.
        `noise`: what the dropout of adapters draws from, its rows those of `tokens`; None: no dropout.
        """
        if documents is not None and self.packing == "separate":
            return self._separately(tokens, documents, chosen, noise)
        given = _packed(documents, self.packing) if documents is not None else {}
        return self._forward(tokens, given, chosen, noise)

    def merged(self) -> nn.Module:
        """The network with its adapters merged into it; this object is used up."""
        return merged(self.module) if hasattr(self.module, "merge_and_unload") else self.module

    def _forward(
        self, tokens: Tensor, given: Mapping[str, Tensor], chosen: Tensor | None, noise: Noise | None
    ) -> Tensor:
        self.draws.noise = noise
        try:
            with _output_layer_on(self.module, chosen):
                logits: Tensor = self.module(input_ids=tokens, use_cache=False, **given).logits
        finally:
            self.draws.noise = None
        return logits if chosen is None else logits.flatten(0, -2)

    def _separately(self, tokens: Tensor, documents: Tensor, chosen: Tensor | None, noise: Noise | None) -> Tensor:
        """Each document as a row of its own, filled up on the right, where no earlier token looks."""
        begins = _begins(documents)
        places = begins.nonzero()
        length = documents.shape[1]
        flat = (places[:, 0] * length + places[:, 1]).tolist()
        lengths = [stop - start for start, stop in zip(flat, [*flat[1:], tokens.numel()], strict=True)]
        rows = tokens.new_zeros(len(flat), max(lengths))
        filled = torch.zeros_like(rows, dtype=torch.bool)
        for row, count in enumerate(lengths):
            filled[row, :count] = True
        rows[filled] = tokens.flatten()
        if noise is not None:
            noise = Noise(noise.seed, noise.step, [(*noise.rows[row], start) for row, start in places.tolist()])
        wanted = filled
        if chosen is not None:
            wanted = torch.zeros_like(filled)
            wanted[filled] = chosen.flatten()
        logits = self._forward(rows, {}, wanted, noise)
        return logits if chosen is not None else logits.view(*tokens.shape, -1)


def open_pretrained(
    name: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    lora: Lora | None = None,
    seed: int = 0,
    added_tokens: Sequence[str] = (),
    device: torch.device | None = None,
) -> Pretrained:
    """Open the model `name`: a folder, an id of the hub (at `revision`), or a folder of adapters with what they name.

    `lora` puts new adapters into it, drawn by `seed`; then they alone train. `added_tokens`: special tokens that the
    tokenizer gets, and the model rows for. `sha256`: what lies there must have this hash. Raises `EvidenceError` for
    what is missing, pickled, damaged or no causal language model, `CheckpointError` for another hash, `UsageError`
    for adapters or tokens that the model cannot take.
    """
    place = find_model(name, revision=revision)
    adapter = None
    if place.is_adapter:
        adapter, (base, base_revision) = place, base_of(place)
        place = find_model(base, revision=base_revision)
    check_model(place)
    found = place.sha256() if adapter is None else f"{place.sha256()}+{adapter.sha256()}"
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"The model {name} is not the one that the run began with (its hash differs): weights, config or tokenizer "
            "were changed. Restore them; nothing was changed."
        )
    chat = open_chat_tokenizer(adapter or place, fallback=place)
    module = _load(place)
    _check_fits(module, chat, place)
    if added_tokens := tuple(token for token in added_tokens if chat.tokenizer.token_to_id(token) is None):
        if lora is not None:
            raise EvidenceError(
                f"The tokenizer of {name} lacks {added_tokens[0]}, and a new token has to be learned, while under "
                "adapters the embedding does not train. Train the model whole (--lora-rank 0), or use the tokenizer's "
                "own chat template."
            )
        chat = chat.with_tokens(added_tokens)
        _add_rows(module, chat, seed)
    if adapter is not None:
        module = merged(read_adapters(module, adapter))
    module.requires_grad_(True)
    draws = Draws()
    context = _context_length(module)
    if device is not None:
        module = module.to(device)
    module.eval()
    packing = _probe(module, place, context)
    if lora is not None:
        module, draws = with_adapters(module, lora, seed=seed, name=name)
        module.eval()
    return Pretrained(module, chat, place, found, packing, context, lora, draws, added_tokens)


def _load(place: Place) -> nn.Module:
    """The network with its weights. Raises `EvidenceError` where transformers refuses or a weight is missing."""
    transformers = library("transformers", f"The model {place.name}")
    settings = {
        "dtype": torch.float32,
        "trust_remote_code": False,
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
    }
    load = transformers.AutoModelForCausalLM.from_pretrained
    try:
        try:
            module, said = load(str(place.folder), attn_implementation="sdpa", **settings)
        except (ValueError, ImportError) as error:
            if "scaled_dot_product_attention" not in str(error) and "sdpa" not in str(error).lower():
                raise
            module, said = load(str(place.folder), **settings)
    except ClewError:
        raise
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # what from_pretrained raises is of many libraries
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise EvidenceError(
            f"transformers cannot open the model {place.folder}: {type(error).__name__}: {reason}. Copy or fetch it "
            "again."
        ) from error
    mismatched = sorted(str(each[0]) if isinstance(each, tuple) else str(each) for each in said["mismatched_keys"])
    if missing := [*sorted(said["missing_keys"]), *mismatched]:
        raise EvidenceError(
            f"The weights in {place.folder} lack '{missing[0]}'"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}, or have it in another shape than "
            "config.json says: they are of another network, or of a model without an output layer. Copy or fetch them "
            "again."
        )
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise EvidenceError(f"In the weights in {place.folder} '{name}' holds NaN or infinity. Fetch them again.")
    network: nn.Module = module
    return network


def _check_fits(module: nn.Module, chat: ChatTokenizer, place: Place) -> None:
    words, rows = chat.size, int(_input_layer(module).weight.shape[0])
    if words > rows:
        raise EvidenceError(
            f"The tokenizer in {place.folder} has tokens up to the number {words - 1}, but the model has {rows} rows "
            "for them: it is the tokenizer of another model."
        )


def _add_rows(module: nn.Module, chat: ChatTokenizer, seed: int) -> None:
    """Rows for new tokens: the mean of the rows that there are, and a little noise, so that they differ."""
    whole: Any = module
    before = int(_input_layer(module).weight.shape[0])
    if chat.size > before:
        state = torch.get_rng_state()
        whole.resize_token_embeddings(chat.size, mean_resizing=False)
        torch.set_rng_state(state)
    new = sorted(chat.added)
    layers = {id(layer.weight): layer.weight for layer in (_input_layer(module), _output_layer(module))}
    with torch.no_grad():
        for which, weight in enumerate(layers.values()):
            known = weight[:before]
            random = torch.Generator().manual_seed(key(seed, "new tokens", which) % 2**63)
            noise = torch.randn(len(new), weight.shape[1], generator=random) * float(known.std()) * 0.1
            weight[new] = known.mean(dim=0) + noise
        bias = getattr(_output_layer(module), "bias", None)
        if bias is not None and chat.size > before:
            bias[before:] = bias[:before].mean()


def _context_length(module: nn.Module) -> int:
    config = _config_of(module)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(found := getattr(config, name, None), int) and found > 0:
            return found
    return LONGEST


@torch.no_grad()
def _probe(module: nn.Module, place: Place, context: int) -> Packing:
    """How rows of several documents are computed so that each gets the logits that it gets alone.

    Raises `EvidenceError` for a network that looks ahead.
    """
    length = min(19, context)
    first = length // 3
    size = int(_input_layer(module).weight.shape[0])
    device = _input_layer(module).weight.device
    drawn = generator(0, "packing").integers(0, size, length + 1)
    tokens = torch.from_numpy(drawn).to(device).unsqueeze(0)

    def run(ids: Tensor, **given: Tensor) -> Tensor:
        logits: Tensor = module(input_ids=ids, use_cache=False, **given).logits
        return logits

    alone = [run(part) for part in tokens[:, :length].split([first, length - first], dim=1)]
    scale = PROBE_TOLERANCE * max(float(alone[1].abs().max()), 1e-6)
    other = tokens[:, first:length].clone()
    other[0, -1] = (other[0, -1] + 1) % size
    if not float((run(other)[0, :-1] - alone[1][0, :-1]).abs().max()) <= scale:
        raise EvidenceError(
            f"The model {place.name} looks ahead: a later token changes the logits of an earlier one, so it is no "
            "causal language model and cannot write. Take a decoder."
        )
    expected = torch.cat(alone, dim=1)
    documents = torch.tensor([[0] * first + [1] * (length - first)], device=device)
    config = _config_of(module)
    ways: list[Packing] = ["positions"]
    if not (getattr(config, "sliding_window", None) or getattr(config, "layer_types", None)):
        ways.append("mask")  # a mask that is given would take the place of the model's own windows
    for way in ways:
        with contextlib.suppress(TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            found = run(tokens[:, :length], **_packed(documents, way))
            if found.shape == expected.shape and float((found - expected).abs().max()) <= scale:
                return way
    return "separate"


def _packed(documents: Tensor, packing: Packing) -> dict[str, Tensor]:
    """What a model is given to keep the documents of a row apart."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    positions = index - torch.where(_begins(documents), index, 0).cummax(dim=1).values
    if packing == "positions":
        return {"position_ids": positions}
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return {"position_ids": positions, "attention_mask": same.tril().unsqueeze(1)}


def _begins(documents: Tensor) -> Tensor:
    """Bool [rows, length]: where a document begins in its row."""
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return begins


@contextlib.contextmanager
def _output_layer_on(module: nn.Module, chosen: Tensor | None) -> Iterator[None]:
    """Have the output layer compute the `chosen` positions alone: what a vocabulary of 100,000 costs most of."""
    if chosen is None:
        yield
        return
    layer = _output_layer(module)
    handle = layer.register_forward_pre_hook(lambda _, arguments: (arguments[0][chosen].unsqueeze(0), *arguments[1:]))
    try:
        yield
    finally:
        handle.remove()


def _config_of(module: nn.Module) -> Any:
    base: Any = module
    return base.get_base_model().config if hasattr(base, "get_base_model") else base.config


def _input_layer(module: nn.Module) -> Any:
    whole: Any = module
    return whole.get_input_embeddings()


def _output_layer(module: nn.Module) -> Any:
    whole: Any = module
    return whole.get_output_embeddings()
