"""How values are kept in a database: ids, JSON, and cells of the type that their column has."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from clew.core.errors import EvidenceError
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


def kept_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object that a cell holds. Raises `EvidenceError`, naming `what` it is, for what is none any more."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} was changed in the database and is no JSON any more. {RESTORE}") from error
    if not isinstance(value, dict):
        raise EvidenceError(f"{what} was changed in the database and is no JSON object any more. {RESTORE}")
    return value


RESTORE = "Bring the database back from a copy."


def _due(value: Any, kind: type, what: str) -> Any:
    if value is None or isinstance(value, kind):
        return value
    raise EvidenceError(
        f"The database holds {str(value)[:40]!r} where {what} is due: it was changed by hand. {RESTORE}"
    )


class Text(sa.TypeDecorator[str]):
    """Text, and nothing else when it is read: SQLite keeps bytes in any column. Raises `EvidenceError`."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return _due(value, str, "text")


class Chars(sa.TypeDecorator[str]):
    """As `Text`, of at most so many characters."""

    impl = sa.String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return _due(value, str, "text")


class Whole(sa.TypeDecorator[int]):
    """A whole number, and nothing else when it is read."""

    impl = sa.Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return _due(value, int, "a whole number")


class Real(sa.TypeDecorator[float]):
    """A number, and nothing else when it is read."""

    impl = sa.Float
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return _due(value, float, "a number")
