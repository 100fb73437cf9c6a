"""What a store keeps beside traces: runs started over HTTP, evaluations, and baselines that they are held against."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from clew.databases.engine import Connection, Database
from clew.traces.kept import json_text, kept_object, sought
from clew.traces.moments import now
from clew.traces.schema import ConflictError, InvalidError, NotFoundError
from clew.traces.tables import BASELINES, EVALUATIONS, JOBS


@dataclass(frozen=True)
class Job:
    """A run that was asked for, and what became of it. The states are the caller's own words."""

    id: str
    state: str
    request: dict[str, Any]
    folder: str | None
    pid: int | None
    pid_started: str | None
    """What tells the process apart from a later one that got its number."""
    exit_code: int | None
    error: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None


@dataclass(frozen=True)
class Evaluation:
    """A model's score on a set of questions: a row of the leaderboard."""

    id: str
    created_at: str
    name: str
    """Of the model."""
    eval_set_sha256: str
    judge: str
    examples: int
    mean_score: float
    low: float | None
    """Lower end of the interval of `mean_score`."""
    high: float | None
    path: str | None
    details: dict[str, Any]


@dataclass(frozen=True)
class Baseline:
    """An evaluation that later ones are held against, by a name."""

    name: str
    created_at: str
    evaluation: Evaluation


