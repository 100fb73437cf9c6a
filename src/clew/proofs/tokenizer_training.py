"""A tokenizer from the training split of a corpus, and what it compresses on both parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.core import files
from clew.core.errors import ClewError, EvidenceError
from clew.proofs.corpus import Corpus, Split, read_corpus, split_by_theorem
from clew.proofs.tokenizers import (
    DEFAULT_STYLE,
    TOKENIZER,
    Tokenizer,
    check_round_trips,
    find_style,
    train_bpe,
)


@dataclass(frozen=True)
class TrainedTokenizer:
    """A tokenizer with the corpus and the split that it comes from."""

    tokenizer: Tokenizer
    style: str
    corpus: Corpus
    split: Split
    bytes_per_token_training: float
    bytes_per_token_held_out: float


def train_tokenizer(
    data_dir: Path | str,
    output: Path | str | None = None,
    *,
    vocab_size: int = 4096,
    style: str | None = None,
    validation_fraction: float = 0.1,
    seed: int = 42,
    say: Callable[[str], None] = lambda text: None,
) -> TrainedTokenizer:
    """Train a byte-level BPE on the training split of `data_dir` and, where `output` is named, save it there.

    `validation_fraction` and `seed` are those of the training run, so that its model's split is the same. `say` is
    told what was read and what goes on. Every file of the corpus is encoded and must come back.
    Raises `UsageError` for an unknown style, a vocabulary below 256, or an `output` that is something else than a
    tokenizer; `EvidenceError` for broken files.
    """
    style = style or DEFAULT_STYLE
    find_style(style)  # before the corpus is read, which takes longer
    path = None if output is None else Path(output)
    if path is not None:
        files.check_output(path, TOKENIZER)
    corpus = read_corpus(Path(data_dir))
    split = split_by_theorem(corpus, validation_fraction, seed)
    say(f"{len(corpus):,} proof files: {len(split.train):,} to train on, {len(split.validation):,} held out by theorem")
    for line in (corpus.stray_notice(), *split.leakage.describe()):
        if line:
            say(line)
    training = [corpus.texts[index] for index in split.train]
    tokenizer = train_bpe(training, vocab_size=vocab_size, style=style)
    figures = [_bytes_per_token(tokenizer, corpus, part) for part in (split.train, split.validation)]
    if path is not None:
        tokenizer.save(path)
    return TrainedTokenizer(tokenizer, style, corpus, split, *figures)


def _bytes_per_token(tokenizer: Tokenizer, corpus: Corpus, indices: Sequence[int]) -> float:
    """Bytes of the files over their tokens. Raises `ClewError` for a text that does not come back exactly."""
    texts = [corpus.texts[index] for index in indices]
    encoded = tokenizer.encode_batch(texts)
    try:
        check_round_trips(tokenizer, texts, encoded, [corpus.names[index] for index in indices])
    except EvidenceError as error:
        raise ClewError(f"The tokenizer was not written. {error}") from error
    return sum(len(text.encode("utf-8")) for text in texts) / sum(len(ids) for ids in encoded)
