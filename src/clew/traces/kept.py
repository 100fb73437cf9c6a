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


class _Cell(sa.TypeDecorator[Any]):
    """A cell of one type, and of no other when it is read: SQLite keeps anything in any column, and a damaged file
    has nothing where something is due. `none`: nothing may stand there. Raises `EvidenceError`."""

    impl: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]] = sa.Text
    cache_ok = True
    kind: type = str
    what = "text"

    def __init__(self, *arguments: Any, none: bool = False) -> None:
        super().__init__(*arguments)
        self.none = none

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        if isinstance(value, self.kind) or (value is None and self.none):
            return value
        found = "nothing" if value is None else repr(str(value)[:40])
        raise EvidenceError(f"The database holds {found} where {self.what} is due: it was changed by hand. {RESTORE}")


class Text(_Cell):
    """Text of any length."""

    impl = sa.Text
    cache_ok = True


class Chars(_Cell):
    """Text of at most so many characters."""

    impl = sa.String
    cache_ok = True


class Whole(_Cell):
    """A whole number."""

    impl = sa.Integer
    cache_ok = True
    kind = int
    what = "a whole number"


class Real(_Cell):
    """A number."""

    impl = sa.Float
    cache_ok = True
    kind = float
    what = "a number"
