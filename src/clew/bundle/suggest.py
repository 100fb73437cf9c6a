"""The lines that a bundle would write next, each once, the oftenest drawn first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from clew.bundle.decode import Line, sample_lines
from clew.bundle.load import Bundle, load_bundle
from clew.bundle.sampling import Sampling
from clew.core.errors import UsageError

MARKER = "@P"
"""The line after which a proof begins."""


@dataclass(frozen=True)
class Suggestion:
    """A line that was sampled, once or several times."""

    text: str
    """Without its newline."""
    count: int
    """How many of the samples were this line."""
    logprob: float
    """Natural logarithm of its probability under the model itself (temperature 1, all tokens)."""
    finished: bool
    """Whether a newline ended it; otherwise it was given up at `max_tokens`."""
    tokens: int
    """How many tokens it has."""

    @property
    def probability(self) -> float:
        """Probability under the model itself."""
        return math.exp(self.logprob)


def suggest(
    bundle: Bundle | Path | str,
    prompt: str,
    k: int = 8,
    *,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    max_tokens: int = 100,
    seed: int = 0,
    threads: int = 1,
) -> list[Suggestion]:
    """Sample `k` lines to follow `prompt` and return the different ones, the oftenest drawn first.

    `bundle` is a loaded one, or its folder, which is then loaded for `threads` CPU threads. The prompt is the goal's
    sections as in a proof file; where it has no line `@P`, one is added. The same seed gives the same lines.
    Raises `UsageError` for an empty prompt or a setting out of range, `BundleError` for a bundle that is none.
    """
    text = with_marker(prompt)
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, max_tokens=max_tokens, seed=seed)
    if k < 1:
        raise UsageError(f"At least one line must be sampled: k is {k}.")
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, threads=threads)
    counts: dict[tuple[str, bool], int] = {}
    likeliest: dict[tuple[str, bool], Line] = {}
    for line in sample_lines(loaded, text, k, sampling):
        same = (line.text, line.finished)
        counts[same] = counts.get(same, 0) + 1
        # One text may be spelled with different tokens.
        if same not in likeliest or line.logprob > likeliest[same].logprob:
            likeliest[same] = line
    suggestions = [
        Suggestion(line.text, counts[same], line.logprob, line.finished, len(line.tokens))
        for same, line in likeliest.items()
    ]
    return sorted(suggestions, key=lambda each: (-each.count, -each.logprob))


def has_marker(prompt: str) -> bool:
    """Whether a line of the prompt is `@P`."""
    return MARKER in prompt.splitlines()


def with_marker(prompt: str) -> str:
    """The prompt with its last line ended, and with the marker `@P` where it has none.

    Without the marker, the likeliest next line is the marker itself. Raises `UsageError` for an empty prompt.
    """
    if not prompt.strip():
        raise UsageError("The prompt is empty: give the goal's sections (@T, @G, @C) as in a proof file.")
    if not has_marker(prompt):
        return f"{prompt.rstrip()}\n{MARKER}\n"
    # A line begun after the marker is left open, and gets completed.
    return f"{prompt}\n" if prompt.splitlines()[-1] == MARKER and not prompt.endswith("\n") else prompt
