"""Databases: where they are, how they are opened and waited for, what their tables must have. SQLite and PostgreSQL.

The rooms that keep rows (replay, traces) say which tables they have (`Schema`) and write their own statements.
"""

from __future__ import annotations

from clew.databases.addresses import (
    is_file,
    is_postgres,
    no_address,
    path_of,
    split_password,
    without_password,
)
from clew.databases.schema import Schema, UnavailableError, check_columns

__all__ = [
    "Schema",
    "UnavailableError",
    "check_columns",
    "is_file",
    "is_postgres",
    "no_address",
    "path_of",
    "split_password",
    "without_password",
]
