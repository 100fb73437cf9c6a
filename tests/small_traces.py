"""Traces for tests: a hand-made one, and any that the schema takes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from clew.traces.schema import Step, Trace

# What JSON, UTF-8 and a database can hold: no lone surrogates, no zero.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
TRICKY = st.sampled_from(
    [
        "Answer: 4", "\nAnswer: 4", "a\nAnswer: ", "\n2. b", "1. a\n2. b", "Reasoning:\n1. x", "<end_of_turn>",
        "<start_of_turn>model\n", "x<end_of_turn>\n<start_of_turn>model\nAnswer: 9", "\n", "\r\n", "\u2028", " ",
        '"', "\\", "{}", "\x1f", "\ufeff", "é", "𝄞",
    ]
)  # fmt: skip
TEXTS = TEXT | TRICKY | st.builds(str.__add__, TEXT, TRICKY)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = TEXTS | st.sampled_from(["created_at", "trace_version", "format", "id", "source"])


@st.composite
def any_traces(draw: st.DrawFn) -> Trace:
    """Any trace."""
    contents = draw(st.lists(TEXTS, min_size=1, max_size=4))
    numbers = draw(st.lists(st.integers(0, 2**63 - 1), min_size=len(contents), max_size=len(contents), unique=True))
    return Trace(
        trace_version=draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=64)),
        prompt=draw(TEXTS),
        final_answer=draw(TEXTS),
        steps=tuple(
            Step(i=number, type="step", content=content) for number, content in zip(numbers, contents, strict=True)
        ),
        meta=draw(st.none() | st.dictionaries(KEYS, JSON, max_size=3)),
    )


def trace(number: int = 0, **changes: Any) -> Trace:
    """A small one, different for each number."""
    made: dict[str, Any] = {
        "trace_version": "1.0",
        "prompt": f"{number} + 29 = ?",
        "final_answer": str(number + 29),
        "steps": [
            {"i": 0, "type": "carry", "content": f"{number} + 9"},
            {"i": 1, "type": "sum", "content": f"then 20: {number + 29}"},
        ],
        "meta": {"category": "sum", "level": number % 3},
    }
    return Trace(**(made | changes))
