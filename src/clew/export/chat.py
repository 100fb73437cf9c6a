"""A chat model as what ships: our GPT as a verified bundle with its template, others as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE, ChatTemplate, read_template
from clew.core import files
from clew.core.errors import CheckpointError, UsageError
from clew.core.named import named
from clew.export.publish import FORMATS, publish_onnx
from clew.export.source import Source
from clew.traces.named_models import FOREIGN, OURS

FAMILY = "chat"
"""Family of the hosts, in a manifest."""
FINAL = "checkpoint-final"
RELATIVE = 3e-5
"""Share of the largest logit that ONNX Runtime's may differ by: a fine-tuned model's reach twenty."""
FOREIGN_EXPORTER = "clew.export.pretrained:export_pretrained"
"""`export_pretrained(source, folder, format) -> manifest` for models of other libraries."""


def export_chat(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the chat model of `source` to the new `folder`: see `clew.export.source.Exporter`."""
    if source.family == FOREIGN:
        manifest: dict[str, Any] = named(FOREIGN_EXPORTER)(source, folder, format)
        return manifest
    if source.family != OURS:
        raise CheckpointError(f"{source.checkpoint} holds a model of '{source.family}', which is no chat model.")
    if format == "onnx":
        template = _template(source)
        system = str((source.recipe or {}).get("system_instruction", ""))
        return publish_bundle(source, folder, template, describe_chat(template, system))
    if format == "huggingface":
        from clew.export.huggingface import publish_huggingface

        return publish_huggingface(source, folder, template=_template(source))
    raise UsageError(f"A chat model is exported as {' or '.join(FORMATS)}, not as '{format}'.")


def describe_chat(template: ChatTemplate, system: str) -> dict[str, Any]:
    """What config and manifest of a bundle say of how it is asked."""
    return {
        "template": TEMPLATE_FILE,
        "end_of_turn": template.end_of_turn,
        "special_tokens": list(template.specials),
        "system_instruction": system,
        "generation": {"temperature": 0.0, "stop": template.end_of_turn},
    }


def publish_bundle(source: Source, folder: Path, template: ChatTemplate, chat: dict[str, Any]) -> dict[str, Any]:
    """The bundle of a GPT of ours with its template; `chat`: see `describe_chat`."""
    texts = {TEMPLATE_FILE: template.source}
    return publish_onnx(
        source,
        folder,
        family=FAMILY,
        texts=texts,
        config={"chat": chat},
        about={"chat": chat},
        relative=RELATIVE,
    )


def _template(source: Source) -> ChatTemplate:
    places = [source.checkpoint, *([source.run.folder] if source.run else [])]
    path = next((place / TEMPLATE_FILE for place in places if files.is_file(place / TEMPLATE_FILE)), None)
    if path is None:
        raise CheckpointError(f"There is no {TEMPLATE_FILE} in {' or '.join(map(str, places))}: copy it there.")
    return read_template(path)
