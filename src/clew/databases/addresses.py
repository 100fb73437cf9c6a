"""Where a database is: a path or a URL. How it may be shown, and the password that it must not show."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from clew.core.errors import UsageError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_HIDDEN = "postgresql://..."
"""What is shown of a URL in which anything may be a part of the password."""
_HOST = r"(?:\[[\da-fA-F:]+\]|[\w.%-]*)(?::\d+)?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[\w.%-]*)?")
_SECRETS = ("password", "sslpassword")
_LIBPQ = re.compile(
    r"\s*(?:host|hostaddr|port|dbname|user|password|sslpassword|sslmode|service|passfile|options)\s*=", re.IGNORECASE
)
"""How a string of libpq's other form begins, `host=... password=...`: no path that anybody would choose."""


def is_file(where: str | Path) -> bool:
    """Whether `where` names an SQLite file and not a server."""
    if isinstance(where, Path):
        return not _LIBPQ.match(str(where))
    return where.startswith(_SQLITE) or ("://" not in where and not _LIBPQ.match(where))


def is_postgres(where: str | Path) -> bool:
    """Whether `where` is the URL of a PostgreSQL server."""
    return str(where).startswith(_POSTGRES)


def path_of(where: str | Path) -> Path:
    """The path of an SQLite file that `where` names: a path, or `sqlite:///` and a path."""
    return Path(str(where).removeprefix(_SQLITE))


def no_address(where: str | Path, what: str) -> UsageError:
    """What is said of an address that is none of a database here; `what` is what should be there."""
    told = f"A {what} is a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    if _LIBPQ.match(str(where)):
        return UsageError(
            f"{told}, not a string of the form 'host=... user=...'. Write such a string as a URL; the password may "
            "stand in PGPASSWORD or in ~/.pgpass."
        )
    scheme = str(where).partition("://")[0]
    return UsageError(f"{told}; '{scheme}://' is none of them.")


def without_password(where: str | Path) -> str:
    """`where` as a message, a log or a manifest may show it: a URL without its password and its parameters.

    Of one in which anything may be a part of the password, nothing is shown but that it is a URL.
    """
    text = str(where)
    if is_file(where):
        return text
    if not is_postgres(where):
        return f"{text.partition('://')[0]}://..." if "://" in text else _HIDDEN
    user, at, place, _ = _parts(text)
    return f"postgresql://{user.partition(':')[0]}{at}{place}" if place is not None else _HIDDEN


def split_password(where: str | Path) -> tuple[str, str | None]:
    """`where` as a file or a command line may hold it, still good to connect with, and the password taken off it.

    libpq finds the password in the variable PGPASSWORD, in which a child process may be given it. A password for
    the key of a certificate (`sslpassword`) is left out too. Raises `UsageError` where it cannot be told apart.
    """
    text = str(where)
    if not is_postgres(where):
        if not is_file(where):
            raise no_address(where, "database")
        return text, None
    user, at, place, parameters = _parts(text)
    if place is None:
        raise unreadable()
    name, _, password = user.partition(":")
    kept = []
    for parameter in filter(None, parameters.split("&")):
        key, _, value = parameter.partition("=")
        if unquote(key).strip().lower() not in _SECRETS:
            kept.append(parameter)
        elif unquote(key).strip().lower() == "password":
            password = value
    scheme = text.partition("://")[0]
    return f"{scheme}://{name}{at}{place}" + (f"?{'&'.join(kept)}" if kept else ""), unquote(password) or None


def unreadable() -> UsageError:
    """What is said of a URL that cannot be read; what libpq says of it quotes parts of it, and so of the password."""
    return UsageError(
        "The URL of the database cannot be read. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
        "signs such as @ : / % in the password as %40 %3A %2F %25."
    )


def _parts(url: str) -> tuple[str, str, str | None, str]:
    """User and password, the @ if there is one, host and database, parameters. No place: it cannot be told."""
    rest, _, parameters = url.partition("://")[2].partition("?")
    # Up to the last @: an @ in a password may have been left as it is.
    user, at, place = rest.rpartition("@")
    if not _PLACE.fullmatch(place) or (not at and "@" in parameters):
        return user, at, None, parameters
    return user, at, place, parameters
