"""The leaderboard, and whether an evaluation holds against a named baseline."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic
from fastapi import APIRouter, Body, Query

from clew.serve.answers import Answer, Limit, Offset, PageOf, page_of
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import House, Shared
from clew.traces import regression
from clew.traces.records import Evaluation
from clew.traces.regression import Rule
from clew.traces.schema import NotFoundError, Strict, Text

router = APIRouter(tags=["evaluations"], route_class=StrictRoute)


class EvaluationShown(Answer):
    """A row of the leaderboard: what a model is worth on a set of questions."""

    id: str
    created_at: str
    name: str
    """Of the model: the id of the run that made it, or what the run began with."""
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
    figures: dict[str, Any] | None
    """Tokens written, seconds, answers that were cut short."""
    sampling: dict[str, Any] | None
    """How the answers were drawn."""


class Chosen(Strict):
    """An evaluation, by its id or by the run whose model was evaluated."""

    evaluation_id: Text | None = pydantic.Field(default=None, min_length=1, max_length=64)
    """As the leaderboard has it."""
    run_id: Text | None = pydantic.Field(default=None, min_length=1, max_length=64)
    """The newest evaluation of this run's model."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> Self:
        if (self.evaluation_id is None) == (self.run_id is None):
            raise ValueError("one of evaluation_id and run_id says which evaluation")
        return self


class BaselineRequest(Chosen):
    """An evaluation that gets a name."""

    name: Text = pydantic.Field(min_length=1, max_length=256)
    """The name."""
    replace: bool = False
    """Whether it takes the name from another."""


class CheckRequest(Chosen):
    """An evaluation that is held against a baseline."""

    baseline: Text = pydantic.Field(min_length=1, max_length=256)
    """The name of the baseline."""
    tolerance: float = pydantic.Field(default=0.0, ge=0, le=1)
    """The fall of the mean score that is put up with."""
    rule: Rule = "significant"
    """What fails: `significant`, a fall that is shown (95%); `mean`, any fall of the mean; `noninferior`, a fall that
    cannot be ruled out."""


class BaselineShown(Answer):
    """A named evaluation."""

    name: str
    created_at: str
    evaluation: EvaluationShown


class VerdictShown(Answer):
    """Pass or fail, and why."""

    verdict: Literal["pass", "fail"]
    passed: bool
    sentence: str
    """What was found."""
    baseline: str
    baseline_id: str
    """Of the evaluation that the baseline names."""
    baseline_model: str
    model: str
    evaluation_id: str
    judge: str
    rule: str
    tolerance: float
    change: dict[str, Any]
    """Question by question: the means, the change with its 95% interval, how many got better and worse."""


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
    wanted: Annotated[BaselineRequest, Body(examples=[{"name": "released", "run_id": "..."}])], house: Shared
) -> BaselineShown:
    """Give an evaluation a name that others are held against."""
    made = regression.set_baseline(house.store, wanted.name, _chosen(house, wanted).id, replace=wanted.replace)
    return BaselineShown(name=made.name, created_at=made.created_at, evaluation=shown(made.evaluation))


@router.post("/regression/check", summary="Hold an evaluation against a baseline", responses=declared(404))
def check(
    wanted: Annotated[CheckRequest, Body(examples=[{"baseline": "released", "run_id": "..."}])], house: Shared
) -> VerdictShown:
    """Say whether a model is worse than a named baseline on the same questions."""
    evaluation = _chosen(house, wanted)
    verdict = regression.check(house.store, wanted.baseline, evaluation, tolerance=wanted.tolerance, rule=wanted.rule)
    return VerdictShown(**verdict.as_json(), evaluation_id=evaluation.id)


def _chosen(house: House, wanted: Chosen) -> Evaluation:
    if wanted.evaluation_id is not None:
        return house.store.evaluation(wanted.evaluation_id)
    of_run = (each for each in house.store.evaluations("newest") if each.name == wanted.run_id)
    if (found := next(of_run, None)) is None:
        raise NotFoundError(
            f"The model of the run '{wanted.run_id}' was not evaluated. POST /api/tunix/runs/ID/evaluate does that."
        )
    return found


def shown(evaluation: Evaluation) -> EvaluationShown:
    """An evaluation as it is answered."""
    told = regression.summary(evaluation)
    return EvaluationShown(**{name: value for name, value in told.items() if name != "path"})
