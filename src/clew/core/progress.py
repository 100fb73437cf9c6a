"""How long work shows itself: a bar on a terminal, a line elsewhere, on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable


def stage(bars: contextlib.ExitStack, name: str, length: int) -> Callable[[], None]:
    """Show a stage of `length` units; what it returns is called after each. `bars` closes it whatever happens."""
    if not sys.stderr.isatty():
        print(f"{name}: {length} to do", file=sys.stderr, flush=True)
        return lambda: None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    bars.enter_context(progress)
    task = progress.add_task(name, total=length)

    def tick() -> None:
        progress.advance(task)
        if progress.finished:
            progress.stop()

    return tick
