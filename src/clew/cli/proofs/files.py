"""`clew proofs`: generate theorems with proofs, check certificates, and what a folder of proof files holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED

COMMANDS = {
    "generate": ("clew.cli.proofs.files:generate", "make a corpus of theorems with proofs, and two held-out sets"),
    "check": ("clew.cli.proofs.files:check", "judge every certificate of a corpus"),
    "stats": ("clew.cli.proofs.stats", "what a folder of proof files holds, and what each way of splitting it leaks"),
}


def main(arguments: list[str]) -> int:
    """Run `clew proofs`."""
    return dispatch(COMMANDS, arguments, program="clew proofs", about="Proof files: make them, judge them, count them.")


class GenerateOptions(Options):
    """Make equational theorems with minimised proofs: a training set and two held-out sets."""

    folder: Positional[Path]
    """New folder; it gets train, held_out_new, held_out_longer and manifest.json."""
    theorems: int = pydantic.Field(default=5000, ge=1)
    """Theorems in the training set."""
    held_out: int = pydantic.Field(default=200, ge=0)
    """Theorems in each held-out set."""
    max_steps: int = pydantic.Field(default=8, ge=2, le=30)
    """Lines of the longest proof in training; held_out_longer has up to four more."""
    theories: tuple[str, ...] = ()
    """Theories to take theorems from (default: all), such as group ring boolean_algebra."""
    seed: int = 0
    """The same seed makes the same files."""
    as_json: Json = False
    """Print the manifest as one JSON document as the last line of stdout."""


def generate(arguments: list[str]) -> int:
    """Run `clew proofs generate`."""
    options = parse(GenerateOptions, arguments, program="clew proofs generate")

    from clew.proofs.corpus_maker import SETS, generate_corpus

    total = options.theorems + options.held_out

    def tick(done: int) -> None:
        if sys.stderr.isatty() and (done % 50 == 0 or done == total):
            print(f"\r{done:,} of {total:,} theorems", end="\n" if done == total else "", file=sys.stderr, flush=True)

    manifest = generate_corpus(
        options.folder,
        theorems=options.theorems,
        seed=options.seed,
        theories=options.theories,
        max_steps=options.max_steps,
        held_out=options.held_out,
        tick=tick,
    )
    for name in SETS:
        figures = manifest["sets"][name]
        lengths = [int(length) for length in figures["by_length"]]
        extent = f", proofs of {min(lengths)} to {max(lengths)} lines" if lengths else ""
        print(f"{options.folder / name}: {figures['theorems']:,} theorems{extent}")
        if figures["theorems"] < options.held_out:
            print(f"  no more came up: {options.held_out} were asked for. More theories have more long proofs.")
    if options.as_json:
        print_json(manifest)
    return EXIT_DONE


class CheckOptions(Options):
    """Judge every certificate in a folder and its subfolders; exit 1 if one is refused."""

    folder: Positional[Path]
    """A generated corpus, or a folder of proof files."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


def check(arguments: list[str]) -> int:
    """Run `clew proofs check`."""
    options = parse(CheckOptions, arguments, program="clew proofs check")

    from clew.proofs.checker import check_folder

    judged = check_folder(options.folder)
    checked = judged.checked
    refused = [
        {"file": str(path), "line": verdict.line, "reason": verdict.reason} for path, verdict in judged.refused.items()
    ]
    for each in refused:
        print(f"{each['file']}:{each['line']}: {each['reason']}")
    print(f"{checked:,} files checked, {checked - len(refused):,} accepted, {len(refused):,} refused")
    if options.as_json:
        print_json({"checked": checked, "accepted": checked - len(refused), "refused": refused})
    return EXIT_FAILED if refused else EXIT_DONE
