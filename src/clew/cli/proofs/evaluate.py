"""`clew evaluate proofs`: bits per byte, next lines found, and what guidance is worth to the prover."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Literal

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE
from clew.core.progress import stage


class EvaluateProofsOptions(Options):
    """Evaluate a bundle on proof files that it was not trained on."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    data_dir: Path = Path("data/proofs")
    """Folder of proof files."""
    split: Literal["auto", "all", "held_out"] = "auto"
    """auto: the held-out part of the corpus that the bundle was trained on, all files of any other."""
    limit: int = pydantic.Field(default=0, ge=0)
    """Measure next lines and proof search on this many of the files, drawn by the seed; 0: on all."""
    proposals: int = pydantic.Field(default=1000, ge=1)
    """Lines that a search may have judged for each theorem, in the trial by proposals."""
    seconds: float = pydantic.Field(default=1.0, gt=0)
    """Seconds that a search may take for each theorem, in the trial by seconds."""
    temperature: float = 0.8
    """Temperature of the sampled lines."""
    max_tokens: int = 100
    """Tokens after which a line is given up; at most half the context is used."""
    seed: int = 0
    """The same seed samples the same lines."""
    threads: int = pydantic.Field(default=1, ge=1)
    """CPU threads of the model."""
    output: Path | None = None
    """Folder for report.json and report.md."""
    as_json: Json = False
    """Print the report as one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evaluate proofs`."""
    options = parse(EvaluateProofsOptions, arguments, program="clew evaluate proofs")

    from clew.proofs.evaluation.report import check_report, evaluate, markdown, write_report

    if options.output is not None:
        check_report(options.output)  # before the evaluation, which takes minutes
    with contextlib.ExitStack() as bars:  # whatever ends the evaluation, the terminal gets its cursor back
        report = evaluate(
            options.bundle,
            options.data_dir,
            split=options.split,
            limit=options.limit,
            proposals=options.proposals,
            seconds=options.seconds,
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            seed=options.seed,
            threads=options.threads,
            stage=functools.partial(stage, bars),
        )
    if options.output is not None:
        write_report(report, options.output)
    print(markdown(report), file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print_json(report.as_json())
    return EXIT_DONE
