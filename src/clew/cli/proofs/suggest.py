"""`clew suggest`: the lines that a bundle would write next. Imports no torch, and answers within a second."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import pydantic
import tyro

from clew.cli.flags import Json, Options, Positional, parse
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import sentences_for

MARKER = "@P"


class SuggestOptions(Options):
    """Sample lines that could come next in a proof."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    prompt: str
    """File that holds the prompt (the goal's sections, then @P), or - for standard input."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = pydantic.Field(default=8, ge=1, le=4096)
    """How many lines to sample; equal ones are printed once, with their count."""
    temperature: float = 0.8
    """Logits are divided by this; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the likeliest tokens whose probabilities together reach this; 1: all."""
    top_k: int = 0
    """Only this many likeliest tokens; 0: all."""
    max_tokens: int = 100
    """Tokens after which a line that has not ended is given up."""
    seed: int = 0
    """The same seed gives the same lines."""
    threads: int = pydantic.Field(default=1, ge=1)
    """CPU threads."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew suggest`."""
    options = parse(SuggestOptions, arguments, program="clew suggest")
    prompt = ending_in_marker(_read_prompt(options.prompt))

    from clew.bundle.decode import Line, sample_lines
    from clew.bundle.load import load_bundle
    from clew.bundle.sampling import Sampling

    sampling = Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        max_tokens=options.max_tokens,
        seed=options.seed,
    )
    bundle = load_bundle(options.bundle, threads=options.threads)
    counts: dict[tuple[str, bool], int] = {}
    likeliest: dict[tuple[str, bool], Line] = {}
    for line in sample_lines(bundle, prompt, options.k, sampling):
        same = (line.text, line.finished)
        counts[same] = counts.get(same, 0) + 1
        # One text may be spelled with different tokens.
        if same not in likeliest or line.logprob > likeliest[same].logprob:
            likeliest[same] = line
    ordered = sorted(likeliest, key=lambda same: (-counts[same], -likeliest[same].logprob))
    if options.as_json:
        from clew.runs.metrics import print_json

        lines = [
            {
                "text": line.text,
                "count": counts[line.text, line.finished],
                "logprob": line.logprob,
                "probability": math.exp(line.logprob),
                "finished": line.finished,
            }
            for line in map(likeliest.__getitem__, ordered)
        ]
        print_json({"bundle": str(options.bundle), "k": options.k, "seed": options.seed, "lines": lines})
        return EXIT_DONE
    print(f"{'count':>5}  {'probability':>11}  line")
    for same in ordered:
        line = likeliest[same]
        ending = "" if line.finished else f"  [given up after {len(line.tokens)} tokens]"
        print(f"{counts[same]:>5}  {math.exp(line.logprob):>11.3g}  {_printable(line.text)}{ending}")
    return EXIT_DONE


def ending_in_marker(prompt: str) -> str:
    """The prompt with its last line ended; where no @P stands in it, one is added and said on stderr.

    Without the marker, the likeliest next line is the marker itself.
    """
    if not prompt.strip():
        raise UsageError("The prompt is empty: give the goal's sections (@T, @G, @C) as in a proof file.")
    lines = prompt.splitlines()
    if MARKER not in lines:
        print(
            f"clew: the prompt has no line {MARKER}; it was added, so that proof lines are suggested.", file=sys.stderr
        )
        return f"{prompt.rstrip()}\n{MARKER}\n"
    # A line begun after the marker is left open, and gets completed.
    return f"{prompt}\n" if lines[-1] == MARKER and not prompt.endswith("\n") else prompt


def _printable(text: str) -> str:
    """Escape control characters: an untrained model writes any, and a terminal would obey them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _read_prompt(name: str) -> str:
    path = Path("/dev/stdin" if name == "-" else name)
    with sentences_for(path, "read the prompt"):
        content = sys.stdin.buffer.read() if name == "-" else path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"The prompt {path} is not UTF-8: byte {error.start} cannot be read.") from error
