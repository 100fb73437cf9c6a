"""Labelled states of the small grammar whose targets follow from a few features: what a guide learns in a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clew.core.evidence import Evidence
from clew.programs import features
from clew.programs.grammar import NONTERMINALS, SMALL
from clew.programs.primitives import Type
from clew.programs.rows import Rows
from clew.recipes.imitation import ImitationRecipe


def small_rows(count: int, seed: int) -> Rows:
    """`count` states: the action follows from the task, guard from its fourth number, value and latency from two."""
    random = np.random.default_rng(seed)
    layout = features.layout(SMALL)
    tasks = max(2, count // 4)
    of_task = random.normal(size=(tasks, layout.task)).astype(np.float32)
    rows = random.integers(0, tasks, count)
    filled = [place for place, each in enumerate(SMALL.contexts) if SMALL.legal(each.nonterminal, (Type.LIST,))]
    contexts = random.choice(filled, count)
    kinds = np.array([context.nonterminal for context in SMALL.contexts])[contexts]
    of_state = features.context_rows(SMALL)[contexts].copy()
    of_state[:, -5] = 1.0
    legal = np.zeros((1, len(NONTERMINALS), SMALL.actions), bool)
    for kind in range(len(NONTERMINALS)):
        legal[0, kind, list(SMALL.legal(kind, (Type.LIST,)))] = True
    wanted = of_task[rows][:, : SMALL.actions]
    actions = np.where(legal[0, kinds], wanted, -np.inf).argmax(axis=1)
    off = random.random(count) < 0.25
    return Rows(
        grammar=SMALL,
        task_features=of_task,
        state_features=of_state,
        tasks=rows,
        task_types=np.zeros(tasks, np.int64),
        legal_of=legal,
        nonterminals=kinds,
        contexts=contexts,
        actions=np.where(off, -1, actions),
        values=(~off).astype(np.float32),
        guards=(of_task[rows, 4] > 0).astype(np.float32),
        latencies=np.where(off, np.nan, 0.3 * of_task[rows, 5]).astype(np.float32),
    )


@dataclass
class SmallStates:
    """What `evidence.prepare` would give."""

    recipe: ImitationRecipe
    train: Rows
    held_out: Rows
    grammar = SMALL
    evidence: Evidence = field(default_factory=lambda: Evidence("demonstrations", "made here", "0" * 64))

    def describe(self) -> list[str]:
        return ["states of a test"]

    def keep(self, folder: Path) -> None:
        """Nothing is kept."""


def small_states(*, seed: int = 0, count: int = 512, **changes) -> SmallStates:
    """Prepared states and a recipe with `changes` by section."""
    values = {
        "seed": seed,
        "data": {"grammar": "small"},
        "model": {"hidden_dim": 32, "layers": 2},
        "training": {
            "max_steps": 60,
            "batch_size": 64,
            "learning_rate": 0.01,
            "evaluate_every": 30,
            "checkpoint_every": 20,
            "log_every": 1,
            "threads": 1,
            "precision": "float32",
            "compile": "no",
        },
    }
    for section, inner in changes.items():
        values[section] = {**values.get(section, {}), **inner}
    recipe = ImitationRecipe.model_validate(values)
    return SmallStates(recipe, small_rows(count, seed), small_rows(count // 2, seed + 1))
