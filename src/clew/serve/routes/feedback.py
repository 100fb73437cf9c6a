"""Feedback: keep ratings of answers, list them, and have them as preference pairs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Query

from clew.serve.answers import Answer, Limit, Offset, PageOf, page_of
from clew.serve.bodies import StrictRoute
from clew.serve.faults import declared
from clew.serve.house import Shared
from clew.traces.preferences.feedback import pairs_of_ratings
from clew.traces.ratings import Choice, Rating, Scored, StoredRating

router = APIRouter(prefix="/feedback", tags=["feedback"], route_class=StrictRoute)

CHOICE_EXAMPLE = {
    "prompt": "What is 27 + 35?",
    "first": "Answer: 62",
    "second": "Answer: 63",
    "preferred": "first",
    "rater": "ada",
}
SCORED_EXAMPLE = {"prompt": "What is 27 + 35?", "answer": "Answer: 62", "score": 5, "rater": "ada"}

OneRating = Annotated[Rating, Body(examples=[CHOICE_EXAMPLE, SCORED_EXAMPLE])]


class KeptRating(Answer):
    """A rating that is kept."""

    id: str
    """Its id."""
    created_at: datetime
    """When it was kept."""
    payload: Choice | Scored
    """The rating."""


class FeedbackPair(Answer):
    """Two answers of which one is preferred."""

    id: str
    """Its place among the pairs."""
    prompt: str
    """The question."""
    chosen: str
    """The answer that is preferred."""
    rejected: str
    """The other."""


def _kept(stored: StoredRating) -> KeptRating:
    return KeptRating.model_validate({"id": stored.id, "created_at": stored.created_at, "payload": stored.rating})


@router.post("", status_code=201, summary="Keep a rating", responses=declared(413))
def create(rating: OneRating, house: Shared) -> KeptRating:
    """Keep which of two answers is better, or what one is worth from 1 to 5. When the answer comes, it is on the disk.

    Who rates the same again changes their mind: the newest counts.
    """
    return _kept(house.store.add_rating(rating))


@router.get("", summary="List ratings, the newest first", responses=declared())
def listing(house: Shared, limit: Limit = 20, offset: Offset = 0) -> PageOf[KeptRating]:
    """List ratings, those that were changed later among them."""
    return page_of([_kept(each) for each in house.store.ratings_page(limit + 1, offset)], limit, offset)


@router.get("/pairs", summary="Preference pairs of the ratings", responses=declared())
def pairs(
    house: Shared,
    limit: Limit = 20,
    offset: Offset = 0,
    most: Annotated[int, Query(ge=0, lt=2**31, description="The most pairs of a question; 0: all.")] = 0,
) -> PageOf[FeedbackPair]:
    """List what raters prefer to what, from the first rating to the last; a draw makes no pair."""
    found = pairs_of_ratings(house.store.ratings(), most=most)[offset : offset + limit + 1]
    rows = [
        FeedbackPair.model_validate({key: each.document()[key] for key in FeedbackPair.model_fields}) for each in found
    ]
    return page_of(rows, limit, offset)
