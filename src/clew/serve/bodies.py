"""Bodies of requests: how large they may be, and JSON that is read strictly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pydantic_core
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clew.serve import faults
from clew.traces.schema import MOST_BYTES

MOST_OF_BATCH = 16 * 2**20
"""Bytes of a JSON body that holds many traces or questions."""
MOST_OF_UPLOAD = 2**28
"""Bytes of an uploaded file."""
_DRAINED = 2**26
"""How much is read on of a body that is too large: a client that still sends would not see the answer."""


class BodyLimit:
    """ASGI middleware: a body past the limit of its path is answered with 413 and reaches nothing."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        """`limits`: the end of a path -> the most bytes; what is not named may have as many as a trace."""
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the request, with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        most = next((limit for end, limit in self._limits.items() if path.endswith(end)), MOST_BYTES)
        told = f"The body is larger than {_size(most)}, the most that {path} takes."
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(length) > most:
            await _drain(receive)
            await faults.answer(413, told)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                if message.get("more_body"):
                    await _drain(receive)
                # FastAPI lets this one kind of error through while it reads a body.
                raise HTTPException(413, told)
            return message

        await self._app(scope, counted, send)


async def _drain(receive: Receive) -> None:
    left = _DRAINED
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _size(count: int) -> str:
    return f"{count >> 20} MiB"


class _StrictRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose JSON bodies are read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


_MAY_OVERFLOW = re.compile(rb"[eE]\+?\d{3}|\d{309}")


def read_json(body: bytes) -> Any:
    """The value of a body, which must be JSON in UTF-8: no NaN, no number past the largest, nothing nested past 200.

    Raises `json.JSONDecodeError`, which FastAPI expects, with line and column.
    """
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
        if _MAY_OVERFLOW.search(body) and not _finite(value):
            raise ValueError("a number in it is past the largest")
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    return value


def _finite(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, float) and not math.isfinite(each):
            return False
    return True
