"""Traces: keep, list, show, compare, score."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from clew.serve.answers import TRACE_EXAMPLE, Answer, Id, IdQuery, Limit, Made, Offset, PageOf, page_of
from clew.serve.bodies import StrictRoute
from clew.serve.faults import EmptyBatchError, TooLargeError, declared
from clew.serve.house import Shared
from clew.traces.schema import MOST_BYTES, Trace
from clew.traces.scoring import ScoreRequest
from clew.traces.scoring import score as judge
from clew.traces.store import Score, Stored

MOST_TRACES = 1_000
router = APIRouter(prefix="/traces", tags=["traces"], route_class=StrictRoute)

CRITERIA_EXAMPLE = {"criteria": {"judge": "answer", "expected": "62"}}

OneTrace = Annotated[Trace, Body(examples=[TRACE_EXAMPLE])]
ManyTraces = Annotated[
    list[Trace],
    Body(max_length=MOST_TRACES, examples=[[TRACE_EXAMPLE]], json_schema_extra={"minItems": 1}),
]


class Kept(Made):
    """A trace with the id and the time that it got."""

    payload: Trace
    """The trace."""


class Scored(Answer):
    """What a trace is worth by some criteria."""

    id: str
    trace_id: str
    created_at: str
    criteria: dict[str, Any]
    """What was asked."""
    score: float
    """0 to 1."""
    details: dict[str, Any]
    """How it came about."""


class KeptAndScored(Kept):
    """A trace with its scores."""

    scores: list[Scored]
    """From the oldest to the newest."""


class Batch(Answer):
    """A batch that is kept, all of it."""

    created_count: int
    """How many traces."""
    traces: list[Made]
    """In the order of the batch."""


class Comparison(Answer):
    """Two traces side by side."""

    base: KeptAndScored
    other: KeptAndScored


def made(stored: Stored, trace: Trace | None = None) -> Made:
    """What is answered for a trace that was written."""
    return Made(id=stored.id, created_at=stored.created_at, trace_version=(trace or stored.trace).trace_version)


def _kept(stored: Stored) -> Kept:
    trace = stored.trace
    return Kept(id=stored.id, created_at=stored.created_at, trace_version=trace.trace_version, payload=trace)


def _scored(score: Score) -> Scored:
    return Scored(**vars(score))


@router.post("", status_code=201, summary="Keep a trace", responses=declared(413))
def create(trace: OneTrace, house: Shared) -> Made:
    """Keep a trace. When the answer comes, it is on the disk."""
    check_size([trace])
    return made(house.store.add([trace])[0], trace)


@router.post("/batch", status_code=201, summary="Keep up to 1,000 traces, all or none", responses=declared(413))
def create_batch(traces: ManyTraces, house: Shared) -> Batch:
    """Keep 1 to 1,000 traces, 16 MiB of JSON in all, in one transaction."""
    if not traces:
        raise EmptyBatchError("The batch is empty. Send an array of 1 to 1,000 traces.")
    check_size(traces)
    stored = house.store.add(traces)
    return Batch(created_count=len(stored), traces=[made(*each) for each in zip(stored, traces, strict=True)])


def check_size(traces: list[Trace]) -> None:
    """Raise `TooLargeError` naming the first trace past 1 MiB."""
    for index, trace in enumerate(traces):
        length = len(trace.model_dump_json().encode())
        if length > MOST_BYTES:
            raise TooLargeError(f"Trace {index + 1} has {length:,} bytes as JSON; at most {MOST_BYTES:,} are kept.")


@router.post("/{id}/score", status_code=201, summary="Judge a trace", responses=declared(404))
def score(
    id: Id, wanted: Annotated[ScoreRequest, Body(examples=[{"criteria": "steps"}, CRITERIA_EXAMPLE])], house: Shared
) -> Scored:
    """Have a judge say what a trace is worth, from 0 to 1, and keep the score.

    `steps` and `checker` know by themselves what is right of a trace that a generator made; the others (`answer`,
    `exact`, `numeric`, `numeric:0.01`, `choice`) are told what is expected.
    """
    return _scored(judge(house.store, id, wanted.chosen))


@router.get("", summary="List traces, the newest first", responses=declared())
def listing(house: Shared, limit: Limit = 20, offset: Offset = 0) -> PageOf[Made]:
    """List ids, times and versions; GET /api/traces/{id} gives a trace itself."""
    return page_of([made(each) for each in house.store.page(limit + 1, offset)], limit, offset)


@router.get("/compare", summary="Two traces side by side", responses=declared(404))
def compare(
    house: Shared,
    base: IdQuery,
    other: IdQuery,
) -> Comparison:
    """Show two traces with their scores."""

    def side(trace_id: str) -> KeptAndScored:
        stored = house.store.get(trace_id)
        scores = [_scored(each) for each in house.store.scores(stored.id)]
        return KeptAndScored(**vars(_kept(stored)), scores=scores)

    return Comparison(base=side(base), other=side(other))


@router.get("/{id}", summary="A trace", responses=declared(404))
def show(id: Id, house: Shared) -> Kept:
    """Show a trace."""
    return _kept(house.store.get(id))
