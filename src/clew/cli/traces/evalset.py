"""`clew evalset`: sets of questions with their answers. `clew evalset validate FILE`: can it be evaluated on?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import Commands, dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE

COMMANDS: Commands = {
    "validate": ("clew.cli.traces.evalset:validate", "whether every line is a question with an answer, ids unique"),
}


class ValidateOptions(Options):
    """Read an eval set as an evaluation would, and say what it holds; exit 1 with file, line and column of a fault."""

    file: Positional[Path]
    """The eval set: {id, prompt, expected_answer, category?, difficulty?, section?} a line."""
    as_json: Json = False
    """Print the figures as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew evalset`."""
    return dispatch(COMMANDS, arguments, program="clew evalset", about="Sets of questions with their answers.")


def validate(arguments: list[str]) -> int:
    """Run `clew evalset validate`."""
    options = parse(ValidateOptions, arguments, program="clew evalset validate")

    from clew.traces.evalset import read_evalset

    found = read_evalset(options.file)
    print(f"{found.path}: {len(found):,} questions, every one with an answer, ids unique.")
    groups = {
        name: dict(Counter(getattr(question, name) or "none" for question in found))
        for name in ("category", "difficulty", "section")
    }
    for name, counts in groups.items():
        if set(counts) != {"none"}:
            print(f"  {name}: " + ", ".join(f"{label} {number:,}" for label, number in sorted(counts.items())))
    if found.repeated_prompts:
        print(f"  {found.repeated_prompts:,} ask what an earlier line asks: they count more than once.")
    if options.as_json:
        print_json(
            {
                "path": found.path,
                "sha256": found.sha256,
                "questions": len(found),
                "repeated_prompts": found.repeated_prompts,
                **groups,
            }
        )
    return EXIT_DONE
