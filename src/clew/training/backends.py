"""The libraries that can train a recipe. Everything before and after `run` is the same for all of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from clew.core.errors import ClewError, UsageError, nearest
from clew.core.evidence import Prepared
from clew.recipes.base import Recipe
from clew.runs.folder import Run
from clew.runs.progress import Progress

Say = Callable[[str], None]


class Processes(Protocol):
    """This process among those that train one run together."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files and speaks to the user."""

    def share(self, value: Any) -> Any:
        """Give every process the leader's `value` (plain data)."""


class Backend(Protocol):
    """A module that trains."""

    def processes(self, recipe: Recipe) -> AbstractContextManager[Processes]:
        """Set the library and the machine up for `recipe`, for the length of the block. Raises `UsageError`."""

    def run(
        self,
        recipe: Recipe,
        prepared: Prepared,
        run: Run,
        processes: Processes,
        *,
        checkpoint: str | None = None,
        say: Say = print,
        shows: bool = True,
    ) -> Progress:
        """Train `run` from its `checkpoint` (None: from the start) to its end. Raises `ClewError`."""


BACKENDS = {"torch": ("clew.training.torch_backend", "torch", "train")}
"""Name -> its module, the library that it needs, and the extra that brings it."""


def find_backend(name: str) -> Backend:
    """The backend called `name`. Raises `UsageError` for an unknown one, `ClewError` for a library that is missing."""
    if name not in BACKENDS:
        raise UsageError(f"There is no backend '{name}'.{nearest(name, list(BACKENDS))} Known: {', '.join(BACKENDS)}.")
    module, library, extra = BACKENDS[name]
    if importlib.util.find_spec(library) is None:
        raise ClewError(f"Training with {name} needs {library}. Install it with: pip install 'clew[{extra}]'.")
    backend: Any = importlib.import_module(module)
    found: Backend = backend
    return found
