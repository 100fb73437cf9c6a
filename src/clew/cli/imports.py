"""Ctrl-C while heavy libraries are imported."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from clew.core.errors import EXIT_INTERRUPTED


@contextlib.contextmanager
def stoppable_imports() -> Iterator[None]:
    """While libraries are imported, Ctrl-C ends the process at once.

    An exception would not do: some of them swallow whatever is raised while they load, and the command would go on.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def end(*_: object) -> None:
        os.write(2, b"clew: interrupted.\n")
        os._exit(EXIT_INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
