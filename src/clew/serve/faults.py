"""Faults over HTTP: each is a status code and a sentence, `{"detail": "..."}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import fastapi
import pydantic
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clew.core.errors import ClewError, EvidenceError, UsageError, without_passwords
from clew.databases import UnavailableError
from clew.recipes.base import shortened
from clew.traces.schema import ConflictError, InvalidError, NotFoundError

_log = logging.getLogger("clew.serve")


class TooLargeError(InvalidError):
    """A body, or a trace in it, is larger than may be. Over HTTP: 413."""


class EmptyBatchError(InvalidError):
    """A batch without anything in it. Over HTTP: 400."""


class Fault(pydantic.BaseModel):
    """What went wrong, and what to do about it."""

    detail: str = pydantic.Field(description="Sentences for a person.")
    errors: list[dict[str, Any]] | None = pydantic.Field(
        default=None, description="Of a body or a parameter that does not fit: where (`loc`) and what (`msg`)."
    )


_STATUS: tuple[tuple[type[ClewError], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (TooLargeError, 413),
    (EmptyBatchError, 400),
    (InvalidError, 422),
    (UsageError, 422),
    (UnavailableError, 503),
    (EvidenceError, 409),
)
"""The first kind that fits. What else a `ClewError` says is that this machine cannot do it now: 503."""

_MEANING = {
    400: "The request cannot be read, or a batch is empty.",
    401: "The token is missing or wrong.",
    403: "Another site's page asks.",
    404: "There is nothing of that id or key.",
    409: "What is there has other content, or is in a state that does not allow it.",
    413: "The body, or a trace in it, is too large.",
    422: "The body or a parameter does not fit the schema, or cannot be fulfilled.",
    503: "The database is gone, locked or full, or the disk is.",
}
_EVERYWHERE = (400, 401, 403, 422, 503)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The faults of an endpoint for OpenAPI: `statuses` and those that any may have."""
    return {status: {"model": Fault, "description": _MEANING[status]} for status in sorted({*_EVERYWHERE, *statuses})}


def status_of(error: ClewError) -> int:
    """The status code that says what kind of error it is."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def answer(
    status: int,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response that tells a fault."""
    content: dict[str, Any] = {"detail": _sayable(without_passwords(detail))}
    if errors is not None:
        content["errors"] = errors
    return JSONResponse(content, status, headers=dict(headers or {}))


def install(app: fastapi.FastAPI) -> None:
    """Have `app` tell every fault in this way."""

    @app.exception_handler(ClewError)
    async def known(request: fastapi.Request, error: ClewError) -> JSONResponse:
        return answer(status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    async def misfit(request: fastapi.Request, error: RequestValidationError) -> JSONResponse:
        return _misfit(error.errors(), request.headers.get("content-type"))

    @app.exception_handler(HTTPException)
    async def refused(request: fastapi.Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, _refusal(request, error), headers=error.headers)

    @app.exception_handler(Exception)
    async def bug(request: fastapi.Request, error: Exception) -> JSONResponse:
        # The server's log has the traceback; a client has no use for it.
        return answer(500, f"Clew itself failed ({type(error).__name__}). This is a bug; the server's log tells more.")


def _refusal(request: fastapi.Request, error: HTTPException) -> str:
    path = _sayable(request.url.path)
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    if error.status_code == 404:
        return f"There is nothing at {path}. GET /openapi.json lists what there is."
    if error.status_code == 405:
        return f"{path} does not take {request.method}. GET /openapi.json lists what there is."
    return f"{error.detail}."


def _misfit(faults: Sequence[Any], content_type: str | None) -> JSONResponse:
    errors = [{"loc": _place(each), "msg": _sayable(_message(each)), "type": each["type"]} for each in faults]
    told = [f"{_spelled(each['loc'])}{each['msg']}" for each in errors[:3]]
    if len(errors) > 3:
        told.append(f"and {len(errors) - 3} more")
    detail = "; ".join(told) + "."
    if any(each["loc"] == ["body"] and each["type"] != "json_invalid" for each in errors) and "json" not in (
        content_type or ""
    ):
        detail += " Send the header Content-Type: application/json with a body of JSON."
    return answer(422, f"{detail[:1].upper()}{detail[1:]}", errors=errors[:100])


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "json_invalid":
        return f"this is no JSON: {fault['ctx']['error']}"
    said = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    said = f"{said[:1].lower()}{said[1:]}"
    given = fault.get("input")
    if given is None or isinstance(given, dict | list | tuple | bytes) or fault["type"] == "missing":
        return said
    return f"{said} (it is {shortened(given)})"


def _place(fault: Mapping[str, Any]) -> list[int | str]:
    loc = fault["loc"][:1] if fault["type"] == "json_invalid" else fault["loc"]
    return [_sayable(part) if isinstance(part, str) else part for part in loc]


def _spelled(loc: Sequence[int | str]) -> str:
    """`body.steps[3].content: `."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""


def _sayable(text: str) -> str:
    """`text` without halves of surrogate pairs, which no UTF-8 holds."""
    return text.encode("utf-8", errors="backslashreplace").decode()
