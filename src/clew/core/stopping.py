"""Ctrl-C and SIGTERM as a request that a program comes back to when it is ready to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def stop_requested(*, forwarded: bool = False, says: str = "") -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, with the words `says`; a second one interrupts at once.

    `forwarded`: torchrun passes Ctrl-C on to processes that the terminal told already, so that what comes within
    five seconds of the first is the same request.
    """
    event = threading.Event()
    asked_at: float | None = None
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request(number: int, frame: Any) -> None:
        nonlocal asked_at
        # The two requests of a forwarded Ctrl-C may come within each other: the time is noted before all else.
        if asked_at is None:
            asked_at = time.monotonic()
            event.set()
            if says:
                os.write(2, says.encode() + b"\n")  # not print: this may have interrupted one
        elif not forwarded or time.monotonic() - asked_at > 5.0:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        # A forwarded request may still be on its way to a process that stops: it must not break off the farewell.
        if not (forwarded and event.is_set()):
            for number, handler in before.items():
                signal.signal(number, handler)
