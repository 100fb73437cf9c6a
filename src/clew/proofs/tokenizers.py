"""Tokenizers of proof files: UTF-8 bytes, and byte-level BPE. Both are saved as a plain `tokenizer.json`.

No tokenizer here has an unknown, padding or any other special token: every id stands for bytes, every string
round-trips, and what pads a batch is the batch's own business (a mask), never an id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from clew.bundle.pieces import byte_alphabet
from clew.bundle.tokenizer import open_tokenizer, panics_as, without_cutting
from clew.core import files
from clew.core.errors import EvidenceError, UsageError, nearest

TOKENIZER = files.json_output("a tokenizer", "model", "pre_tokenizer", "added_tokens")
"""The kind of output that `save` writes, and the only one that it replaces."""

Ids = NDArray[np.integer[Any]]
"""Token ids [tokens]: uint16, or int32 for a vocabulary beyond 65,536."""


@dataclass(frozen=True)
class Style:
    """What a token of a trained BPE may span."""

    about: str
    pattern: str | None
    """Regular expression of the pieces that text is cut into first; no token crosses a cut. None: GPT-2's."""
    max_token_length: int | None = None
    """Longest token, in bytes; None: as long as its piece."""


_LINE = r"[^\n]*\n"
_WORD = r" *[^ \n]+\n?| *\n| +"
_WORD_PAIR = r" *[^ \n]+(?: +[^ \n]+)?\n?| *\n| +"

STYLES: dict[str, Style] = {
    "lines": Style("anything within a line, up to the whole line", _LINE),
    "lines-8": Style("up to 8 bytes of a line", _LINE, 8),
    "lines-12": Style("up to 12 bytes of a line", _LINE, 12),
    "lines-16": Style("up to 16 bytes of a line", _LINE, 16),
    "lines-24": Style("up to 24 bytes of a line", _LINE, 24),
    "word-pairs": Style("two words with the spaces before them", _WORD_PAIR),
    "words": Style("a word with the spaces before it", _WORD),
    "gpt2": Style("letters, digits or signs of one word, as in GPT-2", None),
}
"""Each style but GPT-2's ends a piece with its line feed: so text cut at the start of a line tokenizes as it does
within the whole file, and a host that stops at a token with a line feed stops at the end of a line."""

DEFAULT_STYLE = "lines"

TURN_MARKERS = ("<start_of_turn>", "<end_of_turn>")
"""What turns of a chat begin and end with."""

LONGEST_LINE = 4096
"""Characters of a line that BPE training takes as one; a longer one is cut, since the time for a piece grows with the
square of its length. Encoding has no such limit."""

_PROBES = ("".join(map(chr, range(128))), "  Straße ≥ ∀x\u0301 \U0001f9f6\n\n\t  a", "\ufeff\u2028\u00a0", " ", "\r\n")


class Tokenizer(Protocol):
    """What turns text into token ids and back, without loss."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; they are 0 to `vocab_size` - 1."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the `tokenizer.json` that it was made or loaded as."""

    def encode(self, text: str) -> Ids:
        """Return the ids of `text`, with nothing added."""

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Encode many texts at once, on all cores."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; bytes that are no UTF-8, as of a cut character, become U+FFFD."""

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that one id stands for."""

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`, whole or not at all."""


class ByteTokenizer:
    """UTF-8 bytes: the id is the value of the byte."""

    vocab_size = 256

    def __init__(self) -> None:
        self._json = _byte_level_bpe(byte_alphabet()).to_str(pretty=True)
        self.fingerprint = files.sha256_of(self._json)

    def encode(self, text: str) -> Ids:
        """Return the UTF-8 bytes of `text` as uint16 [bytes]."""
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.uint16)

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Encode each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of these bytes; what is no UTF-8 becomes U+FFFD."""
        return bytes(int(token) for token in ids).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the byte itself."""
        return bytes([token])

    def save(self, path: Path) -> None:
        """Write it as the `tokenizer.json` of a BPE that has 256 byte tokens and no merges."""
        files.write_text(path, self._json, replaces=TOKENIZER)


