"""How well a bundle knows proof files that it never saw: bits per byte, and next lines found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clew.bundle.decode import LineSession
from clew.bundle.load import Bundle
from clew.bundle.sampling import Sampling, log_normaliser
from clew.core.errors import BundleError, EvidenceError
from clew.core.intervals import Share, share
from clew.core.randomness import key
from clew.proofs.evaluation.bits import code_bits
from clew.proofs.files import Proof, prompt_of

BATCH_TOKENS = 2048
"""Tokens of a batch, padding among them; beyond this a CPU gains nothing."""
KS = (1, 8)
"""Numbers of sampled lines for which next lines are reported."""

Tick = Callable[[], None]


@dataclass(frozen=True)
class BitsPerByte:
    """Length of the files under the model as a code."""

    value: float
    bits: float
    bytes: int
    tokens: int
    files: int


@dataclass(frozen=True)
class NextLines:
    """For how many goals one of k sampled first lines stands in the true proof."""

    found: dict[int, Share]
    """k -> share of the goals."""
    goals: int
    without_proof: int
    """Goals whose true proof has no line; they are not counted."""


@dataclass(frozen=True)
class _Window:
    """Tokens that are fed together, and how many of the predictions at its end count."""

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    """The token after each; the last `scored` of them count."""
    scored: int


def bits_per_byte(bundle: Bundle, texts: Sequence[str], *, tick: Tick = lambda: None) -> BitsPerByte:
    """Bits that the model needs for each byte of `texts`; every byte counts once.

    A text longer than the context is read in windows that overlap by half, so each token has at least half a context
    of history where the text has it. The first token of a text costs log2(vocab_size) bits: nothing precedes it.
    `tick` is called once a text's worth of work.
    """
    size = sum(len(text.encode()) for text in texts)
    if size == 0:
        raise EvidenceError("There is no text to measure bits per byte on.")
    encoded = [bundle.encode(text) for text in texts]
    windows = [window for tokens in encoded for window in _windows(tokens, bundle.config.context_length)]
    nats, done = 0.0, 0.0
    for batch in _batches(windows):
        nats += _nats(bundle, batch)
        done += len(batch) * len(texts) / len(windows)
        while done >= 1:
            tick()
            done -= 1
    if not math.isfinite(nats):
        raise BundleError(
            f"{bundle.folder} gives a token of the files the probability 0, so no code of finite length exists for "
            "them: its graph rules tokens out. Evaluate a bundle without such a mask."
        )
    bits = code_bits(nats, files=sum(bool(tokens) for tokens in encoded), vocab_size=bundle.config.vocab_size)
    return BitsPerByte(bits / size, bits, size, sum(map(len, encoded)), len(texts))


def next_lines(
    bundle: Bundle, proofs: Sequence[tuple[str, Proof]], sampling: Sampling, *, tick: Tick = lambda: None
) -> NextLines:
    """Sample lines for each (name, proof) and look for them in its steps, letter for letter.

    The lines of a goal depend on the seed and the name alone, and those of a smaller k are the first of a larger one.
    """
    hits = dict.fromkeys(KS, 0)
    goals = 0
    for name, proof in proofs:
        if proof.steps:
            goals += 1
            keyed = replace(sampling, seed=key(sampling.seed, "next line", name))
            lines = LineSession(bundle, prompt_of(proof), keyed).propose(max(KS))
            stands = [line.finished and line.text in proof.steps for line in lines]
            for k in KS:
                hits[k] += any(stands[:k])
        tick()
    return NextLines({k: share(hits[k], goals) for k in KS}, goals, len(proofs) - goals)


def _windows(tokens: list[int], context_length: int) -> Iterable[_Window]:
    """Cut a text so that every token but the first is a counted target once."""
    ids = np.array(tokens, np.int64)
    last = len(ids) - 1  # targets are 1 .. last
    start, counted = 0, 0
    while counted < last:
        end = min(start + context_length, last)
        yield _Window(ids[start:end], ids[start + 1 : end + 1], end - counted)
        counted = end
        # The next target has half a context before it.
        start = max(start + 1, end - context_length // 2)


def _batches(windows: list[_Window]) -> Iterable[list[_Window]]:
    """Windows of about the same length together, longest first."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda each: -len(each.tokens)):
        if batch and (len(batch) + 1) * len(batch[0].tokens) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _nats(bundle: Bundle, batch: list[_Window]) -> float:
    """Nats of the counted targets. Padding stands on the right, where no real token sees it."""
    length = len(batch[0].tokens)
    ids = np.zeros((len(batch), length), np.int64)
    for row, window in enumerate(batch):
        ids[row, : len(window.tokens)] = window.tokens
    logits, _ = bundle.run(ids, bundle.empty_cache(len(batch)))
    nats = 0.0
    for row, window in enumerate(batch):
        ends = len(window.tokens)
        counted = logits[row, ends - window.scored : ends]
        targets = window.targets[ends - window.scored :]
        chosen = np.take_along_axis(counted, targets[:, None], axis=-1)[:, 0]
        nats += float((log_normaliser(counted) - chosen).sum())
    return nats
