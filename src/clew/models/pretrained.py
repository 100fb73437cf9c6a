"""A Hugging Face causal language model: opened from a folder or an id, asked for logits of packed rows, described.

Weights are float32 and attention is torch's `scaled_dot_product_attention` where the model has it. Nothing random is
in the forward pass: dropout of the model's own is off, that of adapters is keyed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clew.core import files
from clew.core.errors import CheckpointError, ClewError, EvidenceError
from clew.core.randomness import generator, key
from clew.models.chat_net import Groups, branching_mask
from clew.models.lora import Draws, Noise, merged, read_adapters, with_adapters
from clew.models.pretrained_folder import Place, base_of, check_model, context_length, find_model, library
from clew.models.pretrained_names import described_in
from clew.models.pretrained_tokenizer import ChatTokenizer, open_chat_tokenizer
from clew.recipes import base as recipes
from clew.recipes.chat import Lora
from clew.runs.checkpoints import MODEL, STATE, read_state
from clew.traces.evidence import PreparedChat
from clew.traces.named_models import FOREIGN
from clew.training.checkpoint import Frozen, load_weights, read_checkpoint
from clew.training.devices import Placement

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
    seed: int = 0
    """Of what is drawn in training."""
    plain: bool = True
    """Whether the model that training began with lies in one folder, without adapters: others can open it there."""

    ragged: bool = False
    """Rows have padding: see `clew.models.chat_net.ChatNet`."""

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
        folder = None if self.place.revision else files.printable(self.place.folder.absolute())
        return {
            "family": FOREIGN,
            "name": self.place.name,
            "folder": folder,
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

    def noise(self, step: int, rows: range) -> Noise | None:
        """What the dropout of adapters draws from in `rows` of the batch of `step`."""
        return Noise(self.seed, step, [(row,) for row in rows]) if self.lora and self.lora.dropout else None

    def logits(
        self,
        tokens: Tensor,
        *,
        documents: Tensor | None = None,
        positions: Tensor | None = None,
        chosen: Tensor | None = None,
        noise: Noise | None = None,
        branches: Tensor | None = None,
        groups: Groups | None = None,
    ) -> Tensor:
        """Logits [batch * seq, vocab_size] for `tokens` int64 [batch, seq]: see `clew.models.chat_net.ChatNet`.

        Without `documents` and `positions` each row is one document. `noise`: what the dropout of adapters draws from,
        its rows those of `tokens`; None: no dropout.
        """
        if documents is None or positions is None:
            return self._forward(tokens, {}, chosen, noise)
        if branches is not None:
            given = {"position_ids": positions, "attention_mask": branching_mask(documents, branches)}
            return self._forward(tokens, given, chosen, noise)
        if self.packing == "separate":
            return self._separately(tokens, documents, positions, chosen, noise)
        return self._forward(tokens, _packed(documents, positions, self.packing), chosen, noise)

    @torch.no_grad()
    def shares(self) -> bool:
        """Whether rows that branch get the logits of their sequences alone: tried on one of drawn tokens."""
        config = _config_of(self.module)
        if getattr(config, "sliding_window", None) or getattr(config, "layer_types", None):
            return False  # a mask that is given would take the place of the model's own windows
        trunk, length = 5, 6
        if self.context_length < trunk + length:
            return False
        device = _input_layer(self.module).weight.device
        drawn = torch.from_numpy(generator(0, "branches").integers(0, self.vocab_size, trunk + 2 * length))
        tokens = drawn.to(device).unsqueeze(0)
        branches = torch.tensor([[0] * trunk + [1] * length + [2] * length], device=device)
        positions = torch.tensor([[*range(trunk + length), *range(trunk, trunk + length)]], device=device)
        with contextlib.suppress(TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            found = self.logits(
                tokens, documents=torch.zeros_like(tokens), positions=positions, branches=branches
            ).unflatten(0, (1, -1))
            first = self.logits(tokens[:, : trunk + length]).unflatten(0, (1, -1))
            second = self.logits(torch.cat([tokens[:, :trunk], tokens[:, trunk + length :]], 1)).unflatten(0, (1, -1))
            expected = torch.cat([first, second[:, trunk:]], 1)
            scale = PROBE_TOLERANCE * max(float(expected.abs().max()), 1e-6)
            return found.shape == expected.shape and float((found - expected).abs().max()) <= scale
        return False

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
        return logits.flatten(0, -2)

    def _separately(
        self, tokens: Tensor, documents: Tensor, positions: Tensor, chosen: Tensor | None, noise: Noise | None
    ) -> Tensor:
        """Each document as a row of its own, filled up on the right, where no earlier token looks."""
        held = documents >= 0
        begins = (held & (positions == 0)).nonzero()
        document = (held & (positions == 0)).flatten().cumsum(0).view_as(documents) - 1
        longest = int(positions.max()) + 1
        rows = tokens.new_zeros(len(begins), longest)
        # Where each place of the packed rows lies in the separate ones; what holds no token lies anywhere.
        place = torch.where(held, document * longest + positions, 0).flatten()
        rows.view(-1)[place[held.flatten()]] = tokens.flatten()[held.flatten()]
        if noise is not None:
            keys = [(*noise.rows[row], start) for row, start in begins.tolist()]
            noise = Noise(noise.seed, noise.step, keys)
        return self._forward(rows, {}, place if chosen is None else place[chosen], noise)


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
    if files.is_file(Path(name) / STATE):
        module, chat, place, found = _from_checkpoint(Path(name), name)
        plain = False
    else:
        module, chat, place, found, plain = _from_folder(name, revision)
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"The model {name} is not the one that the run began with (its hash differs): weights, config or tokenizer "
            "were changed. Restore them; nothing was changed."
        )
    if new := tuple(token for token in added_tokens if chat.tokenizer.token_to_id(token) is None):
        if lora is not None:
            raise EvidenceError(
                f"The tokenizer of {name} lacks {new[0]}, and a new token has to be learned, while under adapters the "
                "embedding does not train. Train the model whole (--rank 0), or use the tokenizer's own chat template."
            )
        chat = chat.with_tokens(new)
        _add_rows(module, chat, seed)
    module.requires_grad_(True)
    draws = Draws()
    context = context_length(_config_of(module).to_dict()) or LONGEST
    if device is not None:
        module = module.to(device)
    module.eval()
    packing = _probe(module, place, context)
    if lora is not None:
        module, draws = with_adapters(module, lora, seed=seed, name=name)
        module.eval()
    return Pretrained(module, chat, place, found, packing, context, lora, draws, new, seed, plain)


def open_checkpoint(folder: Path, *, device: torch.device | None = None) -> Pretrained:
    """The model that a checkpoint of ours holds, its adapters apart where it has some.

    What it was trained from must still lie where it lay. Raises `CheckpointError`, `EvidenceError`.
    """
    described = described_in(folder)
    lora = None if described.lora is None else recipes.validate(Lora, dict(described.lora), f"{folder / STATE}: lora")
    model = open_pretrained(
        described.name,
        revision=described.revision,
        sha256=described.sha256,
        lora=lora,
        added_tokens=described.added_tokens,
        device=device,
    )
    load_weights(model.module, read_checkpoint(folder, with_optimizer=False).model, folder, frozen=model.frozen)
    model.module.requires_grad_(False)
    return model


def open_net(prepared: PreparedChat, placement: Placement) -> Pretrained:
    """The model that training begins with, on the placement's device: see `clew.objectives.chat`."""
    recipe, named = prepared.recipe, prepared.model
    model = open_pretrained(
        str(named.checkpoint or named.name),
        revision=None if named.checkpoint else recipe.model.revision or None,
        lora=recipe.lora if recipe.lora.rank else None,
        seed=recipe.seed,
        added_tokens=named.template.specials,
        device=placement.device,
    )
    if files.sha256_of(str(model.chat.tokenizer.to_str(pretty=True))) != files.sha256_of(named.tokenizer):
        raise EvidenceError(f"The tokenizer of {named.name} changed while the run was being prepared. Start again.")
    return model


