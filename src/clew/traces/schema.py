"""A trace: a prompt, the steps of reasoning that lead to an answer, and the answer."""

from __future__ import annotations

from typing import Annotated, Any, Self

import pydantic

from clew.core.errors import EvidenceError

MOST_BYTES = 2**20
"""Of one trace, as JSON."""


class NotFoundError(EvidenceError):
    """There is no trace, dataset, run or baseline of that name. Over HTTP: 404."""


class ConflictError(EvidenceError):
    """What is there has other content under the same key. Over HTTP: 409."""


class InvalidError(EvidenceError):
    """What was given does not fit the schema or cannot be fulfilled. Over HTTP: 422."""


def _no_zero_or_lone_surrogate(text: str) -> str:
    # A database text column holds neither, and neither is valid in UTF-8 JSON.
    if "\0" in text:
        raise ValueError("a zero byte cannot be kept")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None
    return text


Text = Annotated[str, pydantic.AfterValidator(_no_zero_or_lone_surrogate)]


class Strict(pydantic.BaseModel):
    """A frozen part of the contract: unknown keys are an error, and nothing is converted silently."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Step(Strict):
    """One step of reasoning."""

    i: int = pydantic.Field(ge=0, lt=2**63)
    """Number of the step, unique in its trace. Steps are rendered in the order of the array, whatever their numbers."""
    type: Text = pydantic.Field(min_length=1, max_length=64)
    """Kind of the step, such as "carry" or "observation"."""
    content: Text = pydantic.Field(min_length=1, max_length=20_000)
    """What is thought."""


class Trace(Strict):
    """A prompt, the steps of reasoning, the answer."""

    trace_version: Text = pydantic.Field(min_length=1, max_length=64)
    """Version of the schema that the writer of the trace follows."""
    prompt: Text = pydantic.Field(min_length=1, max_length=50_000)
    """The question."""
    final_answer: Text = pydantic.Field(min_length=1, max_length=50_000)
    """The answer."""
    steps: tuple[Step, ...] = pydantic.Field(min_length=1, max_length=1_000, strict=False)
    """The reasoning, in order."""
    meta: dict[str, Any] | None = None
    """Anything that the writer wants to keep: category, difficulty, provenance."""

    @pydantic.model_validator(mode="after")
    def _numbers_differ(self) -> Self:
        seen: set[int] = set()
        for step in self.steps:
            if step.i in seen:
                raise ValueError(f"two steps have the number {step.i}")
            seen.add(step.i)
        return self
