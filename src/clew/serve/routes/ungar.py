"""High Card Duel, by the interface that its clients know."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Annotated, Literal

import pydantic
import sqlalchemy as sa
from fastapi import APIRouter, Body, Query
from fastapi.responses import StreamingResponse

from clew.serve.answers import VERSION, Answer
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import House, Shared
from clew.serve.streams import NDJSON, rows
from clew.traces.generators import find_generator
from clew.traces.generators.high_card_duel import HighCardDuel
from clew.traces.renderings import lines
from clew.traces.schema import InvalidError, Strict, Trace
from clew.traces.store import Stored
from clew.traces.tables import TRACES

GAME = HighCardDuel.name
SHOWN = 3
router = APIRouter(prefix="/ungar", tags=["high card duel"], route_class=StrictRoute)


class DuelStatus(Answer):
    """Whether the game can be played here."""

    available: bool
    version: str


class DuelsWanted(Strict):
    """How many games, and from which seed on."""

    count: int = pydantic.Field(ge=1, le=100)
    """Games; game i has the seed `seed + i`."""
    seed: int | None = pydantic.Field(default=None, ge=0, lt=2**53)
    """Null: one that nobody chose; each trace tells its own."""
    persist: bool = True
    """Whether the traces are kept."""


class Preview(Answer):
    """A game in short."""

    trace_id: str | None
    """Null where the trace is not kept."""
    game: str
    result: Literal["win", "loss", "tie"]
    my_card: str


class Duels(Answer):
    """What was played."""

    trace_ids: list[str]
    """Of every trace that is kept, in the order of the games."""
    preview: list[Preview]
    """The first three."""


@router.get("/status", summary="Whether the game can be played here", responses=declared())
def status() -> DuelStatus:
    """Tell that the game ships with Clew."""
    return DuelStatus(available=True, version=VERSION)


@router.post("/high-card-duel/generate", status_code=201, summary="Play games and keep them", responses=declared())
def generate(wanted: Annotated[DuelsWanted, Body(examples=[{"count": 6, "seed": 42}])], house: Shared) -> Duels:
    """Play games, each a trace. The same seeds give the same cards."""
    seed = random.SystemRandom().randrange(2**32) if wanted.seed is None else wanted.seed
    traces = list(find_generator(GAME).traces(wanted.count, seed))
    kept: list[Stored] = house.store.add(traces) if wanted.persist else []
    ids = [each.id for each in kept]
    shown = [_preview(trace, ids[index] if ids else None) for index, trace in enumerate(traces[:SHOWN])]
    return Duels(trace_ids=ids, preview=shown)


def _preview(trace: Trace, trace_id: str | None) -> Preview:
    told = trace.meta or {}
    return Preview(trace_id=trace_id, game=told["game"], result=told["result"], my_card=told["my_card"])


@router.get(
    "/high-card-duel/export.jsonl",
    summary="Games as rows of the format `trace`",
    response_class=StreamingResponse,
    responses={**declared(404), 200: NDJSON},
)
def export(
    house: Shared,
    limit: Annotated[int, Query(ge=1, le=10_000, description="The most rows.")] = 100,
    trace_ids: Annotated[
        str | None, Query(max_length=400_000, description="Ids with commas between them; without, the newest games.")
    ] = None,
) -> StreamingResponse:
    """Stream the newest games, or those of the ids, in the order of the ids."""
    return rows(lines(_games(house, limit, trace_ids), "trace"))


def _games(house: House, limit: int, trace_ids: str | None) -> Iterator[Stored]:
    if trace_ids is not None:
        ids = [each.strip() for each in trace_ids.split(",") if each.strip()]
        if not ids:
            raise InvalidError("trace_ids names no trace. Write ids with commas between them, or leave it out.")
        return house.store.iterate(ids[:limit])
    wanted = TRACES.c.meta.like(f'%"game":"{GAME}"%')
    newest = sa.select(TRACES.c.id).where(wanted).order_by(TRACES.c.number.desc()).limit(limit)
    with house.store.database.reading() as connection:
        found = list(connection.execute(newest).scalars())
    return house.store.iterate(found, {"game": GAME})
