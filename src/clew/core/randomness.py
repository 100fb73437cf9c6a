"""Randomness as a function, not a stream: every draw is keyed by the run's seed, a purpose and a position.

    generator(seed, "shuffle", epoch).permutation(documents)

gives the same permutation whenever it is asked for, whatever was drawn before. So the batch of step N can be
computed without running steps 1 to N-1, and a resumed run is the same run. Nothing reads a global generator.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key(seed: int, *purpose: str | int) -> int:
    """Return 128 bits that depend on `seed` and on each part of `purpose` ("dropout", step, ...) in order."""
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a fresh numpy generator for this seed, purpose and position.

    SFC64: the fastest of numpy's bit generators, and seeded here from 128 hashed bits.
    """
    return np.random.Generator(np.random.SFC64(key(seed, *purpose)))
