"""`clew tokenizer train`: a BPE from the training split of a corpus, and what it compresses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from clew.cli.flags import Json, Options, parse
from clew.cli.main import dispatch
from clew.core.errors import EXIT_DONE, ClewError, UsageError
from clew.runs.metrics import print_json

if TYPE_CHECKING:
    from clew.proofs.tokenizers import Tokenizer


class TrainOptions(Options):
    """Train a byte-level BPE on the training split of a corpus, and print its compression on both parts."""

    data_dir: Path
    """Folder of the proof files (proof_00000.txt, ...)."""
    output: Path
    """The tokenizer.json to write; one that is there is replaced."""
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
    if options.output.is_dir():
        raise UsageError(f"{options.output} is a folder; name the file to write: {options.output / 'tokenizer.json'}.")

    from clew.proofs.corpus import read_corpus, split_by_theorem
    from clew.proofs.tokenizers import DEFAULT_STYLE, find_style, train_bpe

    style = options.style or DEFAULT_STYLE
    find_style(style)  # before the corpus is read, which takes longer
    corpus = read_corpus(options.data_dir)
    split = split_by_theorem(corpus, options.validation_fraction, options.seed)
    training = [corpus.texts[index] for index in split.train]
    held_out = [corpus.texts[index] for index in split.validation]
    print(f"{len(corpus):,} proof files: {len(training):,} to train on, {len(held_out):,} held out by theorem")
    if notice := corpus.stray_notice():
        print(notice)
    print("\n".join(split.leakage.describe()))

    tokenizer = train_bpe(training, vocab_size=options.vocab_size, style=style)
    figures = {
        "output": str(options.output),
        "style": style,
        "vocab_size": tokenizer.vocab_size,
        "vocab_size_wanted": options.vocab_size,
        "bytes_per_token_training": _bytes_per_token(tokenizer, training, corpus.names, split.train),
        "bytes_per_token_held_out": _bytes_per_token(tokenizer, held_out, corpus.names, split.validation),
        "files_round_tripped": len(corpus),
        "sha256": tokenizer.fingerprint,
        "evidence_sha256": corpus.fingerprint,
    }
    tokenizer.save(options.output)
    print(f"vocabulary {tokenizer.vocab_size:,} of {options.vocab_size:,} wanted, style {style}")
    if tokenizer.vocab_size < options.vocab_size:
        print(
            "THE VOCABULARY WAS NOT REACHED: no two tokens are left that stand together twice within what a token may "
            "span. More proofs or a wider style reach more."
        )
    print(
        f"bytes a token: {figures['bytes_per_token_training']:.3f} on the training files, "
        f"{figures['bytes_per_token_held_out']:.3f} on the held-out files"
    )
    print(f"all {len(corpus):,} files come back exactly; written to {options.output}")
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


def _bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str], names: Sequence[str], indices: Sequence[int]) -> float:
    """Bytes of the texts over their tokens. Raises `ClewError` for a text that does not come back exactly."""
    encoded = tokenizer.encode_batch(texts)
    for text, ids, index in zip(texts, encoded, indices, strict=True):
        if tokenizer.decode(ids) != text:
            raise ClewError(f"The tokenizer does not give back {names[index]} exactly, so it was not written.")
    return sum(len(text.encode("utf-8")) for text in texts) / sum(len(ids) for ids in encoded)
