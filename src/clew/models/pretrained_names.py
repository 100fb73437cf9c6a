"""What the name of a Hugging Face model means, before its weights are read: its tokenizer, its template, its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE, TEMPLATES, ChatTemplate, find_template
from clew.bundle.names import MANIFEST_FILE
from clew.core import files
from clew.core.errors import CheckpointError, UsageError
from clew.models.pretrained_folder import Place, base_of, check_model, context_length, find_model
from clew.models.pretrained_tokenizer import ChatTokenizer, open_chat_tokenizer
from clew.recipes.base import read_yaml
from clew.runs.checkpoints import MODEL, STATE, read_state
from clew.runs.folder import RECIPE
from clew.traces.named_models import FOREIGN, NamedModel


@dataclass(frozen=True)
class Described:
    """A model as a checkpoint of ours describes it: see `clew.models.pretrained.Pretrained.describe`."""

    name: str
    revision: str | None
    sha256: str
    added_tokens: tuple[str, ...]
    lora: dict[str, Any] | None
    checkpoint: Path


def described_in(checkpoint: Path) -> Described:
    """What the checkpoint says of its model. Raises `CheckpointError` where that is not whole."""
    held = read_state(checkpoint).get("model")
    values: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    try:
        name, folder = str(values["name"]), values.get("folder")
        if isinstance(folder, str) and not files.is_folder(Path(name)) and files.is_folder(Path(folder)):
            name = folder
        return Described(
            name=name,
            revision=values["revision"],
            sha256=str(values["sha256"]),
            added_tokens=tuple(map(str, values["added_tokens"])),
            lora=values["lora"],
            checkpoint=checkpoint,
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint} does not say which model it was trained from: {error!r}.") from error


def name_model(name: str, template: str = "auto", *, add_tokens: bool = False, revision: str = "") -> NamedModel:
    """The Hugging Face model that `name` means: a folder, an id, a folder of adapters, a checkpoint of ours.

    `template`: "auto" for the tokenizer's own, or `turns` where it has none; a built-in one; the path of one.
    `add_tokens`: the tokenizer gets those markers of the template that it lacks. `revision`: of an id. Raises
    `ClewError`.
    """
    folder = Path(name)
    if files.is_file(folder / STATE):
        described = described_in(folder)
        origin = {"name": name, "revision": None, "sha256": read_state(folder)["sha256"][MODEL]}
        added = described.added_tokens
        while files.is_file(Path(described.name) / STATE):  # a run that went on from another's checkpoint
            described = described_in(Path(described.name))
            added = (*described.added_tokens, *added)
        place = find_model(described.name, revision=described.revision)
        known = name_at(place, template if template != "auto" else _template_of_run(folder), added)
        return NamedModel(name, FOREIGN, known.text, known.template, folder, None, known.context_length, origin)
    place = find_model(name, revision=revision or None)
    known = name_at(place, template, None if add_tokens else ())
    origin = {"name": name, "revision": place.revision, "sha256": place.sha256()}
    return NamedModel(name, FOREIGN, known.text, known.template, None, None, known.context_length, origin)


@dataclass(frozen=True)
class Known:
    """What is known of a model without its weights."""

    chat: ChatTokenizer
    template: ChatTemplate
    context_length: int | None

    @property
    def text(self) -> str:
        """The tokenizer as a tokenizer.json."""
        return str(self.chat.tokenizer.to_str(pretty=True))


def name_at(place: Place, template: str, added: tuple[str, ...] | None = ()) -> Known:
    """Tokenizer, template and sizes of the model at `place`. `added`: tokens that the tokenizer gets; None: those
    that the template needs."""
    base = place
    if place.is_adapter:
        named, revision = base_of(place)
        base = find_model(named, revision=revision)
    config = check_model(base)
    chat = open_chat_tokenizer(place, fallback=base)
    found = choose_template(chat, template)
    if added is None:
        added = tuple(marker for marker in found.specials if chat.tokenizer.token_to_id(marker) is None)
    if added:
        chat = chat.with_tokens([token for token in added if chat.tokenizer.token_to_id(token) is None])
    lacking = [marker for marker in found.specials if chat.tokenizer.token_to_id(marker) is None]
    if lacking:
        own = "" if chat.template_source is None else ", take the tokenizer's own template (--template auto)"
        raise UsageError(
            f"The tokenizer of {place.name} has no token {lacking[0]}, which the chat template {found.name} marks "
            f"turns with. Have such tokens added, with rows in the embedding that are learned (--add-tokens){own}, or "
            "name the path of a template that uses tokens that it has."
        )
    return Known(chat, found, context_length(config))


def choose_template(chat: ChatTokenizer, template: str) -> ChatTemplate:
    """The template of this name for a tokenizer: its own ("auto", where it has one), built in, or in a file."""
    if template == "auto":
        return find_template("turns") if chat.template_source is None else chat.own_template()
    if template in TEMPLATES:
        return find_template(template)
    read = find_template(template)
    return chat.template_from(read.source, template, read.specials)


def system_of(folder: Path) -> str:
    """The system text that the model was trained with: in the folder of an export, or a checkpoint in its run."""
    beside = folder.absolute().parent.parent / RECIPE
    if files.is_file(folder / STATE) and files.is_file(beside):
        return str(read_yaml(beside).get("system_instruction", ""))
    if not files.is_file(folder / MANIFEST_FILE):
        return ""
    manifest = files.read_json(folder / MANIFEST_FILE, what="the manifest of an export")
    chat = manifest.get("chat") if isinstance(manifest, dict) else None
    return str(chat.get("system_instruction", "")) if isinstance(chat, dict) else ""


def _template_of_run(checkpoint: Path) -> str:
    """The template that the run of a checkpoint keeps, as the path of a file; "auto" where there is none."""
    kept = [place / TEMPLATE_FILE for place in (checkpoint, checkpoint.absolute().parent.parent)]
    return next((str(path) for path in kept if files.is_file(path)), "auto")
