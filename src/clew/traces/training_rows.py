"""Rows that a model is fine-tuned on: read from a file of any exported format, or from a dataset in a database."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import EvidenceError

_CONVERSATION = re.compile(
    r"<start_of_turn>user\n(.*)<end_of_turn>\n<start_of_turn>model\n(.*)<end_of_turn>\n?", re.DOTALL
)
_ANSWER = re.compile(r"(?:Reasoning:\n(.*)\n)?Answer: (.*)", re.DOTALL)
_ASKED = "\n\nPlease show your reasoning steps."


@dataclass(frozen=True)
class TrainingRow:
    """A question, the steps of its answer, the answer."""

    id: str
    prompt: str
    steps: tuple[str, ...]
    answer: str
    metadata: Mapping[str, Any]


def read_rows(path: Path, format: str = "auto") -> list[TrainingRow]:
    """The rows of a file. Raises `EvidenceError` naming file and line of what is none."""
    rows: list[TrainingRow] = []
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            rows.append(_row(value, number, format))
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise EvidenceError(f"{path}:{number}: this is no row of traces: {error}. Nothing was trained.") from None
    if not rows:
        raise EvidenceError(f"{path} holds no rows: it is empty. Export a dataset into it.")
    return rows


def _row(value: Any, number: int, format: str) -> TrainingRow:
    if not isinstance(value, dict):
        raise ValueError("a JSON object is due")
    metadata = value.get("metadata") or value.get("meta") or {}
    name = str(value.get("id", number))
    if "trace_steps" in value:
        kind, steps = "trace", [str(step) for step in value["trace_steps"]]
        found = TrainingRow(name, str(value["prompts"]), tuple(steps), str(value["final_answer"]), metadata)
    elif "prompts" in value:
        kind, whole = "tunix_sft", _CONVERSATION.fullmatch(str(value["prompts"]))
        if whole is None:
            raise ValueError("its prompts are no conversation of a user and a model")
        found = TrainingRow(name, whole[1], *_answer(whole[2]), metadata)
    elif "response" in value:
        kind = "training_example"
        found = TrainingRow(name, str(value["prompt"]).removesuffix(_ASKED), *_answer(str(value["response"])), metadata)
    else:
        kind, steps = "trace", [str(step["content"]) for step in value.get("steps", [])]
        found = TrainingRow(name, str(value["prompt"]), tuple(steps), str(value["final_answer"]), metadata)
    if format not in ("auto", kind):
        raise ValueError(f"it is of the format {kind}, and the recipe says {format}")
    return found


def _answer(text: str) -> tuple[tuple[str, ...], str]:
    parts = _ANSWER.fullmatch(text)
    if parts is None:
        raise ValueError("its answer does not end with a line 'Answer: ...'")
    steps: list[str] = []
    for line in (parts[1] or "").split("\n") if parts[1] else []:
        begin = f"{len(steps) + 1}. "
        if line.startswith(begin):
            steps.append(line[len(begin) :])
        elif steps:
            steps[-1] += f"\n{line}"
        else:
            raise ValueError("its reasoning has a line before the first step")
    return tuple(steps), parts[2]


def by_prompt(rows: Sequence[TrainingRow]) -> dict[str, list[int]]:
    """Which rows have each prompt, in the order in which the prompts come."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        found.setdefault(row.prompt, []).append(index)
    return found
