"""The tokenizer of a Hugging Face model, and the chat template that comes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers

from clew.bundle.chat import ChatTemplate, conversation_of
from clew.bundle.names import TOKENIZER_FILE
from clew.bundle.tokenizer import open_tokenizer, panics_as, read_text
from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.models.pretrained_folder import Place, library

_PROBE = conversation_of("?", answer="!")
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer, its special tokens, and the source of its own chat template where it has one."""

    tokenizer: tokenizers.Tokenizer
    template_source: str | None
    named: dict[str, str]
    """Tokens that templates know by name: bos_token, eos_token."""
    name: str
    folder: Path
    """Where its files lie."""
    transformers: Any = field(repr=False)
    """transformers' own object, which writes the tokenizer's files."""
    added: tuple[int, ...] = ()
    """Ids of the tokens that were added here."""

    @property
    def size(self) -> int:
        """One more than the greatest id."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @property
    def specials(self) -> tuple[str, ...]:
        """The special tokens."""
        known = self.tokenizer.get_added_tokens_decoder()
        return tuple(token.content for _, token in sorted(known.items()) if token.special)

    def own_template(self) -> ChatTemplate:
        """The template that comes with the tokenizer. Raises `UsageError` where there is none or it is none."""
        if self.template_source is None:
            raise UsageError(f"The tokenizer of {self.name} has no chat template of its own: name one with --template.")
        return self.template_from(self.template_source, f"of {self.name}")

    def template_from(self, source: str, name: str, markers: Sequence[str] = ()) -> ChatTemplate:
        """The template of `source`, which may use this tokenizer's special tokens, and those of `markers` whether it
        has them or not. Raises `UsageError`."""
        specials = tuple(dict.fromkeys((*markers, *self.specials)))
        every = ChatTemplate(source, name, specials, self.named)
        # Some tokenizers keep hundreds of special tokens in reserve, and each costs a search of each text.
        used = {span.text for span in every.render(_PROBE) if span.special}
        used |= {token for token in specials if token in source}
        few = [token for token in specials if token in used]
        return ChatTemplate(source, name, few, self.named, end_of_turn=every.end_of_turn)

    def with_tokens(self, tokens: Sequence[str]) -> ChatTokenizer:
        """The same with `tokens` as special tokens behind the others."""
        self.transformers.add_special_tokens({"additional_special_tokens": list(tokens)})
        tokenizer = _copy(self.transformers.backend_tokenizer)
        added = tuple(tokenizer.token_to_id(token) for token in tokens)
        return replace(self, tokenizer=tokenizer, added=added)


def open_chat_tokenizer(place: Place, *, fallback: Place) -> ChatTokenizer:
    """The tokenizer at `place`, or at `fallback` where an adapter has none of its own.

    Raises `EvidenceError` where there is none that the tokenizers library reads.
    """
    if not any(files.is_file(place.folder / name) for name in (TOKENIZER_FILE, "tokenizer_config.json")):
        place = fallback
    transformers = library("transformers", f"The tokenizer of {place.name}")
    path = place.folder / TOKENIZER_FILE
    if files.is_file(path):
        open_tokenizer(read_text(path), path, error=EvidenceError)
    try:
        with panics_as(EvidenceError, place.folder):
            # What is in a tokenizer.json is read as it stands; AutoTokenizer would build another one beside it.
            kind = transformers.PreTrainedTokenizerFast if files.is_file(path) else transformers.AutoTokenizer
            whole = kind.from_pretrained(str(place.folder), trust_remote_code=False, local_files_only=True)
            backend = getattr(whole, "backend_tokenizer", None)
    except EvidenceError:
        raise
    except Exception as error:  # what from_pretrained raises is of many libraries
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise EvidenceError(
            f"{place.folder} has no tokenizer that transformers can read ({reason}). Copy or fetch its "
            f"{TOKENIZER_FILE} and tokenizer_config.json again."
        ) from error
    if backend is None:
        raise EvidenceError(
            f"The tokenizer of {place.name} has no {TOKENIZER_FILE} and cannot be turned into one. Take a model with a "
            "fast tokenizer."
        )
    source = whole.chat_template
    if isinstance(source, dict):
        source = source.get("default")
    named = {name: text for name in _NAMED if isinstance(text := getattr(whole, name, None), str)}
    return ChatTokenizer(
        _copy(backend), source if isinstance(source, str) else None, named, place.name, place.folder, whole
    )


def _copy(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """One that neither cuts nor fills up, and that nobody else changes."""
    tokenizer = tokenizers.Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
