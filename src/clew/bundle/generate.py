"""Answers to many prompts at once, decoded with the cache of a bundle.

Prompts of different lengths stand in one batch. They are computed together, filled up on the right, where no earlier
token looks; then the keys of what was filled up are set to zero, and a slot whose keys are zero holds no token. Rows
that ended leave the batch. What a row draws depends on the seed, its key and the position, never on the rows beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.bundle.load import Bundle, Cache
from clew.bundle.sampling import Sampling, block_ends, draw, weights
from clew.core.errors import BundleError, UsageError, nearest
from clew.core.randomness import generator

BATCH_SIZE = 64
"""Rows computed at once."""

LEAVING = 0.875
"""Ended rows leave once no more than this share of the batch goes on: taking them out copies the cache."""


@dataclass(frozen=True)
class Completion:
    """What a model wrote after one prompt."""

    text: str
    """Without the token that ended it; bytes that are no character stand as U+FFFD."""
    tokens: tuple[int, ...]
    """Every token that was drawn, the one that ended it included."""
    finished: bool
    """Whether the end of the turn came; otherwise it was given up at `max_tokens`."""
    seconds: float
    """Its share of the time that its batch took: the seconds of all completions add up to the time of the call."""
    prompt_tokens: int = 0
    """Tokens of the prompt."""


def stop_token(bundle: Bundle, stop: str) -> int:
    """The id of the token that ends a turn. Raises `BundleError` where the tokenizer has no such single token."""
    found = bundle.tokenizer.token_to_id(stop)
    if found is None or found >= bundle.config.vocab_size:
        meant = nearest(stop, list(bundle.tokenizer.get_vocab(with_added_tokens=True)))
        raise BundleError(
            f"The tokenizer of {bundle.folder} has no token '{stop}', so no answer of this model could end.{meant} "
            "It was not trained to chat: use a bundle of `clew train sft`."
        )
    return int(found)


def generate(
    bundle: Bundle,
    prompts: Sequence[str | Sequence[int]],
    sampling: Sampling,
    *,
    stop: str,
    keys: Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
    done: Callable[[int], None] = lambda count: None,
) -> list[Completion]:
    """Continue each of `prompts` until the token `stop` or `max_tokens`.

    A prompt is its token ids, or its text, in which whatever spells a special token becomes that token. `keys`
    (default: the numbers of the prompts) name the prompts in errors and key what is drawn, so they differ where the
    same prompt is to be answered differently. `done` is told how many more prompts are finished.
    Raises `UsageError` for a prompt that does not fit the context with `max_tokens` to come, before anything is
    computed, and `BundleError` where the tokenizer has no token `stop`.
    """
    names = [str(number) for number in range(len(prompts))] if keys is None else list(keys)
    if len(names) != len(prompts):
        raise UsageError(f"There are {len(prompts)} prompts, but {len(names)} keys: give one for each.")
    if batch_size < 1:
        raise UsageError(f"A batch needs at least one row: batch-size is {batch_size}.")
    end = stop_token(bundle, stop)
    encoded = [bundle.encode(prompt) if isinstance(prompt, str) else list(prompt) for prompt in prompts]
    for name, tokens in zip(names, encoded, strict=True):
        _check_fits(bundle, name, len(tokens), sampling)
    completions: dict[int, Completion] = {}
    # Rows of like length stand together, so little is filled up; the longest first, so that memory is known at once.
    order = sorted(range(len(prompts)), key=lambda index: (-len(encoded[index]), index))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _Batch(bundle, [encoded[index] for index in chosen], [names[index] for index in chosen], sampling, end)
        completions |= zip(chosen, batch.completions(), strict=True)
        done(len(chosen))
    return [completions[index] for index in range(len(prompts))]


def _check_fits(bundle: Bundle, name: str, length: int, sampling: Sampling) -> None:
    context = bundle.config.context_length
    if length == 0:
        raise UsageError(f"The prompt of {repr(name)[:60]} is empty: there is nothing to continue.")
    if length + sampling.max_tokens > context:
        raise UsageError(
            f"The prompt of {repr(name)[:60]} has {length} tokens; with max-tokens {sampling.max_tokens} to come it "
            f"does not fit the context of {bundle.folder}, which is {context} tokens. Choose a smaller max-tokens, or "
            "leave this prompt out."
        )


class _Batch:
    """Rows that are decoded together, and their state: what each has drawn so far, and who goes on."""

    def __init__(self, bundle: Bundle, prompts: list[list[int]], keys: list[str], sampling: Sampling, end: int) -> None:
        self._bundle, self._prompts, self._sampling, self._end = bundle, prompts, sampling, end
        count, length = len(prompts), sampling.max_tokens
        greedy = sampling.temperature == 0
        self._uniforms = [np.empty(0) if greedy else generator(sampling.seed, "answer", k).random(length) for k in keys]
        self._tokens: list[list[int]] = [[] for _ in range(count)]
        self._finished = [False] * count
        self._seconds = [0.0] * count

    def completions(self) -> list[Completion]:
        """Decode to the end."""
        began = time.perf_counter()
        logits, cache = self._prefill()
        rows = list(range(len(self._prompts)))  # row of the batch -> prompt; one that ended may stand there for a while
        going_on = set(rows)
        for position in range(self._sampling.max_tokens):
            drawn = self._draw(logits, rows, going_on, position)
            ended = {row for row in going_on if self._finished[row]}
            began = self._share_time(began, going_on)
            going_on -= ended
            if not going_on or position == self._sampling.max_tokens - 1:
                break
            if len(going_on) <= LEAVING * len(rows):
                stay = [place for place, row in enumerate(rows) if row in going_on]
                rows, drawn = [rows[place] for place in stay], drawn[stay]
                cache = [part[stay] for part in cache]
            every, cache = self._bundle.run(drawn[:, None], cache)
            logits = every[:, 0]
        return [
            Completion(self._text(row), tuple(self._tokens[row]), self._finished[row], self._seconds[row], len(prompt))
            for row, prompt in enumerate(self._prompts)
        ]

    def _prefill(self) -> tuple[NDArray[np.float32], Cache]:
        """Logits [rows, vocab_size] after each prompt, and the cache of all [rows, ..., longest, ...]."""
        lengths = np.array([len(prompt) for prompt in self._prompts])
        ids = np.zeros((len(lengths), lengths.max()), np.int64)
        for row, prompt in enumerate(self._prompts):
            ids[row, : len(prompt)] = prompt
        every, cache = self._bundle.run(ids, self._bundle.empty_cache(len(lengths)))
        for row, length in enumerate(lengths):
            cache[0][row, :, length:] = 0  # the keys of the first layer say which slots hold a token
        return every[np.arange(len(lengths)), lengths - 1], cache

    def _draw(
        self, logits: NDArray[np.float32], rows: list[int], going_on: set[int], position: int
    ) -> NDArray[np.int64]:
        """The next token of each row of the batch [rows]; kept for those that go on."""
        drawn: NDArray[np.int64] = logits.argmax(axis=-1)
        if self._sampling.temperature > 0:
            mass = weights(logits, self._sampling)
            ends = block_ends(mass)
            for place, row in enumerate(rows):
                if row in going_on:
                    drawn[place] = draw(mass[place], ends[place], self._uniforms[row][position])
        for place, row in enumerate(rows):
            if row in going_on:
                self._tokens[row].append(int(drawn[place]))
                self._finished[row] = bool(drawn[place] == self._end)
        return drawn

    def _share_time(self, began: float, rows: set[int]) -> float:
        now = time.perf_counter()
        for row in rows:
            self._seconds[row] += (now - began) / len(rows)
        return now

    def _text(self, row: int) -> str:
        tokens = self._tokens[row][:-1] if self._finished[row] else self._tokens[row]
        return b"".join(self._bundle.pieces[token] for token in tokens).decode("utf-8", errors="replace")
