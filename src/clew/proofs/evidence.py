"""A corpus of proof files as evidence: read, split by theorem, with the tokenizer that a run keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.core.evidence import Evidence
from clew.proofs.corpus import Corpus, Split, read_corpus, split_by_theorem
from clew.proofs.tokenizers import ByteTokenizer, Tokenizer, load_tokenizer, train_bpe, turns_tokenizer
from clew.recipes.next_token import NextTokenRecipe

TOKENIZER = "tokenizer.json"


def prepare(recipe: NextTokenRecipe) -> PreparedProofs:
    """Read the corpus and split it by theorem. Raises `EvidenceError` naming file and line of what is wrong."""
    corpus = read_corpus(Path(recipe.data.data_dir))
    return PreparedProofs(recipe, corpus, split_by_theorem(corpus, recipe.data.validation_fraction, recipe.seed))


@dataclass(frozen=True)
class PreparedProofs:
    """A corpus that was read and split."""

    recipe: NextTokenRecipe
    corpus: Corpus
    split: Split

    @property
    def evidence(self) -> Evidence:
        """Kind, place and fingerprint of the corpus."""
        return Evidence(kind="proof files", path=str(self.corpus.folder), sha256=self.corpus.fingerprint)

    def describe(self) -> list[str]:
        """What was read, what was left alone, how it was split, what leaks."""
        lines = [
            f"{len(self.corpus):,} proof files, {self.corpus.total_bytes:,} bytes: {len(self.split.train):,} to train "
            f"on, {len(self.split.validation):,} held out by enclosing theorem",
            *self.split.leakage.describe(),
        ]
        notice = self.corpus.stray_notice()
        return [*lines, notice] if notice else lines

    def texts(self, indices: Sequence[int]) -> list[str]:
        """The proof files of these indices."""
        return [self.corpus.texts[index] for index in indices]

    def keep(self, folder: Path) -> None:
        """Make the tokenizer, from the training split alone, and save it as the run's tokenizer.json."""
        choice = self.recipe.data.tokenizer
        if choice == "bytes":
            tokenizer: Tokenizer = ByteTokenizer()
        elif choice == "turns":
            tokenizer = turns_tokenizer()
        elif choice == "bpe":
            tokenizer = train_bpe(self.texts(self.split.train), vocab_size=self.recipe.data.vocab_size)
        else:
            tokenizer = load_tokenizer(Path(choice))
        tokenizer.save(folder / TOKENIZER)
