"""What a model learns from, as the rest of the house sees it: its name, its fingerprint, and what a run keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Evidence:
    """What a run learns from: its kind, its key and build where it has them, where it lies and its fingerprint."""

    kind: str
    path: str
    sha256: str
    key: str | None = None
    build_id: str | None = None


class Prepared(Protocol):
    """Evidence that was read and found good, before a run folder is made for it. No torch, no side effect."""

    @property
    def evidence(self) -> Evidence:
        """Kind, place and fingerprint."""

    def describe(self) -> Sequence[str]:
        """Lines for the user: how much there is, how it was split, what leaks."""

    def keep(self, folder: Path) -> None:
        """Write into a new run folder what the run must keep (a tokenizer)."""


@runtime_checkable
class TellsMore(Protocol):
    """Evidence of which a run's manifest says more than of others."""

    def manifest(self) -> dict[str, Any]:
        """Further fields of the manifest."""
