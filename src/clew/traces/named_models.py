"""What the name of a model means, as far as it is told without torch: where it lies, its tokenizer, its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tokenizers

from clew.bundle.chat import TEMPLATE_FILE, TEMPLATES, ChatTemplate, find_template, read_template
from clew.bundle.names import MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE
from clew.bundle.tokenizer import open_tokenizer, read_text
from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.core.named import named
from clew.proofs.tokenizers import turns_tokenizer
from clew.runs.checkpoints import STATE, find_checkpoint, read_state
from clew.runs.folder import MANIFEST

BASE = "base"
OURS, FOREIGN = "gpt", "pretrained"
"""Kinds of models: a GPT of ours (`base` among them), and those of other libraries."""
FOREIGN_MODELS = "clew.models.pretrained_names:name_model"
"""`name_model(name, template, add_tokens=False, revision="") -> NamedModel` for what is none of ours: a Hugging Face
folder or id, an adapter."""


@dataclass(frozen=True)
class NamedModel:
    """A model that a name was given for."""

    name: str
    kind: str
    """The family that checkpoints of it are of: "gpt", or "pretrained"."""
    tokenizer: str
    """Text of its tokenizer.json."""
    template: ChatTemplate
    checkpoint: Path | None = None
    """Folder of its checkpoint; None: it has none (`base` before it is made, a bundle on its own, a foreign model)."""
    bundle: Path | None = None
    """Its folder, where it is a bundle."""
    context_length: int | None = None
    """Tokens that it reads at most; None: as many as it is trained on."""
    origin: Mapping[str, Any] | None = None
    """Where a model of another library comes from: its name, revision and hash."""

    def open_tokenizer(self) -> tokenizers.Tokenizer:
        """Its tokenizer, checked against its template. Raises `UsageError` where a marker is no token of it."""
        opened = open_tokenizer(self.tokenizer, f"the tokenizer of {self.name}", known=self.kind == OURS)
        self.template.check(opened)
        return opened


def name_model(name: str, template: str = "auto", *, add_tokens: bool = False, revision: str = "") -> NamedModel:
    """The model that `name` means: base, a run, a checkpoint or a bundle of ours, or whatever else a library opens.

    `template`: a built-in template, the path of one, or "auto": the model's own. `add_tokens`: a tokenizer of another
    library gets those markers of the template that it lacks. `revision`: of an id. Raises `ClewError`.
    """
    if name == BASE:
        return NamedModel(name, OURS, _turns(), find_template("turns" if template == "auto" else template))
    folder = Path(name)
    if files.is_file(folder / MANIFEST):
        which = "best" if (folder / "checkpoints" / "best.json").is_file() else "latest"
        return _of_checkpoint(name, find_checkpoint(folder / "checkpoints", which), template)
    if files.is_file(folder / STATE):
        return _of_checkpoint(name, folder, template)
    if files.is_file(folder / MANIFEST_FILE) and files.is_file(folder / MODEL_FILE):
        return _ours(name, [folder], template, bundle=folder)
    found: NamedModel = named(FOREIGN_MODELS)(name, template, add_tokens=add_tokens, revision=revision)
    return found


def _of_checkpoint(name: str, checkpoint: Path, template: str) -> NamedModel:
    described = read_state(checkpoint).get("model")
    kind = described.get("family", OURS) if isinstance(described, Mapping) else OURS
    if kind == OURS:
        return _ours(name, [checkpoint, checkpoint.parent.parent], template, checkpoint=checkpoint)
    if kind != FOREIGN:
        raise UsageError(f"{name} holds a model of the family '{str(kind)[:40]}', which answers no questions.")
    found: NamedModel = named(FOREIGN_MODELS)(str(checkpoint), template)
    return found


def _ours(
    name: str, places: Sequence[Path], template: str, *, checkpoint: Path | None = None, bundle: Path | None = None
) -> NamedModel:
    def beside(file: str) -> Path | None:
        return next((place / file for place in places if files.is_file(place / file)), None)

    path = beside(TOKENIZER_FILE)
    if path is None:
        raise ClewError(f"{name} has no {TOKENIZER_FILE}: copy the one that the model was trained with there.")
    if template != "auto":
        found = find_template(template)
    elif own := beside(TEMPLATE_FILE):
        found = read_template(own)
    else:
        found = find_template("turns")
    context = None
    if checkpoint is not None:
        size = read_state(checkpoint).get("model", {}).get("context_length")
        context = size if isinstance(size, int) else None
    if bundle is not None:
        config = files.read_json(bundle / "config.json", what="the config of a bundle")
        size = config.get("context_length") if isinstance(config, dict) else None
        context = size if isinstance(size, int) else None
    return NamedModel(name, OURS, read_text(path), found, checkpoint, bundle, context)


@lru_cache(maxsize=1)
def _turns() -> str:
    return turns_tokenizer(TEMPLATES["turns"][1]).text
