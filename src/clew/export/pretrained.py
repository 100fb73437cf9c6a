"""A fine-tuned Hugging Face model as a folder that transformers opens: whole, or its adapters apart for peft."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from clew.bundle.chat import TEMPLATE_FILE, ChatTemplate
from clew.bundle.names import MANIFEST_FILE
from clew.core import files
from clew.core.errors import BundleError, ClewError, UsageError
from clew.core.randomness import generator
from clew.export.parity import TOLERANCE
from clew.export.source import Source, manifest_json
from clew.models.lora import ADAPTER
from clew.models.pretrained import Pretrained, open_checkpoint
from clew.models.pretrained_folder import TOKENIZER_FILES, find_model, library
from clew.models.pretrained_names import described_in, name_model
from clew.runs.checkpoints import STATE

FAMILY = "chat"
"""Family of the hosts, in a manifest."""
WHOLE, APART = "huggingface", "adapter"
FORMATS = (WHOLE, APART)


def export_pretrained(source: Source, folder: Path, format: str = WHOLE) -> dict[str, Any]:
    """Write the model of `source` to the new `folder`: "huggingface" (whole, adapters merged) or "adapter" (a folder of
    peft's); return its manifest.

    transformers (and peft) must open it to the logits that torch gives, before the folder gets its name. Raises
    `UsageError` for another format, `BundleError` with the figure where the logits differ; see
    `clew.export.source.Exporter`.
    """
    if format not in FORMATS:
        raise UsageError(
            f"A Hugging Face model is exported as {' or '.join(FORMATS)}, not as '{format}': give --format {WHOLE}."
        )
    model = open_checkpoint(source.checkpoint)
    if format == APART:
        _check_has_adapters(model, source)
    template = name_model(str(source.checkpoint)).template
    tokens = _tokens(model)
    with torch.inference_mode():
        expected = model.logits(tokens)
    with files.whole_folder(folder) as temporary:
        if format == APART:
            _save_adapters(model, temporary)
        else:
            _save_whole(model, template, temporary)
        _save_tokenizer(model, template, temporary)
        figures = _compare(expected, _reopened(model, temporary, format), tokens)
        chat = {
            "template": TEMPLATE_FILE,
            "end_of_turn": template.end_of_turn,
            "system_instruction": str((source.recipe or {}).get("system_instruction", "")),
        }
        manifest = manifest_json(source, temporary, family=FAMILY) | {
            "layout": format,
            "chat": chat,
            "trained_from": {"name": model.place.name, "revision": model.place.revision, "sha256": model.sha256},
            "parity": figures,
        }
        files.write_json(temporary / MANIFEST_FILE, manifest)
    return manifest


def final_format(source: Source, *, merge: bool) -> str:
    """How a model is written at the end of its training: adapters apart, unless they are to be merged or there are
    none, or what they were trained over is nothing that others can open."""
    described = described_in(source.checkpoint)
    apart = described.lora is not None and not merge and not files.is_file(Path(described.name) / STATE)
    return APART if apart and not find_model(described.name, revision=described.revision).is_adapter else WHOLE


def _check_has_adapters(model: Pretrained, source: Source) -> None:
    if model.lora is None:
        raise UsageError(
            f"{source.checkpoint} was trained whole and has no adapters to write apart: give --format {WHOLE}."
        )
    if not model.plain:
        raise UsageError(
            f"The adapters of {source.checkpoint} were trained over {model.place.name}, which is no folder that others "
            f"can open. Write the model whole: --format {WHOLE}."
        )


def _tokens(model: Pretrained) -> Tensor:
    length = min(model.context_length, 128)
    return torch.from_numpy(generator(0, "parity").integers(0, model.chat.size, (2, length)))


def _save_whole(model: Pretrained, template: ChatTemplate, folder: Path) -> None:
    network: Any = model.merged()
    transformers = library("transformers", "An export for Hugging Face")
    end = model.chat.tokenizer.token_to_id(template.end_of_turn)
    named = {
        name: model.chat.tokenizer.token_to_id(text)
        for name, text in model.chat.named.items()
        if name in ("bos_token", "pad_token")
    }
    network.generation_config = transformers.GenerationConfig(
        eos_token_id=end, **{f"{name}_id": number for name, number in named.items() if number is not None}
    )
    with _said_by_the_system():
        network.save_pretrained(folder)


def _save_adapters(model: Pretrained, folder: Path) -> None:
    network: Any = model.module
    settings = network.peft_config[ADAPTER]
    place = model.place
    settings.base_model_name_or_path = place.name if place.revision else files.printable(place.folder.absolute())
    settings.revision = place.revision
    with _said_by_the_system():
        # "auto" would ask the hub whether the vocabulary has grown.
        network.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    held = json.loads(path.read_text())
    if isinstance(held.get("target_modules"), list):
        held["target_modules"].sort()  # peft keeps them in a set, whose order is another in each process
    files.write_json(path, held)


def _save_tokenizer(model: Pretrained, template: ChatTemplate, folder: Path) -> None:
    """The tokenizer's files as they came, but for the template and tokens that were added."""
    if model.added_tokens:
        model.chat.transformers.save_pretrained(folder)
    else:
        for name in TOKENIZER_FILES:
            if files.is_file(model.chat.folder / name):
                shutil.copyfile(model.chat.folder / name, folder / name)
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        held = files.read_json(settings, what="the config of a tokenizer")
        held.pop("chat_template", None)
        files.write_json(settings, held)
    files.write_text(folder / TEMPLATE_FILE, template.source)


def _reopened(model: Pretrained, folder: Path, format: str) -> nn.Module:
    """What transformers, and peft, make of the folder that was written."""
    transformers = library("transformers", "An export for Hugging Face")
    settings = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
    if format == APART:
        peft = library("peft", "An export of adapters")
        base = transformers.AutoModelForCausalLM.from_pretrained(str(model.place.folder), **settings)
        apart: nn.Module = peft.PeftModel.from_pretrained(base, str(folder))
        return apart.eval()
    network, said = transformers.AutoModelForCausalLM.from_pretrained(str(folder), output_loading_info=True, **settings)
    if unmatched := [*said["missing_keys"], *said["unexpected_keys"]]:
        raise BundleError(f"transformers does not find its weights in {folder}: {sorted(unmatched)[0]}.")
    whole: nn.Module = network
    return whole.eval()


def _compare(expected: Tensor, reopened: nn.Module, tokens: Tensor) -> dict[str, float]:
    """The figures of the comparison. Raises `BundleError` where the logits differ."""
    with torch.inference_mode():
        found = reopened(input_ids=tokens).logits.flatten(0, 1)
    difference = float((found - expected).abs().max())
    scale = max(1.0, float(expected.abs().max()))
    if not difference <= TOLERANCE * scale:
        raise BundleError(
            f"transformers gives logits that differ by {difference:.3g} from torch's (at most {TOLERANCE * scale:.3g} "
            "is allowed), so nothing was published."
        )
    return {"tolerance": TOLERANCE * scale, "transformers_max_abs_logits_difference": difference}


@contextlib.contextmanager
def _said_by_the_system() -> Iterator[None]:
    """Turn what safetensors words in its own way (a full disk) into the system's refusal."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise ClewError(f"The weights could not be written: {error}.") from error
        raise OSError(int(number[1]), errno.errorcode.get(int(number[1]), "?")) from error
