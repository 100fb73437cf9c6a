"""Fine-tuning for tests: a base that is made in a second, traces, a recipe whose step takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clew.recipes.chat import ChatRecipe

BASE = """
objective: next_token
name: base
data: {tokenizer: turns, validation_fraction: 0.1}
model: {context_length: 128, d_model: 32, n_layers: 2, n_heads: 4, d_mlp: 48, dropout: 0.0}
samples: {sample_tokens: 0}
training: {max_steps: 2, batch_size: 4, evaluate_every: 2, checkpoint_every: 2, patience: 0, log_every: 1, threads: 1}
"""


def write_base_recipe(folder: Path) -> Path:
    """The recipe of the small `base`, for the environment variable CLEW_BASE_RECIPE."""
    path = folder / "base.yaml"
    path.write_text(BASE)
    return path


def write_traces(path: Path, count: int = 24) -> Path:
    """Traces of sums, one prompt each."""
    rows = [
        {
            "trace_version": "1.0",
            "prompt": f"What is {number} + {number + 3}?",
            "final_answer": str(2 * number + 3),
            "steps": [{"i": 0, "type": "sum", "content": f"{number}+{number + 3}={2 * number + 3}"}],
            "meta": None,
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_questions(path: Path, count: int = 4) -> Path:
    """Questions about other sums."""
    rows = [
        {"id": f"q{number}", "prompt": f"What is 1 + {number + 50}?", "expected_answer": str(number + 51)}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def small_sft(traces: Path, **changed: Any) -> ChatRecipe:
    """A recipe of six steps; `changed` are fields of its training, or whole sections."""
    sections = {name: value for name, value in changed.items() if name in ChatRecipe.model_fields}
    training = {
        "max_steps": 6, "batch_size": 4, "accumulation": 2, "learning_rate": 0.01, "optimizer": "muon",
        "log_every": 1, "checkpoint_every": 2, "evaluate_every": 3, "precision": "float32", "threads": 1,
        "device": "cpu", "compile": "no",
    }  # fmt: skip
    training |= {name: value for name, value in changed.items() if name not in sections}
    values: dict[str, Any] = {
        "seed": 3,
        "model": {"max_length": 200},
        "data": {"path": str(traces), "validation_fraction": 0.2},
        "training": training,
    }
    for name, value in sections.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return ChatRecipe.model_validate(values)