class Records:
    """The methods of a store for runs, evaluations and baselines."""

    database: Database
    name: str

    # Runs

    def add_job(
        self, request: Mapping[str, Any], *, state: str = "queued", folder: str | None = None, job_id: str | None = None
    ) -> Job:
        """Keep a run that is asked for; its id is new unless one is given."""
        made = Job(
            id=job_id or str(uuid.uuid4()), state=state, request=dict(request), folder=folder, pid=None,
            pid_started=None, exit_code=None, error=None, created_at=now(), started_at=None, ended_at=None,
        )  # fmt: skip
        with self.database.writing("write into") as connection:
            connection.execute(
                sa.insert(JOBS), vars(made) | {"request": json_text(made.request, "What was asked of a run")}
            )
        return made

    def job(self, job_id: str) -> Job:
        """The run of that id. Raises `NotFoundError`."""
        with self.database.reading() as connection:
            return self._job(connection, job_id)

    def _job(self, connection: Connection, job_id: str) -> Job:
        found = connection.execute(sa.select(*_JOB).where(JOBS.c.id == sought(job_id))).first()
        if found is None:
            raise NotFoundError(f"There is no run '{job_id[:64]}' in {self.name}.")
        return _job_of(found)

    def jobs(self, *, states: Sequence[str] | None = None, limit: int | None = None, offset: int = 0) -> list[Job]:
        """Runs, the newest first; `states`: those alone."""
        query = sa.select(*_JOB).order_by(JOBS.c.number.desc()).limit(limit).offset(min(offset, 2**62))
        if states is not None:
            query = query.where(JOBS.c.state.in_(states))
        with self.database.reading() as connection:
            return [_job_of(row) for row in connection.execute(query)]

    def update_job(self, job_id: str, *, expected: Sequence[str] | None = None, **changes: Any) -> Job | None:
        """Change columns of a run where its state is one of `expected` (None: any); else change nothing.

        Returns the run as it is then, or None where its state was another: of two that compare and set at once, one
        gets None. Raises `NotFoundError`.
        """
        query = sa.update(JOBS).where(JOBS.c.id == sought(job_id))
        if expected is not None:
            query = query.where(JOBS.c.state.in_(expected))
        with self.database.writing("write into") as connection:
            changed = connection.execute(query.values(**changes)).rowcount
            job = self._job(connection, job_id)
        return job if changed else None

    def claim_job(
        self, *, waiting: str = "queued", working: Sequence[str] = ("starting", "running"), state: str = "starting"
    ) -> Job | None:
        """Give the oldest `waiting` run the `state` and return it, unless one is `working`: they go one by one.

        However many servers ask at once, one gets it.
        """
        with self.database.writing("write into") as connection:
            self.database.alone(connection)
            if connection.execute(sa.select(JOBS.c.id).where(JOBS.c.state.in_(working)).limit(1)).first():
                return None
            query = sa.select(JOBS.c.id).where(JOBS.c.state == waiting).order_by(JOBS.c.number).limit(1)
            found = connection.execute(query).scalar()
            if found is None:
                return None
            connection.execute(sa.update(JOBS).where(JOBS.c.id == found).values(state=state))
            return self._job(connection, found)

    # Evaluations and baselines

    def add_evaluation(
        self,
        name: str,
        *,
        eval_set_sha256: str,
        judge: str,
        examples: int,
        mean_score: float,
        low: float | None = None,
        high: float | None = None,
        path: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Keep an evaluation."""
        made = Evaluation(
            id=str(uuid.uuid4()),
            created_at=now(),
            name=sought(name),
            eval_set_sha256=sought(eval_set_sha256),
            judge=sought(judge),
            examples=examples,
            mean_score=mean_score,
            low=low,
            high=high,
            path=None if path is None else sought(path),
            details=dict(details or {}),
        )
        with self.database.writing("write into") as connection:
            connection.execute(
                sa.insert(EVALUATIONS),
                vars(made) | {"details": json_text(made.details, "The details of an evaluation")},
            )
        return made

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """The evaluation of that id. Raises `NotFoundError`."""
        with self.database.reading() as connection:
            found = connection.execute(sa.select(*_EVALUATION).where(EVALUATIONS.c.id == sought(evaluation_id))).first()
        if found is None:
            raise NotFoundError(f"There is no evaluation '{evaluation_id[:64]}' in {self.name}.")
        return _evaluation_of(found)

    def evaluations(
        self,
        order: Literal["score", "newest"] = "score",
        *,
        eval_set_sha256: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Evaluation]:
        """The leaderboard: the best first, equal ones by time; or the newest first."""
        ordered = [EVALUATIONS.c.mean_score.desc(), EVALUATIONS.c.number] if order == "score" else []
        query = sa.select(*_EVALUATION).order_by(*ordered, EVALUATIONS.c.number.desc())
        if eval_set_sha256 is not None:
            query = query.where(EVALUATIONS.c.eval_set_sha256 == sought(eval_set_sha256))
        with self.database.reading() as connection:
            rows = connection.execute(query.limit(limit).offset(min(offset, 2**62)))
            return [_evaluation_of(row) for row in rows]

    def set_baseline(self, name: str, evaluation_id: str, *, replace: bool = False) -> Baseline:
        """Give an evaluation a name. Raises `ConflictError` where another has it, unless it may be replaced."""
        if not 1 <= len(name) <= 256 or sought(name) != name:
            raise InvalidError("The name of a baseline has 1 to 256 characters, none of them zero.")
        evaluation = self.evaluation(evaluation_id)
        made = Baseline(name, now(), evaluation)
        with self.database.writing("write into") as connection:
            self.database.alone(connection)
            there = connection.execute(sa.select(BASELINES).where(BASELINES.c.name == sought(name))).first()
            if there is not None and there.evaluation_id == evaluation_id:
                return Baseline(name, there.created_at, evaluation)
            if there is not None and not replace:
                raise ConflictError(
                    f"The baseline '{name}' is the evaluation {there.evaluation_id} already. Choose another name."
                )
            connection.execute(sa.delete(BASELINES).where(BASELINES.c.name == sought(name)))
            values = {"name": name, "evaluation_id": evaluation_id, "created_at": made.created_at}
            connection.execute(sa.insert(BASELINES), values)
        return made

    def baseline(self, name: str) -> Baseline:
        """The baseline of that name. Raises `NotFoundError`."""
        with self.database.reading() as connection:
            there = connection.execute(sa.select(BASELINES).where(BASELINES.c.name == sought(name))).first()
        if there is None:
            raise NotFoundError(f"There is no baseline '{name[:64]}' in {self.name}.")
        return Baseline(there.name, there.created_at, self.evaluation(there.evaluation_id))

    def baselines(self) -> list[Baseline]:
        """All baselines, by name."""
        with self.database.reading() as connection:
            found = connection.execute(sa.select(BASELINES).order_by(BASELINES.c.name)).all()
        return [Baseline(row.name, row.created_at, self.evaluation(row.evaluation_id)) for row in found]


_JOB = [JOBS.c[name] for name in Job.__dataclass_fields__]
_EVALUATION = [EVALUATIONS.c[name] for name in Evaluation.__dataclass_fields__]


def _job_of(row: sa.Row[Any]) -> Job:
    return Job(**{**row._mapping, "request": kept_object(row.request, f"What was asked of the run {row.id}")})


def _evaluation_of(row: sa.Row[Any]) -> Evaluation:
    details = kept_object(row.details, f"What is told of the evaluation {row.id}")
    return Evaluation(**{**row._mapping, "details": details})
