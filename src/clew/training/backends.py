"""The libraries that can train a recipe. Everything before and after `run` is the same for all of them."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from clew.core.errors import ClewError, UsageError, nearest
from clew.core.evidence import Prepared
from clew.recipes.base import Recipe
from clew.runs.folder import Run
from clew.runs.progress import Progress
from clew.runs.screen import Shows

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
        shows: Shows = True,
    ) -> Progress:
        """Train `run` from its `checkpoint` (None: from the start) to its end. Raises `ClewError`."""


BACKENDS = {
    "torch": ("clew.training.torch_backend", "torch", "train"),
    "tunix": ("clew.training.tunix_backend", "tunix", "tunix"),
}
"""Name -> its module, the library that it needs, and the extra that brings it."""

AUTO = "auto"
"""Takes what is there."""


def choose(name: str, say: Say) -> str:
    """The name of the backend that `name` means: itself; for "auto", what is there, and `say` is told which and why.

    That is tunix on a machine with a TPU, which torch does not see; otherwise torch.
    """
    if name != AUTO:
        return name
    tpu = tpu_here()
    if not _is_there("torch"):
        chosen, why = "tunix", "torch is not installed"
    elif tpu and _is_there("tunix"):
        chosen, why = "tunix", "there is a TPU"
    else:
        chosen, why = "torch", "there is a TPU, but no tunix" if tpu else "there is no TPU"
    say(f"backend {chosen} ({AUTO}: {why})")
    return chosen


def tpu_here() -> bool:
    """Whether this machine seems to have a TPU, told without a library that would take hold of it."""
    found = any(any(Path("/dev").glob(pattern)) for pattern in ("accel[0-9]*", "vfio/[0-9]*"))
    return found or "TPU_NAME" in os.environ


def find_backend(name: str) -> Backend:
    """The backend called `name`. Raises `UsageError` for an unknown one, `ClewError` for a library that is missing."""
    if name not in BACKENDS:
        known = [*BACKENDS, AUTO]
        raise UsageError(f"There is no backend '{name}'.{nearest(name, known)} Known: {', '.join(known)}.")
    module, library, extra = BACKENDS[name]
    if not _is_there(name):
        raise ClewError(f"Training with {name} needs {library}. Install it with: pip install 'clew[{extra}]'.")
    backend: Any = importlib.import_module(module)
    found: Backend = backend
    return found


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(BACKENDS[name][1]) is not None
