"""A chat model as what ships: our GPT as a verified bundle with its template, others as a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clew.bundle.chat import TEMPLATE_FILE, read_template
from clew.core import files
from clew.core.errors import CheckpointError, UsageError
from clew.core.named import named
from clew.export.publish import FORMATS, publish_onnx
from clew.export.source import Source, find_source
from clew.recipes.chat import ChatRecipe
from clew.runs.folder import Run
from clew.traces.named_models import FOREIGN, OURS

FAMILY = "chat"
"""Family of the hosts, in a manifest."""
FINAL = "checkpoint-final"
FOREIGN_EXPORTER = "clew.export.pretrained:export_pretrained"
"""`export_pretrained(source, folder, format) -> manifest` for models of other libraries."""
FOREIGN_FORMAT = "clew.export.pretrained:final_format"
"""`final_format(source, merge) -> format` in which such a model is written at the end of its training."""
Say = Callable[[str], None]


def export_chat(source: Source, folder: Path, format: str = "onnx") -> dict[str, Any]:
    """Write the chat model of `source` to the new `folder`: see `clew.export.source.Exporter`."""
    if source.family == FOREIGN:
        manifest: dict[str, Any] = named(FOREIGN_EXPORTER)(source, folder, format)
        return manifest
    if source.family != OURS:
        raise CheckpointError(f"{source.checkpoint} holds a model of '{source.family}', which is no chat model.")
    if format == "onnx":
        template = _template(source)
        chat = {
            "template": TEMPLATE_FILE,
            "end_of_turn": template.end_of_turn,
            "special_tokens": list(template.specials),
            "system_instruction": str((source.recipe or {}).get("system_instruction", "")),
        }
        texts = {TEMPLATE_FILE: template.source}
        return publish_onnx(source, folder, family=FAMILY, texts=texts, config={"chat": chat}, about={"chat": chat})
    if format == "huggingface":
        from clew.export.huggingface import publish_huggingface

        return publish_huggingface(source, folder, template=_template(source))
    raise UsageError(f"A chat model is exported as {' or '.join(FORMATS)}, not as '{format}'.")


def _template(source: Source) -> Any:
    places = [source.checkpoint, *([source.run.folder] if source.run else [])]
    path = next((place / TEMPLATE_FILE for place in places if files.is_file(place / TEMPLATE_FILE)), None)
    if path is None:
        raise CheckpointError(f"There is no {TEMPLATE_FILE} in {' or '.join(map(str, places))}: copy it there.")
    return read_template(path)


def _final_format(source: Source, recipe: ChatRecipe) -> str:
    """How the trained model is written: a bundle where it is ours, a Hugging Face folder else, adapters as asked."""
    if source.family == OURS:
        return "onnx"
    chosen: str = named(FOREIGN_FORMAT)(source, merge=recipe.lora.merge)
    return chosen


def begin(run: Run, recipe: ChatRecipe, say: Say) -> None:
    """Before the first step: the questions of the recipe's eval set, answered by what training begins with."""


def finish(run: Run, recipe: ChatRecipe, say: Say) -> None:
    """After the last step: the export of the newest weights."""
    final = run.folder / FINAL
    if not files.is_folder(final):
        source = find_source(str(run.folder), which="latest")
        export_chat(source, final, _final_format(source, recipe))
        say(f"model {final}")