def _from_checkpoint(folder: Path, name: str) -> tuple[nn.Module, ChatTokenizer, Place, str]:
    """A checkpoint as what further training begins with: adapters merged."""
    held = open_checkpoint(folder)
    weights = read_state(folder)["sha256"][MODEL]
    return held.merged(), held.chat, Place(name, folder, None), files.sha256_of(f"{held.sha256}+{weights}")


def _from_folder(name: str, revision: str | None) -> tuple[nn.Module, ChatTokenizer, Place, str, bool]:
    """The network of a folder or an id, adapters merged; and whether it was plain, without adapters."""
    place = find_model(name, revision=revision)
    if not place.is_adapter:
        check_model(place)
        module, chat = _load(place), open_chat_tokenizer(place, fallback=place)
        _check_fits(module, chat, place)
        return module, chat, place, place.sha256(), True
    named, base_revision = base_of(place)
    base = find_model(named, revision=base_revision)
    check_model(base)
    module, chat = _load(base), open_chat_tokenizer(place, fallback=base)
    _check_fits(module, chat, base)
    return merged(read_adapters(module, place)), chat, place, f"{base.sha256()}+{place.sha256()}", False


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
    positions = torch.tensor([[*range(first), *range(length - first)]], device=device)
    config = _config_of(module)
    ways: list[Packing] = ["positions"]
    if not (getattr(config, "sliding_window", None) or getattr(config, "layer_types", None)):
        ways.append("mask")  # a mask that is given would take the place of the model's own windows
    for way in ways:
        with contextlib.suppress(TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            found = run(tokens[:, :length], **_packed(documents, positions, way))
            if found.shape == expected.shape and float((found - expected).abs().max()) <= scale:
                return way
    return "separate"


def _packed(documents: Tensor, positions: Tensor, packing: Packing) -> dict[str, Tensor]:
    """What a model is given to keep the documents of a row apart."""
    if packing == "positions":
        return {"position_ids": positions}
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return {"position_ids": positions, "attention_mask": same.tril().unsqueeze(1)}


@contextlib.contextmanager
def _output_layer_on(module: nn.Module, chosen: Tensor | None) -> Iterator[None]:
    """Have the output layer compute the `chosen` positions alone: what a vocabulary of 100,000 costs most of."""
    if chosen is None:
        yield
        return
    layer = _output_layer(module)
    handle = layer.register_forward_pre_hook(lambda _, given: (given[0].flatten(0, 1)[chosen].unsqueeze(0), *given[1:]))
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
