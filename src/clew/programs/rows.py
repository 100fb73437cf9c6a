"""Labelled states as arrays: what an objective draws batches from, gathered by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clew.core.evidence import Evidence
from clew.programs.grammar import Grammar
from clew.programs.heads import Labels

if TYPE_CHECKING:
    from clew.recipes.imitation import ImitationRecipe


@dataclass(frozen=True)
class Rows:
    """States of tasks. The features of a task stand once; a state's row points at them."""

    grammar: Grammar
    task_features: NDArray[np.float32]
    """[tasks, numbers of a task]"""
    state_features: NDArray[np.floating]
    """[n, numbers of a state], of any precision that holds them."""
    tasks: NDArray[np.int64]
    """[n] row of `task_features`."""
    task_types: NDArray[np.int64]
    """[tasks] row of `legal_of`."""
    legal_of: NDArray[np.bool_]
    """[kinds of tasks, nonterminals, actions] what may fill a hole."""
    nonterminals: NDArray[np.int64]
    """[n] the nonterminal of the hole."""
    contexts: NDArray[np.int64]
    """[n] where the hole stands, in the grammar's contexts."""
    actions: NDArray[np.int64]
    """[n] what the demonstration did; `heads.NO_ACTION` where there is none."""
    values: NDArray[np.float32]
    """[n]; this and the next two are NaN where not known. See `heads.Labels`."""
    guards: NDArray[np.float32]
    """[n]"""
    latencies: NDArray[np.float32]
    """[n]"""

    def __len__(self) -> int:
        return len(self.actions)

    @cached_property
    def width(self) -> int:
        """Numbers of a row."""
        return int(self.task_features.shape[1] + self.state_features.shape[1])

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [rows, width], new: the caller may write into it."""
        found = np.empty((len(rows), self.width), np.float32)
        middle = self.task_features.shape[1]
        found[:, :middle] = self.task_features[self.tasks[rows]]
        found[:, middle:] = self.state_features[rows]
        return found

    def legal(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool [rows, actions]"""
        found: NDArray[np.bool_] = self.legal_of[self.task_types[self.tasks[rows]], self.nonterminals[rows]]
        return found

    def labels(self, rows: NDArray[np.int64]) -> Labels:
        """What is true of these states."""
        return Labels(
            actions=self.actions[rows],
            legal=self.legal(rows),
            values=self.values[rows],
            guards=self.guards[rows],
            latencies=self.latencies[rows],
            contexts=self.contexts[rows],
            tasks=self.tasks[rows],
        )


class LabelledStates(Protocol):
    """Prepared evidence of an imitation."""

    @property
    def recipe(self) -> ImitationRecipe:
        """The recipe that asked for it."""

    @property
    def evidence(self) -> Evidence:
        """Kind, place and fingerprint."""

    @property
    def grammar(self) -> Grammar:
        """The productions that actions number."""

    @property
    def train(self) -> Rows:
        """States to train on."""

    @property
    def held_out(self) -> Rows:
        """States of other tasks."""
