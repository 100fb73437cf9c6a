"""`clew proofs stats DIR`: what a folder of proof files holds, and what each way of splitting it leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.core.errors import EXIT_DONE


class StatsOptions(Options):
    """Print figures of a corpus of proof files: sizes, sections, proof lengths, leakage."""

    folder: Positional[Path]
    """Folder of the proof files (proof_00000.txt, ...)."""
    validation_fraction: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Share of the files held out in the splits whose leakage is measured."""
    seed: int = 42
    """Seed of those splits."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew proofs stats`."""
    options = parse(StatsOptions, arguments, program="clew proofs stats")

    from clew.proofs.corpus import read_corpus
    from clew.proofs.statistics import as_table, corpus_figures

    corpus = read_corpus(options.folder)
    figures = corpus_figures(corpus, options.validation_fraction, options.seed)
    print(as_table(figures))
    if notice := corpus.stray_notice():
        print(notice)
    if options.as_json:
        print(json.dumps(figures, ensure_ascii=False))
    return EXIT_DONE
