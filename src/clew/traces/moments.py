"""Moments as they are kept and exported: 2026-01-31T23:59:59.123456Z, always UTC, in the order of time as text too."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """This moment."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
