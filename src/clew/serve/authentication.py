"""Who may ask: those with the token, or, without one, this machine itself and no page of another site."""

from __future__ import annotations

import hmac
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.core import files
from clew.core.errors import UsageError
from clew.serve import faults

VARIABLE = "CLEW_TOKEN"
OPEN = ("/api/health",)
"""Paths that answer everybody."""
_LEAST = 16


def find_token(token: str, token_file: Path | None) -> str | None:
    """The token that a user gave: itself, the content of a file, or the variable CLEW_TOKEN. None: there is none.

    Raises `UsageError` for one that is short or cannot stand in a header.
    """
    if token and token_file:
        raise UsageError("--token and --token-file both give a token. Leave one of them out.")
    if token_file is not None:
        with files.sentences_for(token_file, "read the token from"):
            found = token_file.read_bytes().decode("utf-8", errors="replace").strip()
        where = str(token_file)
    else:
        found, where = token or os.environ.get(VARIABLE, ""), "--token" if token else VARIABLE
        if not found:
            return None
    if len(found) < _LEAST or not all("!" <= sign <= "~" for sign in found):
        raise UsageError(
            f"The token of {where} must have {_LEAST} characters or more, letters, digits and signs without spaces. "
            "`openssl rand -hex 32` makes one."
        )
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Gate:
    """ASGI middleware: with a token, whoever sends it passes; without one, who calls the server by a loopback name.

    A page of another site that a browser on this machine shows could call as well: by its own name, turned to
    127.0.0.1, or from its own origin. Neither passes.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            headers = Headers(scope=scope)
            refusal = self._by_token(headers) if self._token else self._by_place(headers)
            if refusal:
                status, told = refusal
                await faults.answer(status, told, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)

    def _by_token(self, headers: Headers) -> tuple[int, str] | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Compared as bytes, in a time that does not tell how much of it is right.
        right = hmac.compare_digest(given.strip().encode("latin-1"), (self._token or "").encode())
        if scheme.lower() == "bearer" and right:
            return None
        return 401, "This server wants its token: send the header `Authorization: Bearer TOKEN`."

    def _by_place(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_loopback(_name(f"//{host}")):
            return 403, "A server without a token answers to localhost and 127.0.0.1 alone, and to no other name."
        if origin is not None and not is_loopback(_name(origin)):
            return 403, "A server without a token answers no page of another site."
        return None


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
