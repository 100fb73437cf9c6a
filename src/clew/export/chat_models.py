"""A chat model opened to be asked, whatever its name means: base, a run, a checkpoint, a bundle, Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clew.bundle.chat import ChatTemplate
from clew.bundle.generate import BATCH_SIZE
from clew.core import files
from clew.core.named import named
from clew.export.chat import FINAL, describe_chat, publish_bundle
from clew.export.source import Source, find_source
from clew.objectives.base_model import CHECKPOINT, alone, base_folder, cache_folder
from clew.runs.checkpoints import MODEL, STATE, read_state
from clew.runs.folder import MANIFEST
from clew.traces.evaluation import BundleModel, ChatModel, open_bundle_model
from clew.traces.named_models import BASE, OURS, NamedModel, name_model

FOREIGN_ANSWERS = "clew.models.pretrained_answers:open_answers"
"""`open_answers(name, template, system) -> ChatModel` for models of other libraries."""


def open_chat_model(
    name: str,
    *,
    template: str = "auto",
    system: str | None = None,
    batch_size: int = BATCH_SIZE,
    threads: int = 1,
    foreign: Mapping[str, Any] | None = None,
) -> ChatModel:
    """Open the model that `name` means, to be asked: see `name_model`. A model of ours answers as a verified bundle,
    which is made of a checkpoint once and kept.

    `template`: "auto" for the model's own. `system`: None for the text that it was trained with. `foreign`: what else a
    model of another library is opened with (`revision`, `add_tokens`, `seed`). Raises `ClewError`.
    """
    settings = dict(foreign or {})
    final = Path(name) / FINAL
    if template == "auto" and files.is_file(Path(name) / MANIFEST) and files.is_folder(final):
        name = str(final)
    meant = name_model(
        name, template, add_tokens=settings.get("add_tokens", False), revision=settings.get("revision", "")
    )
    if meant.kind != OURS:
        answers: ChatModel = named(FOREIGN_ANSWERS)(
            name, template=template, system=system, batch_size=batch_size, **settings
        )
        return answers
    asked = None if template == "auto" else meant.template
    folder = meant.bundle or _kept_bundle(meant)
    model = open_bundle_model(folder, name=name, batch_size=batch_size, threads=threads)
    if asked is None and system is None:
        return model
    return BundleModel(
        model.bundle,
        asked or model.template,
        system=model.system if system is None else system,
        name=name,
        batch_size=batch_size,
    )


def _kept_bundle(meant: NamedModel) -> Path:
    """The bundle of a checkpoint in the cache, made now if it is not there."""
    if meant.name == BASE:
        checkpoint = base_folder() / CHECKPOINT
        source = Source(BASE, checkpoint, read_state(checkpoint))
    else:
        source = find_source(str(meant.checkpoint))
        checkpoint = source.checkpoint
    weights = read_state(checkpoint)["sha256"][MODEL]
    system = str((source.recipe or {}).get("system_instruction", ""))
    made_of = [weights, files.sha256_of_file(checkpoint / STATE), meant.template.source, meant.tokenizer, system]
    folder = cache_folder() / "bundles" / files.sha256_of(files.canonical_json(made_of))[:32]
    with alone(folder.with_suffix(".lock")):
        if not files.is_folder(folder):
            _publish(source, folder, meant.template, system)
    return folder


def _publish(source: Source, folder: Path, template: ChatTemplate, system: str) -> None:
    publish_bundle(source, folder, template, describe_chat(template, system))
