"""Trainings: start, watch, cancel, evaluate, and what they made."""

from __future__ import annotations

import mimetypes
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Path
from fastapi.responses import FileResponse, StreamingResponse

from clew.runs.history import METRICS, MetricsFile
from clew.serve import artifacts, events
from clew.serve.answers import Answer, Id, Limit, Offset, PageOf, page_of
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import House, Shared
from clew.serve.jobs import OVER
from clew.serve.plans import EvaluateRequest, RunRequest
from clew.traces.records import Job
from clew.traces.schema import NotFoundError

router = APIRouter(prefix="/tunix", tags=["runs"], route_class=StrictRoute)

State = Literal["queued", "starting", "running", "cancelling", "completed", "failed", "cancelled"]


class RunStatus(Answer):
    """How a run stands."""

    run_id: str
    kind: Literal["train", "evaluate"]
    """Whether it trains a model or evaluates one."""
    status: State
    created_at: str
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    """Of its process, once that has ended."""
    error: str | None
    """Why it failed, in a sentence."""


class RunShown(RunStatus):
    """A run, and what was asked for."""

    dataset_key: str | None
    """What it trains on; null for an evaluation."""
    build_id: str | None
    """The build of the dataset."""
    model: str
    """The model that it begins with, or evaluates."""
    steps: int | None
    """Optimiser steps."""
    learning_rate: float | None
    """Its peak."""
    seed: int
    dry_run: bool
    """Whether nothing is trained."""
    backend: str | None
    """The library that trains."""
    evaluated_run_id: str | None
    """The run whose model an evaluation is of."""
    output_dir: str | None
    """The run's folder on the server."""


class Artifact(Answer):
    """A file that a run made."""

    path: str
    """Within the run's folder; GET .../artifacts/{path} gives its content."""
    size: int
    """In bytes."""
    sha256: str


class Artifacts(Answer):
    """The files that a run made so far."""

    run_id: str
    data: list[Artifact]


class Metrics(Answer):
    """What a run wrote down while it trained."""

    run_id: str
    data: list[dict[str, Any]]
    """Rows in order: `step` with loss, learning rate and more; or `step` with an `evaluation`."""


@router.post("/run", status_code=202, summary="Train a model", responses=declared(404, 409, 413))
def run(
    wanted: Annotated[
        RunRequest,
        Body(examples=[{"dataset_key": "sums-1", "model": "base", "steps": 50, "learning_rate": 1e-5, "seed": 42}]),
    ],
    house: Shared,
) -> RunShown:
    """Put a training into the queue. It is a process of its own, which outlives this server; one runs at a time."""
    return _shown(house, house.jobs.submit(house.plans.train(wanted), wanted.eval_set))


@router.get("/runs", summary="List trainings, the newest first", responses=declared())
def listing(house: Shared, limit: Limit = 20, offset: Offset = 0) -> PageOf[RunShown]:
    """List the trainings that were asked for."""
    trainings = [job for job in house.store.jobs() if job.request["kind"] == "train"]
    return page_of([_shown(house, job) for job in trainings[offset : offset + limit + 1]], limit, offset)


@router.get("/runs/{id}", summary="A run", responses=declared(404))
def show(id: Id, house: Shared) -> RunShown:
    """Show a training or an evaluation."""
    return _shown(house, house.store.job(id))


@router.get("/runs/{id}/status", summary="How a run stands", responses=declared(404))
def status(id: Id, house: Shared) -> RunStatus:
    """Show how a run stands."""
    return _status(house.store.job(id))


