"""What a kind of database is made of, told once for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.core.errors import EvidenceError

if TYPE_CHECKING:
    import sqlalchemy


class UnavailableError(EvidenceError):
    """The database is gone, locked or full, or its server does not answer; what was asked for may succeed later."""


@dataclass(frozen=True)
class Schema:
    """The tables of a kind of database."""

    what: str
    """What a message calls such a database: "replay database"."""
    columns: Mapping[str, Sequence[str]]
    """Columns that each table must have, made by whomever. Without the first table it is no such database."""
    tables: Callable[[], sqlalchemy.MetaData]
    """The tables and indices to make. Asked for only then: importing SQLAlchemy is a third of an actor's start."""
    advice: str
    """What to do where there is none; `{path}` is where it should be."""

    @property
    def main(self) -> str:
        """The table without which it is no such database."""
        return next(iter(self.columns))

    def statements(self, dialect: str, *tables: str) -> list[str]:
        """SQL of "sqlite" or "postgresql" that makes `tables` (none: all) and their indices where they are absent."""
        from sqlalchemy.dialects import postgresql, sqlite
        from sqlalchemy.schema import CreateIndex, CreateTable

        compiler = {"sqlite": sqlite, "postgresql": postgresql}[dialect].dialect()
        made: list[CreateTable | CreateIndex] = []
        for table in self.tables().sorted_tables:
            if not tables or table.name in tables:
                made.append(CreateTable(table, if_not_exists=True))
                indices = sorted(table.indexes, key=lambda index: str(index.name))
                made += [CreateIndex(index, if_not_exists=True) for index in indices]
        return [str(each.compile(dialect=compiler)).strip() for each in made]


def check_columns(
    name: str, table: str, there: Mapping[str, str], wanted: Mapping[str, Sequence[str]] | Sequence[str]
) -> None:
    """Raise `EvidenceError` unless each column of a table of the database `name` is there, with a type that will do.

    `there`: the type of each column. `wanted`: the columns, or the types that each may have.
    """
    kinds = wanted if isinstance(wanted, Mapping) else {}
    for column in wanted:
        if column not in there:
            raise EvidenceError(f"{name}: the table {table} has no column {column}. It must have: {', '.join(wanted)}.")
        if column in kinds and there[column] not in kinds[column]:
            raise EvidenceError(
                f"{name}: the column {column} of the table {table} has the type {there[column]} where "
                f"{' or '.join(kinds[column])} is due."
            )
