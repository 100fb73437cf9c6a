"""Datasets: build, list, show, export, and traces out of an uploaded file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, UploadFile
from fastapi.responses import StreamingResponse

from clew.serve.answers import Answer, DatasetKey
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import Shared
from clew.serve.streams import NDJSON, rows
from clew.traces import datasets
from clew.traces.datasets import BuildRequest, Manifest
from clew.traces.ingest import ingest as ingest_file
from clew.traces.renderings import FORMATS

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=StrictRoute)

BUILD_EXAMPLE = {"dataset_name": "sums", "dataset_version": "1", "filters": {"generator": "arithmetic"}, "limit": 200}


class Built(Answer):
    """A dataset that is there now."""

    dataset_key: str
    """`{name}-{version}`."""
    build_id: str
    """Of this build, and of no other."""
    trace_count: int
    manifest_path: str
    """Where its manifest lies on the server."""


class Ingested(Answer):
    """Traces out of a file, all of them."""

    ingested_count: int
    trace_ids: list[str]
    """In the order of the file."""


@router.post("/build", status_code=201, summary="Build a dataset", responses=declared(409))
def build(wanted: Annotated[BuildRequest, Body(examples=[BUILD_EXAMPLE])], house: Shared) -> Built:
    """Choose traces and fix them as a dataset. A key that is there with the same content is given back as it is."""
    built = datasets.build(house.store, wanted)
    return Built(
        dataset_key=built.manifest.dataset_key,
        build_id=built.manifest.build_id,
        trace_count=built.manifest.trace_count,
        manifest_path=str(built.manifest_path),
    )


@router.post("/ingest", status_code=201, summary="Keep the traces of an uploaded file", responses=declared(413))
def ingest(file: UploadFile, house: Shared) -> Ingested:
    """Keep each line of a file of JSONL as a trace: all of them, or none where one is bad.

    A line is a trace or a row of any export. An upload that breaks off leaves nothing behind.
    """
    ids = ingest_file(house.store, file.file, name=file.filename or "the upload").trace_ids
    return Ingested(ingested_count=len(ids), trace_ids=ids)


@router.get("/{key}", summary="The manifest of a dataset", responses=declared(404))
def show(key: DatasetKey, house: Shared) -> Manifest:
    """Show a dataset's manifest."""
    return datasets.load(house.store, key)


@router.get(
    "/{key}/export.jsonl",
    summary="The rows of a dataset",
    response_class=StreamingResponse,
    responses={**declared(404, 409), 200: NDJSON},
)
def export(
    key: DatasetKey,
    house: Shared,
    format: Annotated[str, Query(description="One of " + ", ".join(FORMATS) + ".", max_length=64)] = "trace",
) -> StreamingResponse:
    """Stream the rows in the order of the manifest. 409: the dataset was changed by hand."""
    return rows(datasets.export(house.store, key, format))