@router.get(
    "/runs/{id}/logs",
    summary="What a run says, as server-sent events",
    response_class=StreamingResponse,
    responses={
        **declared(404),
        200: {
            "description": "An event a line as it is written, then an event `end` with the status. After a break, send "
            "the id of the last event as Last-Event-ID: none is missed, none comes twice.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": "id: 12\ndata: step 10\n\n"}},
        },
    },
)
def logs(id: Id, house: Shared, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
    """Stream the log of a run."""
    job = house.store.job(id)
    place = events.resumed_at(last_event_id)

    def outcome() -> events.Outcome | None:
        now = house.store.job(id)
        return _status(now).model_dump(mode="json") if now.state in OVER else None

    following = events.follow(house.jobs.log_of(job), place, outcome, house.closing.is_set)
    return StreamingResponse(
        following, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


@router.get("/runs/{id}/artifacts", summary="The files of a run", responses=declared(404))
def listed(id: Id, house: Shared) -> Artifacts:
    """List the files that a run made, with their hashes."""
    found = artifacts.artifacts(house.plans.made_in(house.store.job(id)))
    return Artifacts(run_id=id, data=[Artifact(**vars(each)) for each in found])


@router.get(
    "/runs/{id}/artifacts/{path:path}",
    summary="A file of a run",
    response_class=FileResponse,
    responses={
        **declared(404),
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
def artifact(
    id: Id, path: Annotated[str, Path(max_length=1_000, description="As the list has it.")], house: Shared
) -> FileResponse:
    """Give the content of a file that a run made."""
    found = artifacts.find(house.plans.made_in(house.store.job(id)), path)
    # A page or a script that a run made is shown as text: it must not act in the name of this server.
    kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    safe = kind if kind in ("image/png", "application/json") else "text/plain" if kind.startswith("text/") else None
    return FileResponse(
        found, media_type=safe or "application/octet-stream", headers={"X-Content-Type-Options": "nosniff"}
    )


@router.get("/runs/{id}/metrics", summary="What a run wrote down while it trained", responses=declared(404, 409))
def metrics(id: Id, house: Shared) -> Metrics:
    """Show the rows of the run's metrics that there are by now."""
    job = house.store.job(id)
    return Metrics(run_id=id, data=MetricsFile(house.plans.made_in(job) / METRICS).read())


@router.post("/runs/{id}/cancel", status_code=202, summary="Cancel a run", responses=declared(404, 409))
def cancel(id: Id, house: Shared) -> RunStatus:
    """End a run: at once while it waits, else when it has saved what it has."""
    return _status(house.jobs.cancel(id))


@router.post(
    "/runs/{id}/evaluate", status_code=202, summary="Evaluate a run's model", responses=declared(404, 409, 413)
)
def evaluate(
    id: Id,
    house: Shared,
    wanted: Annotated[
        EvaluateRequest | None,
        Body(examples=[{"eval_set": [{"id": "q1", "prompt": "What is 27 + 35?", "expected_answer": "62"}]}]),
    ] = None,
) -> RunShown:
    """Put an evaluation into the queue; what comes of it stands in GET /api/tunix/evaluations."""
    wanted = wanted or EvaluateRequest()
    return _shown(house, house.jobs.submit(house.plans.evaluate(_training(house, id), wanted), wanted.eval_set))


def _training(house: House, job_id: str) -> Job:
    job = house.store.job(job_id)
    if job.request["kind"] != "train":
        raise NotFoundError(f"{job_id} is an evaluation, not a training. GET /api/tunix/runs lists trainings.")
    return job


def _status(job: Job) -> RunStatus:
    return RunStatus(
        run_id=job.id,
        kind=job.request["kind"],
        status=job.state,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        exit_code=job.exit_code,
        error=job.error,
    )


def _shown(house: House, job: Job) -> RunShown:
    asked = job.request
    settled = asked.get("settled", {})
    return RunShown(
        **_status(job).model_dump(),
        dataset_key=asked.get("dataset_key"),
        build_id=asked.get("build_id"),
        model=asked["model"],
        steps=settled.get("steps"),
        learning_rate=settled.get("learning_rate"),
        seed=settled.get("seed", asked["seed"]),
        dry_run=asked.get("dry_run", False),
        backend=asked.get("backend"),
        evaluated_run_id=asked.get("run_id"),
        output_dir=str(house.plans.made_in(job)),
    )
