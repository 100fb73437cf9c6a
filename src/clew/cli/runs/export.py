"""`clew export`: a checkpoint as a verified ONNX bundle, or as a folder for Hugging Face."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from clew.cli.flags import Json, Options, Positional, parse
from clew.core.errors import EXIT_DONE
from clew.runs.metrics import print_json


class ExportOptions(Options):
    """Export a checkpoint: verified against torch before it is published, and whole or not at all."""

    checkpoint: Positional[str | None] = None
    """A run's name or folder, or a checkpoint folder; by default the newest run."""
    out: Positional[Path | None] = None
    """Folder to write, which must not exist; by default export/NAME-YYYY-MM-DD-HH-MM-SS."""
    format: Literal["onnx", "huggingface"] = "onnx"
    """onnx: model.onnx, tokenizer.json, config.json, bundle.json. huggingface: a LlamaForCausalLM."""
    which: str = "best"
    """Which checkpoint of a run: best, latest, or its step."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew export`."""
    options = parse(ExportOptions, arguments, program="clew export")
    # Torch takes a second to import, so a wrong flag is told before.
    from clew.export.publish import default_folder, publish_onnx
    from clew.export.source import find_source

    begun = time.monotonic()
    source = find_source(options.checkpoint, runs_dir=options.runs_dir, which=options.which)
    folder = options.out or default_folder(source.name)
    if options.format == "huggingface":
        from clew.export.huggingface import publish_huggingface

        manifest = publish_huggingface(source, folder)
        difference = manifest["parity"]["transformers_max_abs_logits_difference"]
        verdict = f"transformers gives the same logits within {difference:.1e}"
    else:
        manifest = publish_onnx(source, folder)
        ways = manifest["parity"]["ways"].values()
        difference = max(way["max_abs_logits_difference"] for way in ways)
        verdict = (
            f"ONNX Runtime gives the same logits within {difference:.1e} and the same "
            f"{manifest['parity']['greedy_tokens']} greedy tokens, {len(ways)} ways of starting"
        )
    if options.as_json:
        print_json({"folder": str(folder), **manifest})
    else:
        step = manifest["checkpoint"]["step"]
        print(f"{folder}: step {step} of {manifest['name']}, {time.monotonic() - begun:.1f} s; {verdict}.")
    return EXIT_DONE
