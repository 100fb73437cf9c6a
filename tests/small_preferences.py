"""Preference optimisation for tests: pairs of sums, a recipe whose step takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clew.recipes.preference import PreferenceRecipe


def rows_of_pairs(count: int = 24) -> list[dict[str, Any]]:
    """Right sums and wrong ones; a right answer is polite, so that there is something to learn."""
    return [
        {
            "prompt": f"What is {number} + {number + 3}?",
            "chosen": f"{number}+{number + 3}: the answer is {2 * number + 3}, thanks",
            "rejected": f"{number}+{number + 3}: the answer is {2 * number + 4 + number % 3}",
        }
        for number in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of pairs."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def small_preference(pairs: Path, **changed: Any) -> PreferenceRecipe:
    """A recipe of six steps; `changed` are fields of its training, or of the recipe."""
    own = {name: value for name, value in changed.items() if name in PreferenceRecipe.model_fields}
    training = {
        "max_steps": 6, "batch_size": 4, "accumulation": 2, "learning_rate": 0.003, "log_every": 1,
        "checkpoint_every": 2, "evaluate_every": 3, "precision": "float32", "threads": 1, "device": "cpu",
        "compile": "no",
    }  # fmt: skip
    training |= {name: value for name, value in changed.items() if name not in own}
    values: dict[str, Any] = {
        "seed": 3,
        "data": {"path": str(pairs), "validation_fraction": 0.2},
        "model": {"max_length": 200},
        "training": training,
    }
    for name, value in own.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return PreferenceRecipe.model_validate(values)
