"""What a kept trace is worth: a judge reads its answer, or its steps too, and the score is kept with its criteria."""

from __future__ import annotations

from typing import Any

import pydantic

from clew.core.errors import UsageError
from clew.traces.evalset import Question
from clew.traces.generators.table import GENERATORS, find_generator
from clew.traces.judges import Judge, find_judge
from clew.traces.renderings import answer_text
from clew.traces.schema import InvalidError, Strict, Text, Trace
from clew.traces.store import Score, Stored, TraceStore

_NEED_A_GENERATOR = ("checker", "steps")


class Criteria(Strict):
    """By what a trace is judged."""

    judge: Text | None = pydantic.Field(default=None, min_length=1, max_length=256)
    """Name of a judge. Left out: `answer` where `expected` is given, else `steps`, where a generator made the trace."""
    expected: Text | None = pydantic.Field(default=None, min_length=1, max_length=50_000)
    """The answer that is right. Left out: only judges that know it by themselves can judge (checker, steps)."""


class ScoreRequest(Strict):
    """The body of a request for a score."""

    criteria: Criteria | Text = pydantic.Field(default_factory=Criteria)
    """The criteria, or the name of a judge alone."""

    @property
    def chosen(self) -> Criteria:
        """The criteria, spelled out."""
        return self.criteria if isinstance(self.criteria, Criteria) else Criteria(judge=self.criteria)


def score(store: TraceStore, trace_id: str, criteria: Criteria, *, own_judges: bool = False) -> Score:
    """Judge a trace and keep the score.

    `own_judges`: a judge may be "module:attribute", which is imported: for whoever runs the command, never for who
    asks over HTTP. Raises `NotFoundError`, and `InvalidError` for criteria that cannot be applied to this trace.
    """
    stored = store.get(trace_id)
    worth, details = judge(stored, criteria, own_judges=own_judges)
    return store.add_score(trace_id, criteria.model_dump(), worth, details)


def judge(stored: Stored, criteria: Criteria, *, own_judges: bool = False) -> tuple[float, dict[str, Any]]:
    """What a trace is worth, 0 to 1, and how that came about. Raises as `score` does."""
    trace = stored.trace
    generator = _generator_of(trace)
    name = criteria.judge or ("answer" if criteria.expected is not None else "steps")
    found = _judge(name, own_judges)
    if criteria.expected is None and (generator is None or name not in _NEED_A_GENERATOR):
        raise InvalidError(
            f"The judge '{name}' needs the expected answer"
            + ("" if generator else f", since no generator here made the trace {stored.id}")
            + ". Give `expected`."
        )
    steps = [step.content for step in trace.steps]
    try:
        question = Question(
            id=stored.id,
            prompt=trace.prompt,
            # Who checks by the rules does not look at it.
            expected_answer=trace.final_answer if criteria.expected is None else criteria.expected,
            section=generator,
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidError(f"The trace {stored.id} cannot be judged: its {first['loc'][0]}: {said}.") from error
    said = trace.final_answer if name == "exact" else answer_text(steps, trace.final_answer)
    worth = found.judge(question, said)
    details: dict[str, Any] = {"judge": name, "answer": trace.final_answer, "expected": criteria.expected}
    if generator is not None and name in _NEED_A_GENERATOR:
        details["generator"] = generator
        details["faults"] = find_generator(generator).check_steps(trace.prompt, steps, trace.final_answer)
    return worth, details


def _judge(name: str, own_judges: bool) -> Judge:
    # What is named "module:attribute" would be imported.
    if not own_judges and ":" in name and not name.startswith("numeric:"):
        raise InvalidError("A judge of your own is named in the terminal, not over HTTP: clew traces score.")
    try:
        return find_judge(name)
    except UsageError as error:
        raise InvalidError(str(error)) from error


def _generator_of(trace: Trace) -> str | None:
    """The generator that made a trace, as its meta tells."""
    meta = trace.meta or {}
    told = (meta.get(key) for key in ("generator", "game"))
    return next((each for each in told if isinstance(each, str) and each in GENERATORS), None)