def turns_tokenizer(markers: Sequence[str] = TURN_MARKERS) -> BPETokenizer:
    """The 256 bytes, and one token more for each marker of a chat's turns."""
    tokenizer = _byte_level_bpe(byte_alphabet())
    tokenizer.add_special_tokens([tokenizers.AddedToken(marker, special=True, normalized=False) for marker in markers])
    return BPETokenizer(tokenizer.to_str(pretty=True), known=True)


class BPETokenizer:
    """Byte-level BPE (Sennrich et al. 2016; on bytes: Radford et al. 2019) in a Hugging Face `tokenizer.json`.

    `content` is the JSON text; it is tried in a process of its own unless it is `known` to be sound. Raises
    `EvidenceError`, naming `where`, for a tokenizer that is not byte-level BPE, changes text, has gaps in its ids, has
    no token for some byte, or draws its merges at random.
    """

    def __init__(self, content: str, where: str | Path = "tokenizer.json", *, known: bool = False) -> None:
        self._json = content
        self._where = where
        self.fingerprint = files.sha256_of(content)
        self._tokenizer = open_tokenizer(content, where, known=known, error=EvidenceError)
        self._bytes = _bytes_of_tokens(self._tokenizer, where)
        self.vocab_size = len(self._bytes)
        self._dtype: np.dtype[Any] = np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.int32)
        if getattr(self._tokenizer.model, "dropout", None):
            raise EvidenceError(
                f"{where} leaves out merges at random (its model has a dropout): one text would have other tokens "
                "each time. Set 'dropout' in it to null."
            )
        # A token that was added may take the spaces beside it with it.
        added = [f"  {token.content}  a" for token in self._tokenizer.get_added_tokens_decoder().values()]
        for probe in (*_PROBES, *added):
            if self.decode(self.encode(probe)) != probe:
                raise EvidenceError(
                    f"{where} does not give back every text that it encodes: it normalizes, adds or drops characters, "
                    f"as in {probe[:40]!r}. Use a byte-level BPE without a normalizer, and without added tokens that "
                    "strip spaces, as `clew tokenizer train` makes it."
                )

    @property
    def text(self) -> str:
        """The `tokenizer.json` that it was made or loaded as."""
        return self._json

    def encode(self, text: str) -> Ids:
        """Return the ids of `text`: uint16 [tokens], or int32 where the vocabulary exceeds 65,536."""
        with panics_as(EvidenceError, self._where):
            return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=self._dtype)

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Encode many texts at once, on all cores."""
        with panics_as(EvidenceError, self._where):
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=self._dtype) for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; what is no UTF-8 becomes U+FFFD."""
        return b"".join(self._bytes[int(token)] for token in ids).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that one id stands for; they may be part of a character."""
        return self._bytes[token]

    def save(self, path: Path) -> None:
        """Write the `tokenizer.json` as it was made or loaded, but for truncation and padding, which are off in it."""
        files.write_text(path, without_cutting(self._json), replaces=TOKENIZER)


def find_style(name: str) -> Style:
    """The style of this name. Raises `UsageError` naming the nearest one that there is."""
    if name not in STYLES:
        raise UsageError(f"There is no style '{name}'.{nearest(name, list(STYLES))} Known: {', '.join(STYLES)}.")
    return STYLES[name]


def train_bpe(texts: Iterable[str], vocab_size: int = 4096, *, style: str = DEFAULT_STYLE) -> BPETokenizer:
    """Train a byte-level BPE on `texts` (the training split alone); `style` is one of `STYLES`.

    The 256 bytes are always in the vocabulary. It stays smaller than `vocab_size` where the texts have no pair left
    that occurs twice. The same texts give the same `tokenizer.json`. Lines beyond `LONGEST_LINE` are learnt in parts.
    Raises `UsageError` for a vocabulary below 256 or an unknown style, `EvidenceError` for no text at all.
    """
    if vocab_size < 256:
        raise UsageError(f"A byte-level vocabulary holds the 256 bytes, so it cannot have {vocab_size} entries.")
    chosen = find_style(style)
    texts = list(texts)
    if not any(texts):
        raise EvidenceError("There is no text to train a tokenizer on.")
    tokenizer = _byte_level_bpe({}, chosen.pattern, like_gpt2=chosen.pattern is None)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=chosen.max_token_length,
    )
    tokenizer.train_from_iterator(_without_long_lines(texts), trainer)
    return BPETokenizer(tokenizer.to_str(pretty=True), known=True)


def _without_long_lines(texts: Iterable[str]) -> Iterator[str]:
    """The texts; those with a line beyond `LONGEST_LINE` in parts, cut before a space where there is one."""
    part = re.compile(
        rf"[^\n]{{0,{LONGEST_LINE - 1}}}\n|[^\n]{{1,{LONGEST_LINE}}}(?<! )(?= )|[^\n]{{1,{LONGEST_LINE}}}"
    )
    for text in texts:
        if any(len(line) >= LONGEST_LINE for line in text.split("\n")):
            yield from part.findall(text)
        else:
            yield text


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`: Clew's own, or any byte-level BPE that changes no text.

    Raises `ClewError` when it cannot be read and `EvidenceError` when it is no such tokenizer.
    """
    with files.sentences_for(path, "read"):
        raw = path.read_bytes()
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{path} is not a tokenizer.json: it is not UTF-8 text.") from error
    byte_tokenizer = ByteTokenizer()
    # The bytes need no search for merges, so they have the faster class.
    return byte_tokenizer if files.sha256_of(raw) == byte_tokenizer.fingerprint else BPETokenizer(content, path)


