"""`clew tokenizer train`: a BPE from the training split of a corpus, and what it compresses."""

from __future__ import annotations

import functools
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, parse
from clew.cli.main import dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import is_folder


class TrainOptions(Options):
    """Train a byte-level BPE on the training split of a corpus, and print its compression on both parts."""

    data_dir: Path
    """Folder of the proof files (proof_00000.txt, ...)."""
    output: Path
    """The tokenizer.json to write; a tokenizer that is there is replaced, any other file is not."""
    vocab_size: int = pydantic.Field(default=4096, ge=256, le=65_536)
    """Entries of the vocabulary, the 256 bytes among them."""
    style: str | None = None
    """What a token may span; `clew tokenizer styles` lists the styles. Default: the best one measured."""
    validation_fraction: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Share of the files held out, by enclosing theorem. As in training, so that the model's split is the same."""
    seed: int = 42
    """Seed of the split. As in training, so that the model's split is the same."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew tokenizer`."""
    return dispatch(
        {
            "train": (
                "clew.cli.proofs.tokenizer:train",
                "train a BPE: --data-dir DIR --output FILE",
            ),
            "styles": ("clew.cli.proofs.tokenizer:styles", "list what a token may span"),
        },
        arguments,
        program="clew tokenizer",
        about="Tokenizers of proof files, as a plain tokenizer.json.",
    )


def train(arguments: list[str]) -> int:
    """Run `clew tokenizer train`."""
    options = parse(TrainOptions, arguments, program="clew tokenizer train")
    if is_folder(options.output):
        raise UsageError(f"{options.output} is a folder; name the file to write: {options.output / 'tokenizer.json'}.")

    from clew.proofs.tokenizer_training import train_tokenizer

    trained = train_tokenizer(
        options.data_dir,
        options.output,
        vocab_size=options.vocab_size,
        style=options.style,
        validation_fraction=options.validation_fraction,
        seed=options.seed,
        say=functools.partial(print, flush=True),  # what follows may take a minute
    )
    tokenizer, files = trained.tokenizer, len(trained.corpus)
    figures = {
        "output": str(options.output),
        "style": trained.style,
        "vocab_size": tokenizer.vocab_size,
        "vocab_size_wanted": options.vocab_size,
        "bytes_per_token_training": trained.bytes_per_token_training,
        "bytes_per_token_held_out": trained.bytes_per_token_held_out,
        "files_round_tripped": files,
        "sha256": tokenizer.fingerprint,
        "evidence_sha256": trained.corpus.fingerprint,
    }
    print(f"vocabulary {tokenizer.vocab_size:,} of {options.vocab_size:,} wanted, style {trained.style}")
    if tokenizer.vocab_size < options.vocab_size:
        print(
            "THE VOCABULARY WAS NOT REACHED: no two tokens are left that stand together twice within what a token may "
            "span. More proofs or a wider style reach more."
        )
    print(
        f"bytes a token: {trained.bytes_per_token_training:.3f} on the training files, "
        f"{trained.bytes_per_token_held_out:.3f} on the held-out files"
    )
    print(f"all {files:,} files come back exactly; written to {options.output}")
    if options.as_json:
        print_json(figures)
    return EXIT_DONE


def styles(arguments: list[str]) -> int:
    """Run `clew tokenizer styles`."""
    if arguments:
        raise UsageError("`clew tokenizer styles` takes no arguments.")

    from clew.proofs.tokenizers import DEFAULT_STYLE, STYLES

    for name, style in STYLES.items():
        print(f"{name:<12}{style.about}{' (default)' if name == DEFAULT_STYLE else ''}")
    return EXIT_DONE
