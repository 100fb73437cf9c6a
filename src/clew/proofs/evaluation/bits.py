"""Bits per byte: the one figure by which tokenizers and models of different vocabularies can be compared."""

from __future__ import annotations

import math


def code_bits(nats: float, *, files: int, vocab_size: int) -> float:
    """Length in bits of a real code for `files` texts whose tokens after the first cost `nats` together.

    Nothing precedes the first token of a text, so it is charged log2(vocab_size) bits.
    """
    return (nats + files * math.log(vocab_size)) / math.log(2)


def bits_per_byte(nats: float, *, files: int, vocab_size: int, size: int) -> float:
    """`code_bits` for each of the `size` bytes of the texts."""
    return code_bits(nats, files=files, vocab_size=vocab_size) / size
