"""A file of traces into a store: all of it, or all of its good lines, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clew.traces.jsonl import LineError, read_traces, refuse
from clew.traces.schema import InvalidError
from clew.traces.store import TraceStore

NAMED = 20
"""Bad lines that are kept to be named; all are counted."""


@dataclass(frozen=True)
class Ingested:
    """What became of a file."""

    trace_ids: list[str]
    bad: int
    """Lines that were left out."""
    named: list[LineError]
    """The first of them."""


def ingest(store: TraceStore, source: Path | BinaryIO, *, name: str | None = None, skip_bad: bool = False) -> Ingested:
    """Write the traces of a file of JSON lines in one transaction; `skip_bad`: without the lines that are none.

    The file is read twice, once before the store is asked for anything; a stream must be able to go back. `name` is
    what errors call it. Raises `LineError` for the first bad line, telling how many there are, and `InvalidError`
    where nothing is left; then nothing was written.
    """
    named: list[LineError] = []
    bad = good = 0

    def note(error: LineError) -> None:
        nonlocal bad
        bad += 1
        if len(named) < NAMED:
            named.append(error)

    start = 0 if isinstance(source, Path) else source.tell()
    for _ in read_traces(source, name=name, bad=note):
        good += 1
    if bad and not skip_bad:
        first = named[0]
        more = f" Of {good + bad:,} lines {bad:,} are bad." if bad > 1 else ""
        raise LineError(first.file, first.line, first.column, f"{first.told}{more} Nothing was imported.")
    if not good:
        raise InvalidError(f"{name or source} holds no traces." + (f" {bad:,} lines are bad." if bad else ""))
    if not isinstance(source, Path):
        source.seek(start)
    # A second reading that finds what the first did not: the file is being written. A bad line then ends it.
    ids = store.add_many(read_traces(source, name=name, bad=(lambda error: None) if skip_bad else refuse))
    return Ingested(ids, bad, named)
