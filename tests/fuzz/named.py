"""The best-known faults of earlier campaigns, each as a case of its own that runs in every campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sandbox import Case

NAMED: dict[str, Callable[[Path], Case]] = {}
