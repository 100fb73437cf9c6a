"""What a token may span: bytes a token on held-out files, and bits per byte at equal training, style by style.

Each style's tokenizer is trained on the training split alone; then the same small GPT is trained for the same number
of steps of the same shape on each, so that the seconds are (nearly) equal, and scored in bits per byte, which counts
every tokenizer in one unit. GPT-2's pre-tokenizer is the peer.

    python benchmarks/tokenizer_styles.py --data-dir DIR [--full]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import emit, figure

from clew import recipes
from clew.proofs.tokenizers import DEFAULT_STYLE, STYLES, train_bpe
from clew.training import launch
from clew.training.launch import prepare


def main() -> None:
    """Measure the styles and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of proof files (default: theorems generated for this run)")
    parser.add_argument("--full", action="store_true", help="all styles and 300 steps, in place of two and 30")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir, vocab_size = options.data_dir, 4096
        if data_dir is None:
            command = [sys.executable, "-m", "clew.cli.main", "proofs", "generate", f"{folder}/proofs"]
            subprocess.run([*command, "--theorems", "2000"], check=True, stdout=sys.stderr)
            data_dir, vocab_size = f"{folder}/proofs/train", 1024
        figures = {}
        for style in STYLES if options.full else ("gpt2", DEFAULT_STYLE):
            figures |= measure(style, data_dir, vocab_size, 300 if options.full else 30, folder, bool(options.data_dir))
    emit("tokenizer_styles", figures)


def measure(
    style: str, data_dir: str, vocab_size: int, steps: int, folder: Path, real: bool
) -> dict[str, dict[str, object]]:
    """Compression and bits per byte of one style; the targets are for the default style on a real corpus."""
    recipe = recipes.load("tactics")
    path = folder / f"{style}.json"
    data = recipe.data.model_copy(update={"data_dir": data_dir, "tokenizer": str(path)})
    sizes = {"d_model": 128, "n_layers": 4, "n_heads": 4, "d_mlp": 352, "dropout": 0.0}
    plan = {"max_steps": steps, "batch_size": 16, "optimizer": "muon", "schedule": "trapezoid", "warmup_steps": 10}
    plan |= {"learning_rate": 2e-3, "compile": "no", "evaluate_every": 10**6}
    recipe = recipe.model_copy(
        update={
            "data": data,
            "model": recipe.model.model_copy(update=sizes),
            "samples": recipe.samples.model_copy(update={"sample_tokens": 0}),
            "training": recipe.training.model_copy(update=plan),
        }
    )
    prepared = prepare(recipe)
    training, held_out = prepared.texts(prepared.split.train), prepared.texts(prepared.split.validation)
    tokenizer = train_bpe(training, vocab_size=vocab_size, style=style)
    tokenizer.save(path)
    compression = sum(len(text.encode()) for text in held_out) / sum(map(len, tokenizer.encode_batch(held_out)))
    run, progress = launch.train(recipe, folder / "runs", say=lambda text: None, shows=False)
    elapsed = json.loads((run.folder / "timing.jsonl").read_text().splitlines()[-1])["elapsed"]
    target = real and style == DEFAULT_STYLE
    print(f"{style}: vocabulary {tokenizer.vocab_size}, {elapsed:.0f} s of training", file=sys.stderr)
    return {
        f"{style}_vocabulary": figure(tokenizer.vocab_size, "entries", target=4096 if target else None),
        f"{style}_bytes_per_token": figure(compression, "bytes", target=4.5 if target else None),
        f"{style}_bits_per_byte": figure(progress.best_score or float("inf"), "bits", better="lower"),
        f"{style}_training_seconds": figure(elapsed, "s", better="lower"),
    }


if __name__ == "__main__":
    main()
