"""How values are kept in a database: ids and JSON."""

from __future__ import annotations

import json
from typing import Any

from clew.traces.schema import InvalidError


def sought(text: str) -> str:
    """An id, a key or a name to look for. One that no database can hold becomes another, which is not there either."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def json_text(value: Any, what: str) -> str:
    """A JSON value as text that every database holds. Raises `InvalidError`, naming `what` it is, for what is none."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        told = "its brackets stand too deep in one another" if isinstance(error, RecursionError) else str(error)
        raise InvalidError(f"{what} cannot be kept as JSON: {told}.") from error
