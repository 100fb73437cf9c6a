"""The application: its routes, what stands before them, and how it tells faults."""

from __future__ import annotations

from typing import Literal

import fastapi

from clew.serve import faults
from clew.serve.answers import VERSION, Answer
from clew.serve.authentication import Gate
from clew.serve.bodies import MOST_OF_BATCH, MOST_OF_UPLOAD, BodyLimit
from clew.serve.house import House
from clew.serve.routes import datasets, evaluations, feedback, generators, runs, traces, ungar

LIMITS = {
    "/traces/batch": MOST_OF_BATCH,
    "/datasets/ingest": MOST_OF_UPLOAD,
    "/tunix/run": MOST_OF_BATCH,
    "/evaluate": MOST_OF_BATCH,
}
"""The end of a path -> the most bytes of a body; the others take as many as a trace has."""

_ABOUT = """Reasoning traces, immutable datasets of them, and the training and evaluation of models on these.

A fault is a status code and `{"detail": "a sentence"}`."""


class Health(Answer):
    """That the server answers."""

    status: Literal["healthy"] = "healthy"
    version: str = VERSION


def create_app(house: House) -> fastapi.FastAPI:
    """The application over the store and the jobs of `house`."""
    app = fastapi.FastAPI(
        title="Clew",
        version=VERSION,
        description=_ABOUT,
        # The pages that FastAPI ships fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.house = house
    faults.install(app)
    for room in (traces, ungar, generators, datasets, runs, evaluations, feedback):
        app.include_router(room.router, prefix="/api")
    app.add_middleware(BodyLimit, limits=LIMITS)
    app.add_middleware(Gate, token=house.token)

    @app.get("/api/health", tags=["health"], summary="Whether the server answers")
    async def health() -> Health:
        """Tell that the server answers; it needs no token."""
        return Health()

    return app
