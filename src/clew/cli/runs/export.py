"""`clew export`: a checkpoint as a verified ONNX bundle, or as a folder for Hugging Face."""

from __future__ import annotations

import time
from pathlib import Path

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE


class ExportOptions(Options):
    """Export a checkpoint: verified against torch before it is published, and whole or not at all."""

    checkpoint: Positional[str | None] = None
    """A run's name or folder, or a checkpoint folder; by default the newest run."""
    out: Positional[Path | None] = None
    """Folder to write, which must not exist; by default export/NAME-YYYY-MM-DD-HH-MM-SS."""
    format: str = "onnx"
    """onnx: model.onnx, bundle.json and what else hosts of the family read. huggingface (GPTs and Hugging Face models):
    a folder for transformers, adapters merged. adapter: a folder for peft."""
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
    from clew.export import export
    from clew.export.source import verdict

    begun = time.monotonic()
    folder, manifest = export(
        options.checkpoint, options.out, format=options.format, which=options.which, runs_dir=options.runs_dir
    )
    if options.as_json:
        print_json({"folder": str(folder), **manifest})
    else:
        step = manifest["checkpoint"]["step"]
        said = verdict(manifest["parity"])
        print(f"{folder}: step {step} of {manifest['name']}, {time.monotonic() - begun:.1f} s; {said}.")
    return EXIT_DONE
