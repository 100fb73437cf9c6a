"""What requests and answers of several routes are made of."""

from __future__ import annotations

import importlib.metadata
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import pydantic
from fastapi import Path, Query

T = TypeVar("T")

try:
    VERSION = importlib.metadata.version("clew")
except importlib.metadata.PackageNotFoundError:
    VERSION = "unknown"
"""Of Clew."""

TRACE_EXAMPLE = {
    "trace_version": "1.0",
    "prompt": "What is 27 + 35?",
    "final_answer": "62",
    "steps": [
        {"i": 0, "type": "carry", "content": "7 + 5 = 12, write 2, carry 1"},
        {"i": 1, "type": "add", "content": "2 + 3 + 1 = 6"},
    ],
    "meta": {"category": "addition"},
}

Limit = Annotated[int, Query(ge=1, le=100, description="The most rows of this page.")]
Offset = Annotated[int, Query(ge=0, lt=2**53, description="How many rows come before this page.")]
# A zero byte is in no id or key, and one of the databases cannot be asked for it.
_Findable = pydantic.AfterValidator(lambda text: text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
Id = Annotated[str, Path(max_length=200, description="An id that the server gave."), _Findable]
IdQuery = Annotated[str, Query(max_length=200, description="An id that the server gave."), _Findable]
DatasetKey = Annotated[str, Path(max_length=200, description="`{name}-{version}`."), _Findable]


class Answer(pydantic.BaseModel):
    """A part of an answer."""

    model_config = pydantic.ConfigDict(use_attribute_docstrings=True, protected_namespaces=())


class Pagination(Answer):
    """Where a page stands."""

    limit: int
    """The most rows of a page."""
    offset: int
    """How many rows come before this page."""
    next_offset: int | None
    """The offset of the next page; null on the last one."""


class PageOf(Answer, Generic[T]):
    """Some rows of many, from the newest to the oldest."""

    data: list[T]
    """The rows."""
    pagination: Pagination
    """Where they stand among all."""


def page_of(rows: list[T], limit: int, offset: int) -> PageOf[T]:
    """A page of at most `limit` of `rows`, which were asked for with one more, to see whether there are more."""
    following = offset + limit if len(rows) > limit else None
    return PageOf(data=rows[:limit], pagination=Pagination(limit=limit, offset=offset, next_offset=following))


class Made(Answer):
    """A trace that is kept."""

    id: str
    """By which it is asked for."""
    created_at: datetime
    """When it was kept."""
    trace_version: str
    """The version of the schema that its writer follows."""
