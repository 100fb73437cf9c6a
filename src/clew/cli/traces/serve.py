"""`clew serve`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pydantic

from clew.cli.flags import Options, parse
from clew.core.errors import EXIT_DONE, UsageError


class ServeOptions(Options):
    """Traces, datasets and trainings over HTTP. Ends at Ctrl-C; trainings that it started go on."""

    host: str = "127.0.0.1"
    """Where to listen. Beyond this machine (0.0.0.0) a token is required."""
    port: int = pydantic.Field(default=8000, ge=0, le=65_535)
    """0: any that is free."""
    db: str = "data/traces.db"
    """The store of traces: path of an SQLite file, or a postgresql:// URL. Made where it is absent."""
    runs_dir: Path = Path("runs")
    """Folder that the runs' folders are made in."""
    token: str = ""
    """What each request must send as `Authorization: Bearer TOKEN`. Better kept in a file, or in CLEW_TOKEN."""
    token_file: Path | None = None
    """File that holds the token."""


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C."""
    options = parse(ServeOptions, arguments, program="clew serve")
    _check_installed()

    from clew.serve.authentication import find_token, is_loopback
    from clew.serve.house import open_house
    from clew.serve.listening import listen, serve
    from clew.traces.store import TraceStore

    token = find_token(options.token, options.token_file)
    if token is None and not is_loopback(options.host):
        raise UsageError(
            f"At {options.host} other machines reach the server, so a token is required: give one with --token-file, "
            "or in the variable CLEW_TOKEN. `openssl rand -hex 32` makes one."
        )
    with listen(options.host, options.port) as listener, TraceStore.open(options.db) as store:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"clew serve: http://{shown}:{port}, traces in {store.name}, runs in {options.runs_dir}", file=sys.stderr)
        serve(open_house(store, options.runs_dir, token), listener)
    return EXIT_DONE


def _check_installed() -> None:
    for package in ("fastapi", "uvicorn", "python_multipart", "sqlalchemy", "alembic"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"`clew serve` needs the package {package}: install it with `pip install 'clew[serve]'`.")
