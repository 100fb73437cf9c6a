"""Rows that go out as they are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

MEDIA_TYPE = "application/x-ndjson"
NDJSON: dict[str, Any] = {
    "description": "A JSON object a line.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": '{"id": "...", "metadata": {}}\n'}},
}
"""How OpenAPI tells of such an answer."""


def rows(pieces: Iterator[bytes], headers: Mapping[str, str] | None = None) -> StreamingResponse:
    """An answer of lines. What fails before the first piece is answered as a fault; what fails later breaks the
    connection off before the end that HTTP marks, so that no client takes a part for the whole."""
    first = next(pieces, b"")
    return StreamingResponse(itertools.chain([first], pieces), media_type=MEDIA_TYPE, headers=dict(headers or {}))
