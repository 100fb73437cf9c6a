"""The leaderboard, and whether an evaluation holds against a named baseline."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Body, Query

from clew.serve.answers import Answer, Limit, Offset, PageOf, page_of
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import Shared
from clew.traces.records import Evaluation
from clew.traces.schema import Strict, Text

router = APIRouter(tags=["evaluations"], route_class=StrictRoute)


class EvaluationShown(Answer):
    """A row of the leaderboard: what a model is worth on a set of questions."""

    id: str
    created_at: str
    name: str
    """Of the model."""
    eval_set_sha256: str
    """Which questions: scores on different ones are not compared."""
    judge: str
    examples: int
    """How many questions."""
    mean_score: float
    """0 to 1."""
    low: float | None
    """Lower end of the 95% interval of the mean."""
    high: float | None
    """Upper end."""
    details: dict[str, Any]
    """The run and the job that it came from."""


class BaselineRequest(Strict):
    """An evaluation that gets a name."""

    name: Text = pydantic.Field(min_length=1, max_length=256)
    """The name."""
    evaluation_id: Text = pydantic.Field(min_length=1, max_length=64)
    """As the leaderboard has it."""
    replace: bool = False
    """Whether it takes the name from another."""


class BaselineShown(Answer):
    """A named evaluation."""

    name: str
    created_at: str
    evaluation: EvaluationShown


@router.get("/tunix/evaluations", summary="The leaderboard", responses=declared())
def leaderboard(
    house: Shared,
    limit: Limit = 20,
    offset: Offset = 0,
    order: Annotated[Literal["score", "newest"], Query(description="The best first, or the newest.")] = "score",
    eval_set_sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="Of these questions.")] = None,
) -> PageOf[EvaluationShown]:
    """List evaluations, the best first."""
    found = house.store.evaluations(order, eval_set_sha256=eval_set_sha256, limit=limit + 1, offset=offset)
    return page_of([shown(each) for each in found], limit, offset)


@router.post("/regression/baselines", status_code=201, summary="Name a baseline", responses=declared(404, 409))
def name_baseline(
    wanted: Annotated[BaselineRequest, Body(examples=[{"name": "released", "evaluation_id": "..."}])], house: Shared
) -> BaselineShown:
    """Give an evaluation a name that others are held against."""
    made = house.store.set_baseline(wanted.name, wanted.evaluation_id, replace=wanted.replace)
    return BaselineShown(name=made.name, created_at=made.created_at, evaluation=shown(made.evaluation))


def shown(evaluation: Evaluation) -> EvaluationShown:
    """An evaluation as it is answered."""
    return EvaluationShown(**{name: value for name, value in vars(evaluation).items() if name != "path"})
