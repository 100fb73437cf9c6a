"""`clew traces generate NAME`: traces whose answers and steps can be checked, or an eval set of held-out questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.output import print_json
from clew.core import files
from clew.core.errors import EXIT_DONE, UsageError

TRACES = files.json_lines_output("a file of traces", "trace_version", "prompt", "final_answer", "steps")


class GenerateOptions(Options):
    """Make traces whose answers and steps can be checked; or, with --questions, an eval set of held-out prompts.

    Without a name the generators are listed. Prompts of the splits train and evaluation never overlap.
    """

    name: Positional[str] = ""
    """Which generator: arithmetic, tictactoe, connect4, rewriting, high_card_duel."""
    count: int = pydantic.Field(default=1000, ge=1)
    """Traces or questions to make, with different prompts."""
    seed: int = 0
    """The same seed makes the same bytes, and a larger count only adds to them."""
    level: str | None = None
    """One level; by default a mix of all that training may have."""
    split: Literal["train", "evaluation"] | None = None
    """Which of the two sets of prompts that never meet; by default train for traces, evaluation for questions."""
    questions: bool = False
    """Write an eval set, {id, prompt, expected_answer, ...} a line, in place of traces."""
    output: Path | None = None
    """File to write, JSON lines."""
    db: str | None = None
    """Database of traces to add to where no file is named: a path, sqlite:///PATH or postgresql://...; by default
    data/traces.db."""
    as_json: Json = False
    """Print what was made as one JSON document, the last line of stdout."""


def main(arguments: list[str]) -> int:
    """Run `clew traces generate`."""
    options = parse(GenerateOptions, arguments, program="clew traces generate")
    if not options.name:
        return _list(options)
    if options.output is not None and options.db is not None:
        raise UsageError("The traces go to a file or into a database: give --output or --db, one of the two.")
    if options.questions:
        return _questions(options)
    return _traces(options)


def _list(options: GenerateOptions) -> int:
    from clew.traces.generators import GENERATORS, find_generator

    found = [find_generator(name) for name in GENERATORS]
    for each in found:
        beyond = [f"{level} (practice)" for level in (each.frontier,) if level]
        beyond += [f"{level} (held out)" for level in (each.harder,) if level]
        print(f"{each.name}: {each.about}\n  levels: {', '.join([*each.levels, *beyond])}")
    if options.as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "about": each.about,
                    "levels": list(each.levels),
                    "frontier": each.frontier,
                    "harder": each.harder,
                }
                for each in found
            ]
        )
    return EXIT_DONE


def _traces(options: GenerateOptions) -> int:
    from clew.traces.generators import find_generator

    made = find_generator(options.name).traces(options.count, options.seed, options.level, options.split or "train")
    if options.output is not None:
        with files.whole_file(options.output, replaces=TRACES) as file:
            for trace in made:
                line = json.dumps(trace.model_dump(mode="json"), ensure_ascii=False) + "\n"
                file.write(line.encode("utf-8"))
        return _told(options, "traces", str(options.output))
    from clew.traces.store import DEFAULT_PLACE, TraceStore

    with TraceStore.open(options.db or DEFAULT_PLACE) as store:
        store.add_many(made)
        return _told(options, "traces", store.name)


def _questions(options: GenerateOptions) -> int:
    from clew.traces.evalset import EVAL_SET, write_evalset
    from clew.traces.generators import find_generator

    if options.output is None:
        raise UsageError("Questions go into a file: --output FILE.jsonl.")
    files.check_output(options.output, EVAL_SET)
    split = options.split or "evaluation"
    write_evalset(
        options.output, find_generator(options.name).questions(options.count, options.seed, options.level, split)
    )
    return _told(options, "questions", str(options.output))


def _told(options: GenerateOptions, what: str, place: str) -> int:
    level = f" of the level {options.level}" if options.level else ""
    print(f"{options.count:,} {what} of {options.name}{level}, seed {options.seed}: {place}")
    if options.as_json:
        print_json(
            {
                "generator": options.name,
                what: options.count,
                "level": options.level,
                "seed": options.seed,
                "place": place,
            }
        )
    return EXIT_DONE
