"""Traces and questions with answers that can be checked, made on request."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Body, Path
from fastapi.responses import StreamingResponse

from clew.serve.answers import Answer
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import Shared
from clew.serve.streams import NDJSON, rows
from clew.traces.evalset import lines_of
from clew.traces.generators import GENERATORS, Generator, find_generator
from clew.traces.schema import NotFoundError, Strict, Text

MOST_GENERATED = 10_000
router = APIRouter(prefix="/generators", tags=["generators"], route_class=StrictRoute)

Name = Annotated[str, Path(max_length=64, description="A generator that GET /api/generators lists.")]


class Described(Answer):
    """A generator."""

    name: str
    about: str
    """What it makes."""
    levels: list[str]
    """Levels that training may have, the easiest first."""
    harder: str | None
    """The level that is held out."""


class QuestionsWanted(Strict):
    """How many, from which seed, how hard."""

    count: int = pydantic.Field(ge=1, le=MOST_GENERATED)
    """How many."""
    seed: int = pydantic.Field(default=0, ge=0, lt=2**53)
    """The same seed gives the same."""
    level: Text | None = pydantic.Field(default=None, max_length=64)
    """Null: a mix of the levels that training may have."""


class TracesWanted(QuestionsWanted):
    """Which traces."""

    split: Literal["train", "evaluation"] = "train"
    """Prompts for training, or those that are held out; none is both."""


class TracesMade(Answer):
    """What was made and is kept."""

    created_count: int
    trace_ids: list[str]
    """In the order in which they were made."""


@router.get("", summary="What can be generated", responses=declared())
def listing() -> list[Described]:
    """List the generators."""
    return [
        Described(name=each.name, about=each.about, levels=list(each.levels), harder=each.harder)
        for each in map(find_generator, GENERATORS)
    ]


@router.post("/{name}/generate", status_code=201, summary="Make traces and keep them", responses=declared(404))
def generate(
    name: Name, wanted: Annotated[TracesWanted, Body(examples=[{"count": 200, "seed": 0}])], house: Shared
) -> TracesMade:
    """Make up to 10,000 traces and keep them, all or none."""
    made = list(_found(name).traces(wanted.count, wanted.seed, wanted.level, wanted.split))
    stored = house.store.add(made)
    return TracesMade(created_count=len(stored), trace_ids=[each.id for each in stored])


@router.post(
    "/{name}/questions.jsonl",
    summary="Make an eval set",
    response_class=StreamingResponse,
    responses={**declared(404), 200: NDJSON},
)
def questions(
    name: Name, wanted: Annotated[QuestionsWanted, Body(examples=[{"count": 50, "seed": 1}])]
) -> StreamingResponse:
    """Make questions whose prompts no trace for training has. A row is `{id, prompt, expected_answer, ...}`."""
    made = _found(name).questions(wanted.count, wanted.seed, wanted.level)
    lines = (line.encode() for line in lines_of(made))
    pieces = (b"".join(part) for part in iter(lambda: list(itertools.islice(lines, 200)), []))
    return rows(pieces)


def _found(name: str) -> Generator:
    if name not in GENERATORS:
        raise NotFoundError(f"There is no generator '{name[:64]}'. GET /api/generators lists them.")
    return find_generator(name)