def check_round_trips(
    tokenizer: Tokenizer, texts: Sequence[str], encoded: Sequence[Iterable[int]], names: Sequence[str]
) -> None:
    """Raise `EvidenceError` for the first of `texts` that its ids in `encoded` do not give back.

    The sentence names the file, of `names`, and the place of the first difference. It costs a small part of encoding.
    """
    for text, ids, name in zip(texts, encoded, names, strict=True):
        back = tokenizer.decode(ids)
        if back == text:
            continue
        pairs = enumerate(zip(text, back, strict=False))
        same = next((place for place, (one, other) in pairs if one != other), min(len(text), len(back)))
        line = text.count("\n", 0, same) + 1
        raise EvidenceError(
            f"{name}:{line}: the tokenizer does not give back this text: after {text[max(0, same - 20) : same]!r} it "
            f"has {back[same : same + 20]!r} where the file has {text[same : same + 20]!r}. Use a byte-level BPE, as "
            "`clew tokenizer train` makes it."
        )


def _byte_level_bpe(
    vocabulary: Mapping[str, int], pattern: str | None = None, *, like_gpt2: bool = False
) -> tokenizers.Tokenizer:
    """A `tokenizers.Tokenizer` of these tokens without merges, which cuts text by `pattern`, by GPT-2's, or not."""
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=dict(vocabulary), merges=[]))
    to_characters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=like_gpt2)
    if pattern is None:
        tokenizer.pre_tokenizer = to_characters
    else:
        cut = pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_characters])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bytes_of_tokens(tokenizer: tokenizers.Tokenizer, where: str | Path) -> list[bytes]:
    """The bytes of each id, in order of the ids. Raises `EvidenceError` for gaps and for tokens that are no bytes."""
    alphabet = byte_alphabet()
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    found: list[bytes] = []
    for expected, (token, identifier) in enumerate(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])):
        if identifier != expected:
            raise EvidenceError(f"{where} has no token with the id {expected}; its ids must run from 0 without a gap.")
        if token not in added and not alphabet.keys() >= set(token):
            raise EvidenceError(
                f"{where} is not a byte-level tokenizer: its token {token!r} stands for no bytes. "
                "Train one with `clew tokenizer train`."
            )
        found.append(token.encode("utf-8") if token in added else bytes(alphabet[character] for character in token))
    if missing := sorted(set(range(256)) - {content[0] for content in found if len(content) == 1}):
        raise EvidenceError(
            f"{where} has no token for the byte 0x{missing[0]:02x} ({len(missing)} of 256 are missing), so it cannot "
            "encode every text. Train one with `clew tokenizer train`."
        )
    return found
