"""Torch against ONNX Runtime, before anything is published.

The reference is `GPT.forward` without a cache. The ONNX model is started in every way that hosts use; its logits must
be the reference's within `TOLERANCE` and its greedy tokens the reference's. Comparing each greedy token with the
argmax of one uncached pass over the whole text is comparing the two greedy texts: they agree up to the first
position where these differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clew.bundle.load import Bundle, Cache
from clew.core.errors import BundleError
from clew.core.randomness import generator
from clew.models.gpt import GPT

TOLERANCE = 1e-4
"""Largest absolute difference of a logit."""
GREEDY_TOKENS = 256
TIE = 1e-6
"""Two logits this close, relative to the largest one, are equal in float32: either may be called the greatest."""


@dataclass(frozen=True)
class WayOfStarting:
    """Figures of one way of starting the cache."""

    max_abs_logits_difference: float
    argmax_agreement: float
    """Share of positions where both have the same greatest logit."""
    greedy_tokens_equal: int
    ties: int
    """Greedy tokens that differ where the two logits are equal in float32."""


@dataclass(frozen=True)
class Parity:
    """Figures of all ways of starting."""

    tolerance: float
    greedy_tokens: int
    prompt_tokens: int
    ways: dict[str, WayOfStarting]

    def as_json(self) -> dict[str, object]:
        """Plain values for `bundle.json`."""
        return asdict(self)


@dataclass(frozen=True)
class _Continuation:
    """What ONNX Runtime gave: logits at each token of `prompt`, and the greedy tokens after it."""

    prompt: NDArray[np.int64]
    logits: NDArray[np.float32]
    greedy: NDArray[np.int64]


def compare(
    model: GPT, bundle: Bundle, *, seed: int = 0, greedy_tokens: int = GREEDY_TOKENS, relative: float = 0.0
) -> Parity:
    """Measure `bundle` against `model` and return the figures.

    `relative`: share of the largest logit that a logit may differ by, where that is more than `TOLERANCE`: a model
    that is sure of itself has logits of twenty and more, and rounds in proportion.
    Raises `BundleError` with the figures when logits or greedy tokens differ.
    """
    length = max(2, min(model.config.context_length, 256) // 2)
    prompts = generator(seed, "parity").integers(0, model.config.vocab_size, (2, length))
    try:
        continued = _continuations(bundle, prompts, greedy_tokens)
    except BundleError as error:
        raise BundleError(f"ONNX Runtime gives nothing to compare, so nothing was published. {error}") from error
    largest = max(float(np.abs(each.logits).max()) for each in continued["empty cache, prompt at once"])
    allowed = max(TOLERANCE, relative * largest)
    tie = max(TIE, relative)
    ways = {name: _figures(model, continuations, tie) for name, continuations in continued.items()}
    parity = Parity(allowed, greedy_tokens, length, ways)
    faults = [
        f"{name}: logits differ by {way.max_abs_logits_difference:.3g}, "
        f"{way.greedy_tokens_equal + way.ties} of {greedy_tokens} greedy tokens agree"
        for name, way in ways.items()
        # Not `>`: a NaN must fail.
        if not way.max_abs_logits_difference <= allowed or way.greedy_tokens_equal + way.ties < greedy_tokens
    ]
    if faults:
        raise BundleError(
            f"ONNX Runtime does not give what torch gives (at most {allowed:.3g} is allowed, and greedy tokens must "
            f"be equal), so nothing was published. {'; '.join(faults)}."
        )
    return parity


def _continuations(bundle: Bundle, prompts: NDArray[np.int64], greedy_tokens: int) -> dict[str, list[_Continuation]]:
    """Run the graph in every way of starting; one continuation for each row."""
    first, second = prompts[:1], prompts[1:, : prompts.shape[1] // 2]
    ways: dict[str, list[_Continuation]] = {}
    for slots, start in ((0, "empty cache"), (1, "one zero slot")):
        logits, cache = bundle.run(first, bundle.empty_cache(1, slots))
        ways[f"{start}, prompt at once"] = _greedy(bundle, [first[0]], [logits], logits[:, -1], cache, greedy_tokens)
        cache = bundle.empty_cache(1, slots)
        steps = []
        for position in range(first.shape[1]):
            logits, cache = bundle.run(first[:, position : position + 1], cache)
            steps.append(logits)
        logits = np.concatenate(steps, axis=1)
        ways[f"{start}, token by token"] = _greedy(bundle, [first[0]], [logits], logits[:, -1], cache, greedy_tokens)
    long_logits, long_cache = bundle.run(first, bundle.empty_cache())
    short_logits, short_cache = bundle.run(second, bundle.empty_cache())
    padding = ((0, 0), (0, 0), (first.shape[1] - second.shape[1], 0), (0, 0))
    cache = [
        np.concatenate([long, np.pad(short, padding)]) for long, short in zip(long_cache, short_cache, strict=True)
    ]
    last = np.concatenate([long_logits[:, -1], short_logits[:, -1]])
    ways["batch of two, zero slots on the left"] = _greedy(
        bundle, [first[0], second[0]], [long_logits, short_logits], last, cache, greedy_tokens
    )
    return ways


def _greedy(
    bundle: Bundle,
    prompts: list[NDArray[np.int64]],
    prompt_logits: list[NDArray[np.float32]],
    last: NDArray[np.float32],
    cache: Cache,
    count: int,
) -> list[_Continuation]:
    """Take `count` greedy tokens in each row after `last` logits [batch, vocab_size]."""
    tokens, logits = [last.argmax(axis=-1)], []
    for _ in range(count - 1):
        step, cache = bundle.run(tokens[-1][:, None], cache)
        logits.append(step)
        tokens.append(step[:, 0].argmax(axis=-1))
    greedy = np.stack(tokens, axis=1)
    return [
        _Continuation(prompt, np.concatenate([each[0], *(step[row] for step in logits)]), greedy[row])
        for row, (prompt, each) in enumerate(zip(prompts, prompt_logits, strict=True))
    ]


def _figures(model: GPT, continuations: list[_Continuation], tie: float = TIE) -> WayOfStarting:
    difference, agreeing, positions, equal, ties = 0.0, 0, 0, [], []
    for each in continuations:
        # The logits after the last greedy token were not asked of ONNX Runtime, so it is not fed here.
        text = torch.from_numpy(np.concatenate([each.prompt, each.greedy[:-1]]))
        with torch.inference_mode():
            reference = model(text[None])[0].float().numpy()
        difference = float(np.maximum(difference, np.abs(reference - each.logits).max()))  # keeps a NaN
        agreeing += int((reference.argmax(-1) == each.logits.argmax(-1)).sum())
        positions += len(reference)
        deciding = reference[len(each.prompt) - 1 :]
        same = deciding.argmax(-1) == each.greedy
        gap = deciding.max(-1) - np.take_along_axis(deciding, each.greedy[:, None], axis=1)[:, 0]
        tied = ~same & (gap <= tie * np.abs(deciding).max(-1))
        equal.append(int(same.sum()))
        ties.append(int(tied.sum()))
    worst = int(np.argmin(np.add(equal, ties)))
    return WayOfStarting(difference, agreeing / positions, equal[worst], ties[worst])
