"""Ratings that a store keeps: which of two answers somebody prefers, or what one answer is worth to them.

One who rates the same again has changed their mind: the newest rating counts, the older ones stay to be read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import pydantic
import sqlalchemy as sa

from clew.core.errors import EvidenceError
from clew.core.files import canonical_json, sha256_of
from clew.databases.engine import Database
from clew.traces.kept import RESTORE, sought
from clew.traces.moments import now
from clew.traces.schema import Strict, Text
from clew.traces.tables import RATINGS

ANONYMOUS = "anonymous"
BEST_SCORE = 5
_AT_ONCE = 1_000


class _Rated(Strict):
    """What every rating has."""

    prompt: Text = pydantic.Field(min_length=1, max_length=50_000)
    """The question."""
    rater: Text = pydantic.Field(default=ANONYMOUS, min_length=1, max_length=64)
    """Who rates."""


class Choice(_Rated):
    """Which of two answers to a question is preferred."""

    first: Text = pydantic.Field(min_length=1, max_length=50_000)
    """One answer."""
    second: Text = pydantic.Field(min_length=1, max_length=50_000)
    """The other."""
    preferred: Literal["first", "second", "equal"]
    """Which is better."""

    @pydantic.model_validator(mode="after")
    def _answers_differ(self) -> Self:
        if self.first == self.second:
            raise ValueError("the two answers are the same, so neither is better")
        return self

    @property
    def item(self) -> str:
        """Hash of what is rated, the same in whatever order the answers were shown."""
        return sha256_of(canonical_json([self.prompt, *sorted((self.first, self.second))]))


class Scored(_Rated):
    """What an answer to a question is worth."""

    answer: Text = pydantic.Field(min_length=1, max_length=50_000)
    """The answer."""
    score: int = pydantic.Field(ge=1, le=BEST_SCORE)
    """1, the worst, to 5, the best."""

    @property
    def item(self) -> str:
        """Hash of what is rated."""
        return sha256_of(canonical_json([self.prompt, self.answer]))


Rating = Choice | Scored
RATING: pydantic.TypeAdapter[Rating] = pydantic.TypeAdapter(Rating)


@dataclass(frozen=True)
class StoredRating:
    """A rating that is kept, by the id and the time that it got."""

    id: str
    created_at: str
    rating: Rating

    def document(self) -> dict[str, Any]:
        """Id, time and the rating itself, for JSON."""
        return {"id": self.id, "created_at": self.created_at, **self.rating.model_dump(mode="json")}


class Ratings:
    """The methods of a store for ratings."""

    database: Database
    name: str

    def add_rating(self, rating: Rating) -> StoredRating:
        """Keep a rating; when this returns, it is on the disk."""
        made = StoredRating(str(uuid.uuid4()), now(), rating)
        values = {
            "id": made.id,
            "created_at": made.created_at,
            "rater": rating.rater,
            "item": rating.item,
            "content": canonical_json(rating.model_dump(mode="json")),
        }
        with self.database.writing("write into") as connection:
            connection.execute(sa.insert(RATINGS), values)
        return made

    def remove_rating(self, rating_id: str) -> None:
        """Take a rating back that was given by mistake; one that is not there is no error."""
        with self.database.writing("write into") as connection:
            connection.execute(sa.delete(RATINGS).where(RATINGS.c.id == sought(rating_id)))

    def ratings_page(self, limit: int = 20, offset: int = 0) -> list[StoredRating]:
        """`limit` ratings behind the first `offset`, the newest first, those that were changed later among them."""
        query = _SELECT.order_by(RATINGS.c.number.desc()).limit(limit).offset(min(offset, 2**62))
        with self.database.reading() as connection:
            return [_stored(*row) for row in connection.execute(query)]

    def ratings(self) -> Iterator[StoredRating]:
        """The ratings that count, the oldest first, some at a time in memory: of one rater and item the newest."""
        newest = sa.select(sa.func.max(RATINGS.c.number)).group_by(RATINGS.c.rater, RATINGS.c.item)
        after = 0
        while True:
            query = sa.select(RATINGS.c.number, *_COLUMNS).where(RATINGS.c.number > after, RATINGS.c.number.in_(newest))
            with self.database.reading() as connection:
                rows = connection.execute(query.order_by(RATINGS.c.number).limit(_AT_ONCE)).all()
            for row in rows:
                yield _stored(*row[1:])
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][0]

    def rated_by(self, rater: str) -> set[str]:
        """The items that somebody has rated."""
        query = sa.select(RATINGS.c.item).where(RATINGS.c.rater == sought(rater)).distinct()
        with self.database.reading() as connection:
            return set(connection.execute(query).scalars())

    def count_ratings(self) -> int:
        """How many ratings there are, those that were changed later among them."""
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(RATINGS)).scalar_one())


_COLUMNS = (RATINGS.c.id, RATINGS.c.created_at, RATINGS.c.content)
_SELECT = sa.select(*_COLUMNS)


def _stored(rating_id: str, created_at: str, content: str) -> StoredRating:
    try:
        return StoredRating(rating_id, created_at, RATING.validate_json(content))
    except pydantic.ValidationError as error:
        raise EvidenceError(
            f"The rating {rating_id} was changed in the database and is none any more: {error.errors()[0]['msg']}. "
            f"{RESTORE}"
        ) from error
