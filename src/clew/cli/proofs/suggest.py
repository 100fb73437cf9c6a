"""`clew suggest`: the lines that a bundle would write next. Imports no torch, and answers within a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pydantic
import tyro

from clew.cli.flags import Json, Options, Positional, parse
from clew.core.errors import EXIT_DONE, UsageError
from clew.core.files import sentences_for


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
    prompt = _read_prompt(options.prompt)

    from clew.bundle.suggest import MARKER, has_marker, suggest

    suggestions = suggest(
        options.bundle,
        prompt,
        options.k,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        max_tokens=options.max_tokens,
        seed=options.seed,
        threads=options.threads,
    )
    if not has_marker(prompt):
        print(
            f"clew: the prompt has no line {MARKER}; it was added, so that proof lines are suggested.", file=sys.stderr
        )
    if options.as_json:
        from clew.cli.output import print_json

        lines = [
            {
                "text": each.text,
                "count": each.count,
                "logprob": each.logprob,
                "probability": each.probability,
                "finished": each.finished,
            }
            for each in suggestions
        ]
        print_json({"bundle": str(options.bundle), "k": options.k, "seed": options.seed, "lines": lines})
        return EXIT_DONE
    print(f"{'count':>5}  {'probability':>11}  line")
    for each in suggestions:
        ending = "" if each.finished else f"  [given up after {each.tokens} tokens]"
        print(f"{each.count:>5}  {each.probability:>11.3g}  {_printable(each.text)}{ending}")
    return EXIT_DONE


def _printable(text: str) -> str:
    """Escape control characters: an untrained model writes any, and a terminal would obey them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _read_prompt(name: str) -> str:
    path = Path("/dev/stdin" if name == "-" else name)
    if name == "-" and sys.stdin is None:  # closed, as by `<&-` or under a service manager
        raise UsageError("Standard input is closed, so no prompt can be read from it. Name a file with --prompt.")
    with sentences_for(path, "read the prompt"):
        content = sys.stdin.buffer.read() if name == "-" else path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"The prompt {path} is not UTF-8: byte {error.start} cannot be read.") from error
