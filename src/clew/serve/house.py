"""What the routes of a server share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from clew.serve.jobs import Jobs
from clew.traces.store import TraceStore


@dataclass(frozen=True)
class House:
    """The store, the jobs, and where files lie."""

    store: TraceStore
    jobs: Jobs
    datasets: Path
    """Folder of the manifests of datasets."""
    runs: Path
    """Folder of the runs that jobs make."""
    token: str | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the server is about to end."""


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


Shared = Annotated[House, Depends(_house)]
"""Type of the parameter of a route that needs them."""
