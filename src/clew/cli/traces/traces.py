"""`clew traces`: reasoning traces in a database. Made, imported, listed, shown, compared, scored."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from clew.cli.flags import Json, Options, Positional, parse
from clew.cli.main import dispatch
from clew.cli.output import print_json
from clew.core.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from clew.traces.store import Stored

COMMANDS = {
    "generate": ("clew.cli.traces.generate:main", "make traces whose answers and steps can be checked"),
    "import": ("clew.cli.traces.traces:import_command", "write the traces of a JSONL file into a database"),
    "list": ("clew.cli.traces.traces:list_command", "what is there, the newest first"),
    "show": ("clew.cli.traces.traces:show", "a trace with its steps and scores"),
    "compare": ("clew.cli.traces.traces:compare", "two traces side by side"),
    "score": ("clew.cli.traces.traces:score", "let a judge say what a trace is worth, and keep it"),
}


def main(arguments: list[str]) -> int:
    """Run `clew traces`."""
    about = "Reasoning traces: a prompt, the steps that lead to an answer, the answer."
    return dispatch(COMMANDS, arguments, program="clew traces", about=about)


class _Store(Options):
    db: str = "data/traces.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    as_json: Json = False
    """Print one JSON document as the last line of stdout."""


class ImportOptions(_Store):
    """Write the traces of a JSONL file into a database: all of them, or none.

    A line is a trace or a row of an export. What is wrong with a line is told with file, line and column.
    """

    file: Positional[Path]
    """The file."""
    skip_bad: bool = False
    """Leave out lines that are no traces, count and name them, and import the others."""


def import_command(arguments: list[str]) -> int:
    """Run `clew traces import`."""
    options = parse(ImportOptions, arguments, program="clew traces import")

    from clew.traces.ingest import ingest
    from clew.traces.store import TraceStore

    with TraceStore.open(options.db) as store:
        done = ingest(store, options.file, skip_bad=options.skip_bad)
        name = store.name
    for error in done.named:
        print(f"left out: {error}", file=sys.stderr)
    if done.bad > len(done.named):
        print(f"left out: {done.bad - len(done.named):,} more lines", file=sys.stderr)
    print(f"{name}: {len(done.trace_ids):,} traces imported from {options.file}, {done.bad:,} bad lines")
    if options.as_json:
        print_json({"db": name, "ingested_count": len(done.trace_ids), "bad": done.bad, "trace_ids": done.trace_ids})
    return EXIT_DONE


class ListOptions(_Store):
    """List traces, the newest first."""

    limit: int = pydantic.Field(default=20, ge=1)
    """How many."""
    offset: int = pydantic.Field(default=0, ge=0)
    """How many of the newest to pass over."""


def list_command(arguments: list[str]) -> int:
    """Run `clew traces list`."""
    options = parse(ListOptions, arguments, program="clew traces list")

    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found, count, name = store.page(options.limit, options.offset), store.count(), store.name
    print(f"{name}: {count:,} traces")
    for each in found:
        trace = each.trace
        prompt, answer = _short(trace.prompt, 50), _short(trace.final_answer, 20)
        print(f"{each.id}  {each.created[:19]}  {len(trace.steps):>4} steps  {prompt} -> {answer}")
    if options.as_json:
        print_json({"db": name, "count": count, "traces": [each.document() for each in found]})
    return EXIT_DONE


class ShowOptions(_Store):
    """Print a trace with its steps, its meta and its scores."""

    trace: Positional[str]
    """Its id."""


def show(arguments: list[str]) -> int:
    """Run `clew traces show`."""
    options = parse(ShowOptions, arguments, program="clew traces show")

    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        found, scores = store.get(options.trace), store.scores(options.trace)
    print("\n".join(_text(found)))
    for each in scores:
        judge = each.details.get("judge", each.criteria.get("judge"))
        print(f"score    {each.score:g} by {judge}, {each.created_at[:19]}")
    if options.as_json:
        print_json(found.document() | {"scores": [vars(each) for each in scores]})
    return EXIT_DONE


class CompareOptions(_Store):
    """Print two traces side by side."""

    base: Positional[str]
    """Id of the one."""
    other: Positional[str]
    """Id of the other."""


def compare(arguments: list[str]) -> int:
    """Run `clew traces compare`."""
    options = parse(CompareOptions, arguments, program="clew traces compare")

    import itertools
    import shutil

    from clew.traces.store import TraceStore

    with TraceStore.open(options.db, create=False) as store:
        base, other = store.get(options.base), store.get(options.other)
    width = max(30, (shutil.get_terminal_size((120, 24)).columns - 3) // 2)
    left, right = ([part for line in _text(each) for part in _wrapped(line, width)] for each in (base, other))
    for one, two in itertools.zip_longest(left, right, fillvalue=""):
        print(f"{one:<{width}} {'|' if one == two else '*'} {two}".rstrip())
    if options.as_json:
        print_json({"base": base.document(), "other": other.document()})
    return EXIT_DONE


class ScoreOptions(_Store):
    """Let a judge say what a trace is worth, from 0 to 1, and keep the score; exit 1 if it is less than 1."""

    trace: Positional[str]
    """Its id."""
    judge: str | None = None
    """exact, answer, numeric, numeric:0.01, choice, checker, steps, or module:function of your own."""
    expected: str | None = None
    """The right answer; judges that know it by themselves (checker, steps) need none."""


def score(arguments: list[str]) -> int:
    """Run `clew traces score`."""
    options = parse(ScoreOptions, arguments, program="clew traces score")

    from clew.traces.scoring import Criteria
    from clew.traces.scoring import score as judge
    from clew.traces.store import TraceStore

    criteria = Criteria(judge=options.judge, expected=options.expected)
    with TraceStore.open(options.db, create=False) as store:
        made = judge(store, options.trace, criteria, own_judges=True)
    print(f"{made.score:g} by {made.details['judge']}: the answer is {_short(str(made.details['answer']), 60)}")
    for fault in made.details.get("faults", []):
        print(f"  {fault}")
    if options.as_json:
        print_json(vars(made))
    return EXIT_DONE if made.score >= 1 else EXIT_FAILED


def _short(text: str, most: int) -> str:
    """The beginning of a text in one line, with nothing in it that a terminal would obey."""
    line = " ".join(text.split())
    shown = "".join(sign if sign.isprintable() else "?" for sign in line)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _text(stored: Stored) -> list[str]:
    """A trace as lines."""
    trace = stored.trace
    lines = [f"id       {stored.id}", f"created  {stored.created}", f"version  {trace.trace_version}"]
    lines += [f"{key:<8} {_short(str(value), 200)}" for key, value in (trace.meta or {}).items()]
    lines += ["", *_printable(trace.prompt)]
    for number, step in enumerate(trace.steps, 1):
        lines += _printable(f"{number}. [{step.type}] {step.content}")
    return [*lines, *_printable(f"Answer: {trace.final_answer}")]


def _printable(text: str) -> list[str]:
    return ["".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line) for line in text.splitlines()]


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width) or [""]
