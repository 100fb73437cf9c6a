"""What the routes of a server share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from clew.serve.jobs import Jobs
from clew.serve.plans import Plans
from clew.traces.store import TraceStore


@dataclass(frozen=True)
class House:
    """The store, the jobs, and where files lie."""

    store: TraceStore
    plans: Plans
    jobs: Jobs
    token: str | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the server is about to end."""


def open_house(store: TraceStore, runs: Path, token: str | None = None) -> House:
    """The house over `store`. `runs`: the folder of the run folders, and of what the jobs read and say (`.jobs`)."""
    plans = Plans(store, runs.absolute())
    jobs = Jobs(store, runs.absolute() / ".jobs", plans.prepare, plans.finished)
    return House(store, plans, jobs, token)


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


Shared = Annotated[House, Depends(_house)]
"""Type of the parameter of a route that needs them."""
