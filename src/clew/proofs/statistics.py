"""Figures of a corpus of proof files: sizes, sections, proof lengths, and what each way of splitting leaks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import EvidenceError
from clew.proofs.corpus import Corpus, Split, read_corpus, split_by_file, split_by_theorem
from clew.proofs.files import MARKERS, Proof

_LENGTH_BOUNDS = (0, 1, 2, 3, 5, 9, 17, 33)
"""Lower ends of the histogram's classes of proof lengths, in steps."""


def stats(folder: Path | str, *, validation_fraction: float = 0.1, seed: int = 42) -> dict[str, Any]:
    """`corpus_figures` of the proof files in `folder`. Raises `EvidenceError` for broken files."""
    return corpus_figures(read_corpus(Path(folder)), validation_fraction, seed)


def corpus_figures(corpus: Corpus, fraction: float, seed: int) -> dict[str, Any]:
    """Return the figures of a corpus as plain data for JSON.

    `fraction` and `seed` are those of the split whose leakage is measured, beside a split by file. Where nothing can
    be held out, `split` holds the reason.
    """
    sizes = [len(text.encode("utf-8")) for text in corpus.texts]
    lines = [line for text in corpus.texts for line in text.split("\n")[:-1]]
    characters = sorted(set().union(*corpus.texts))
    proof_lengths = [len(proof.steps) for proof in corpus.proofs]
    orders = Counter(section_order(proof) for proof in corpus.proofs)
    return {
        "folder": files.printable(corpus.folder),
        "fingerprint": corpus.fingerprint,
        "files": len(corpus),
        "strays": list(corpus.strays),
        "bytes": corpus.total_bytes,
        "longest_bytes": max(sizes),
        "median_bytes": statistics.median(sizes),
        "lines": len(lines),
        "distinct_lines": len(set(lines)),
        "distinct_characters": len(characters),
        "not_ascii": [character for character in characters if not character.isascii()],
        "section_orders": dict(orders.most_common()),
        "proof_steps": {
            "total": sum(proof_lengths),
            "longest": max(proof_lengths),
            "median": statistics.median(proof_lengths),
            "without_steps": proof_lengths.count(0),
            "histogram": histogram(proof_lengths),
        },
        "split": {"validation_fraction": fraction, "seed": seed, **_both_splits(corpus, fraction, seed)},
    }


def section_order(proof: Proof) -> str:
    """The sections that a file has, in order: `T G C P`."""
    present = {"@T": proof.context is not None, "@H": proof.premise is not None}
    return " ".join(marker[1] for marker in MARKERS if present.get(marker, True))


def histogram(proof_lengths: Sequence[int]) -> dict[str, int]:
    """Count proofs by their number of steps; classes (`5-8`, the last `33+`) up to the longest proof's."""
    longest = max(proof_lengths)
    counts = {}
    for low, following in zip(_LENGTH_BOUNDS, [*_LENGTH_BOUNDS[1:], None], strict=True):
        if low > longest:
            break
        if following is None:
            counts[f"{low}+"] = sum(length >= low for length in proof_lengths)
        else:
            name = f"{low}" if following == low + 1 else f"{low}-{following - 1}"
            counts[name] = sum(low <= length < following for length in proof_lengths)
    return counts


def as_table(figures: dict[str, Any]) -> str:
    """Lay the figures out as lines of text for a terminal."""
    steps = figures["proof_steps"]
    not_ascii = " ".join(ascii(each)[1:-1] if not each.isprintable() else each for each in figures["not_ascii"][:20])
    rows = [
        ("folder", figures["folder"]),
        ("fingerprint", figures["fingerprint"]),
        ("files", f"{figures['files']:,}"),
        ("bytes", f"{figures['bytes']:,}"),
        ("longest, median file", f"{figures['longest_bytes']:,}, {figures['median_bytes']:,} bytes"),
        ("lines", f"{figures['lines']:,}, {figures['distinct_lines']:,} distinct"),
        ("characters", f"{figures['distinct_characters']} distinct; not ASCII: {not_ascii or 'none'}"),
        ("sections", "; ".join(f"{order}: {count:,}" for order, count in figures["section_orders"].items())),
        ("proof steps", f"{steps['total']:,}; longest {steps['longest']}, median {steps['median']}"),
        ("proofs by steps", "; ".join(f"{name}: {count:,}" for name, count in steps["histogram"].items())),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*(f"{name:<{width}}  {value}" for name, value in rows), "", *_leakage_table(figures["split"])])


def _leakage_table(split: dict[str, Any]) -> list[str]:
    if "impossible" in split:
        return [str(split["impossible"])]
    lines = [
        f"Held out with fraction {split['validation_fraction']} and seed {split['seed']}; share of the held-out files",
        "that have the same in a training file:",
        f"{'':<20}  {'files':>6}  {'head line':>9}  {'goal':>6}  {'everything':>10}",
    ]
    for name, key in (("by theorem (ours)", "by_theorem"), ("by file", "by_file")):
        part = split[key]
        leakage = part["leakage"]
        lines.append(
            f"{name:<20}  {part['validation_files']:>6,}  {leakage['same_head_line']:>9.1%}  "
            f"{leakage['same_goal']:>6.1%}  {leakage['exact_copies']:>10.1%}"
        )
    return lines


def _both_splits(corpus: Corpus, fraction: float, seed: int) -> dict[str, Any]:
    try:
        by_theorem, by_file = split_by_theorem(corpus, fraction, seed), split_by_file(corpus, fraction, seed)
    except EvidenceError as error:
        return {"impossible": str(error)}
    return {"by_theorem": _split_figures(by_theorem), "by_file": _split_figures(by_file)}


def _split_figures(split: Split) -> dict[str, Any]:
    return {
        "training_files": len(split.train),
        "validation_files": len(split.validation),
        "leakage": split.leakage.shares(),
    }
