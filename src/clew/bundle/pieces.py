"""The bytes that each token of a `tokenizer.json` stands for.

A decoder turns tokens into text, and loses what is no whole character; where a line ends is a question about bytes.
"""

from __future__ import annotations

import functools
import re

from tokenizers import Tokenizer

_HEXADECIMAL_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable character for each byte (the `ByteLevel` of tokenizers), as character -> byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return alphabet | {chr(256 + index): byte for index, byte in enumerate(others)}


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> list[bytes]:
    """The bytes of each id below `vocab_size`; none for an id that the tokenizer does not know.

    A token is read in the byte-level alphabet where the whole vocabulary is written in it, as `<0x0A>` where it is
    written so, and as its UTF-8 otherwise (added tokens always).
    """
    tokens = [tokenizer.id_to_token(index) for index in range(vocab_size)]
    added = set(tokenizer.get_added_tokens_decoder())
    alphabet = byte_alphabet()
    plain = [token for index, token in enumerate(tokens) if token is not None and index not in added]
    byte_level = all(character in alphabet for token in plain for character in token)
    pieces = []
    for index, token in enumerate(tokens):
        if token is None:
            pieces.append(b"")
        elif index not in added and byte_level:
            pieces.append(bytes(alphabet[character] for character in token))
        elif (match := _HEXADECIMAL_BYTE.fullmatch(token)) is not None:
            pieces.append(bytes([int(match[1], 16)]))
        else:
            pieces.append(token.encode("utf-8"))
    return pieces
