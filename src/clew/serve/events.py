"""A log as server-sent events: an event a line, whose id is where in the file the next one begins."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from anyio import to_thread

from clew.traces.schema import InvalidError

_PAUSE = 0.25
_ALIVE = 15.0
"""Seconds of silence after which a comment says that the connection stands; what lies between may close it else."""
_AT_ONCE = 2**18
Outcome = Mapping[str, Any]


def resumed_at(last_event_id: str | None) -> int:
    """The place in the log where a client goes on that had the event of this id. Raises `InvalidError`."""
    if not last_event_id:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise InvalidError("Last-Event-ID is the id of an event of this log: a number. Leave it out to begin anew.")
    return int(last_event_id)


async def follow(
    log: Path, place: int, outcome: Callable[[], Outcome | None], closing: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The lines of `log` from byte `place` on as they come, then an event "end" with the outcome.

    `outcome`: what the job came to, None while it runs. `closing`: whether the server is about to end, which breaks
    the events off; a client that comes again with Last-Event-ID misses none.
    """
    yield b"retry: 1000\n\n"
    said = time.monotonic()
    while not closing():
        # Asked for first: what is written by then is what there is.
        come_to = await to_thread.run_sync(outcome)
        content = await to_thread.run_sync(_read, log, place)
        whole = content.rfind(b"\n") + 1
        if not whole and (len(content) == _AT_ONCE or come_to is not None):
            whole = len(content)
        for line in content[:whole].splitlines(keepends=True):
            place += len(line)
            yield _event(line.decode("utf-8", errors="replace").rstrip("\r\n"), place)
        if whole:
            said = time.monotonic()
            continue
        if come_to is not None:
            yield _event(json.dumps(come_to, ensure_ascii=False), place, "end")
            return
        if time.monotonic() - said > _ALIVE:
            said = time.monotonic()
            yield b": still here\n\n"
        await asyncio.sleep(_PAUSE)


def _read(log: Path, place: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(place)
            return file.read(_AT_ONCE)
    except FileNotFoundError:
        return b""


def _event(text: str, place: int, kind: str = "") -> bytes:
    named = f"event: {kind}\n" if kind else ""
    data = "".join(f"data: {line}\n" for line in text.replace("\r", "\n").split("\n"))
    return f"{named}id: {place}\n{data}\n".encode()
