"""Which traces a dataset is built of: filters on what a trace says of itself.

`{"category": "sum", "level": 2}` chooses the traces whose meta has both. `trace_version` is the trace's own. Values
are compared as JSON: 2 and 2.0 are the same number, true is no number, lists and objects are equal as wholes. A
filter of null chooses the traces that have null there, or nothing; so a trace whose meta is null matches those alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(filters: Mapping[str, Any], meta: Mapping[str, Any] | None, trace_version: str) -> bool:
    """Whether a trace with this `meta` and `trace_version` passes every filter."""
    own = meta or {}
    return all(
        same(wanted, trace_version if key == "trace_version" else own.get(key)) for key, wanted in filters.items()
    )


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, which Python would say of 1 and true too."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
