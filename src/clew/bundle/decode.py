"""Lines from a bundle, decoded with its cache.

All rows of a batch begin with the same prompt, so it is computed once; rows that have drawn the same tokens so far
are one row of the batch, and rows that ended leave it. What a row draws depends on the seed, the attempt, its number
and the position, never on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clew.bundle.load import Bundle, Cache
from clew.bundle.sampling import Sampling, block_ends, draw, log_normaliser, uniforms, weights
from clew.core.errors import UsageError

NEWLINE = b"\n"


@dataclass(frozen=True)
class Line:
    """One sampled line."""

    text: str
    """Without its newline."""
    logprob: float
    """Natural logarithm of the probability of its tokens under the model itself (temperature 1, all tokens)."""
    tokens: tuple[int, ...]
    finished: bool
    """Whether a newline ended it; otherwise it was given up at `max_tokens`."""


class LineSession:
    """A text that grows line by line: the prompt, then the lines that were accepted.

    `propose` samples lines that could come next; `accept` keeps one. The cache of what was kept stays, so a line
    costs its own tokens, and a line that is not accepted costs nothing more. When the text no longer fits the context
    with `max_tokens` to come, it is cut on the left and computed anew.
    """

    def __init__(self, bundle: Bundle, prompt: str, sampling: Sampling) -> None:
        limit = bundle.config.context_length - sampling.max_tokens
        if limit < 1:
            raise UsageError(
                f"max-tokens is {sampling.max_tokens}, but the context of this bundle is "
                f"{bundle.config.context_length} tokens, prompt and line together. Choose a smaller one."
            )
        self.bundle = bundle
        self.sampling = sampling
        self._limit = limit
        self._tokens = bundle.encode(prompt)
        if not self._tokens:
            raise UsageError("The prompt is empty: there is nothing to continue.")
        self._attempts = 0
        self._start_over()

    def propose(self, k: int) -> list[Line]:
        """Sample `k` lines, each [row] drawn by itself; equal ones are not merged. A later call draws anew."""
        self._catch_up()
        random = uniforms(self.sampling, self._attempts, k)
        self._attempts += 1
        return _sample(self.bundle, self._logits, self._cache, random, self.sampling)

    def accept(self, line: Line | str) -> None:
        """Append a line to the text: a sampled one with the tokens that were drawn, or any other as it is encoded."""
        self._tokens += line_tokens(self.bundle, line) if isinstance(line, Line) else self.bundle.encode(f"{line}\n")

    def fork(self, *, seed: int, temperature: float) -> LineSession:
        """A session that stands where this one stands; what either accepts, the other does not see.

        It draws with a seed and temperature of its own, from its first attempt on.
        """
        self._catch_up()
        other = object.__new__(LineSession)
        sampling = replace(self.sampling, seed=seed, temperature=temperature)
        other.__dict__ = {**self.__dict__, "_tokens": list(self._tokens), "sampling": sampling, "_attempts": 0}
        return other

    def logits(self) -> NDArray[np.float32]:
        """Logits [vocab_size] of the token that comes next."""
        self._catch_up()
        return self._logits

    def _start_over(self) -> None:
        self._cache: Cache = self.bundle.empty_cache()
        self._logits: NDArray[np.float32] = np.empty(0, np.float32)
        self._computed = 0

    def _catch_up(self) -> None:
        """Bring the cache to the end of the text."""
        if len(self._tokens) > self._limit:
            self._tokens = self._tokens[-self._limit :]
            self._start_over()
        if self._computed < len(self._tokens):
            new = np.array([self._tokens[self._computed :]], np.int64)
            logits, self._cache = self.bundle.run(new, self._cache)
            self._logits = logits[0, -1]
            self._computed = len(self._tokens)


def sample_lines(
    bundle: Bundle, prompt: str, k: int, sampling: Sampling | None = None, *, accepted: Sequence[str] = ()
) -> list[Line]:
    """Sample `k` lines to follow `prompt` and the `accepted` lines after it."""
    session = LineSession(bundle, prompt, sampling or Sampling())
    for line in accepted:
        session.accept(line)
    return session.propose(k)


def greedy(bundle: Bundle, prompt: Sequence[int], count: int) -> list[int]:
    """The `count` likeliest tokens after the token ids of `prompt`, one after the other, newlines among them."""
    ids = np.array([list(prompt)], np.int64)
    cache, tokens = bundle.empty_cache(), []
    for _ in range(count):
        logits, cache = bundle.run(ids, cache)
        tokens.append(int(logits[0, -1].argmax()))
        ids = np.array([tokens[-1:]], np.int64)
    return tokens


def line_tokens(bundle: Bundle, line: Line) -> list[int]:
    """The tokens of a sampled line up to its newline, as the text continues with them.

    A token may go on beyond the newline; then its part up to there is encoded by itself.
    """
    if not line.finished:
        return [*line.tokens, *bundle.encode("\n")]
    last = bundle.pieces[line.tokens[-1]]
    head = last[: last.index(NEWLINE) + 1]
    if head == last:
        return list(line.tokens)
    try:
        return [*line.tokens[:-1], *bundle.encode(head.decode("utf-8"))]
    except UnicodeDecodeError:  # the token before ends inside a character
        return bundle.encode(f"{line.text}\n")


def _sample(
    bundle: Bundle, logits: NDArray[np.float32], cache: Cache, random: NDArray[np.float64], sampling: Sampling
) -> list[Line]:
    """One line for each row of `random` [rows, max_tokens], from `logits` [vocab_size] and a cache of batch 1."""
    rows = len(random)
    tokens: list[list[int]] = [[] for _ in range(rows)]
    logprobs = [0.0] * rows
    finished = [False] * rows
    branch = dict.fromkeys(range(rows), 0)  # row that goes on -> row of the batch that holds its text
    step = logits[None]
    for position in range(random.shape[1]):
        mass = weights(step, sampling)
        ends = block_ends(mass)
        normaliser = log_normaliser(step)
        seen: dict[tuple[int, int], int] = {}
        for row, source in list(branch.items()):
            token = draw(mass[source], ends[source], random[row, position])
            tokens[row].append(token)
            logprobs[row] += float(step[source, token] - normaliser[source])
            if NEWLINE in bundle.pieces[token]:
                finished[row] = True
                del branch[row]
            else:
                branch[row] = seen.setdefault((source, token), len(seen))
        if not branch or position == random.shape[1] - 1:
            break
        parents = [source for source, _ in seen]
        if parents != list(range(len(step))):
            cache = [part[parents] for part in cache]
        ids = np.array([[token] for _, token in seen], np.int64)
        every, cache = bundle.run(ids, cache)
        step = every[:, 0]
    return [Line(_text(bundle, tokens[row]), logprobs[row], tuple(tokens[row]), finished[row]) for row in range(rows)]


def _text(bundle: Bundle, tokens: list[int]) -> str:
    """The text of a line up to its newline; bytes that are no character become U+FFFD."""
    content = b"".join(bundle.pieces[token] for token in tokens)
    return content.partition(NEWLINE)[0].decode("utf-8", errors="replace")
