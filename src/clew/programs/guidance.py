"""What leads a search: a guide gives probabilities for the next production, and reads values off partial programs.

The search knows guides by one protocol. `UniformGuide` knows nothing, `FrequencyGuide` has counted productions in
demonstrations, `BundleGuide` runs a trained model and takes a newer one when its file changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import BundleError
from clew.programs import features, states
from clew.programs.grammar import FULL, Grammar
from clew.programs.search.costs import legal_mask
from clew.programs.search.problem import Problem, legal_of

if TYPE_CHECKING:
    from clew.bundle.guide import GuideModel


class Scores(NamedTuple):
    """What a guide says of a batch of states; the names are those of a model's outputs (`clew.bundle.guide.Scores`)."""

    policy_logits: NDArray[np.float32]
    """[n, actions], raw: illegal actions are not masked."""
    value: NDArray[np.float32]
    """[n] in 0 to 1: whether a program can be had from here within the budget."""
    guard_logits: NDArray[np.float32]
    """[n] raw: whether the completion fails a contract or errs."""
    latency: NDArray[np.float32]
    """[n] log1p of the finished program's steps, scaled as `clew.programs.features` does."""


class Guide(Protocol):
    """What a guided search asks."""

    grammar: Grammar

    def weights(self, problem: Problem) -> NDArray[np.float32]:
        """-log p [contexts, actions] of each production in each context of `grammar`; inf where it is illegal."""
        ...

    def scores(self, rows: NDArray[np.float32]) -> Scores:
        """What is said of states, given their features, float32 [n, input_dim]."""
        ...

    def of_states(self, task: features.Row, partial: Sequence[states.State]) -> Scores:
        """What is said of partial programs of a task, given its part of the features (`features.of_task`)."""
        ...

    def refresh(self) -> bool:
        """Look whether something newer is there; return whether it is in service now."""
        ...


def weights_of(logits: NDArray[np.float32], problem: Problem, grammar: Grammar = FULL) -> NDArray[np.float32]:
    """-log of the softmax over the legal actions of each context; `logits` is [contexts, actions]."""
    mask = legal_mask(grammar, legal_of(problem, grammar))
    masked = np.where(mask, logits.astype(np.float64), -np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):  # a context may have no legal action in a task
        most = masked.max(axis=1, keepdims=True)
        total = most + np.log(np.exp(masked - most).sum(axis=1, keepdims=True))
        return np.where(mask, total - masked, np.inf).astype(np.float32)


class UniformGuide:
    """Every legal production is as likely as another."""

    def __init__(self, grammar: Grammar = FULL) -> None:
        self.grammar = grammar

    def weights(self, problem: Problem) -> NDArray[np.float32]:
        """-log of one over the number of legal actions."""
        shape = (len(self.grammar.contexts), self.grammar.actions)
        return weights_of(np.zeros(shape, np.float32), problem, self.grammar)

    def scores(self, rows: NDArray[np.float32]) -> Scores:
        """Nothing is known."""
        zeros = np.zeros(len(rows), np.float32)
        return Scores(np.zeros((len(rows), self.grammar.actions), np.float32), zeros + 1, zeros, zeros)

    def of_states(self, task: features.Row, partial: Sequence[states.State]) -> Scores:
        """Nothing is known."""
        return self.scores(np.zeros((len(partial), 0), np.float32))

    def refresh(self) -> bool:
        """Nothing changes."""
        return False


class FrequencyGuide(UniformGuide):
    """The share of each production in its context over some demonstrations, whatever the task: no net is asked.

    What a net is worth is what it gives beyond this.
    """

    def __init__(self, counts: NDArray[np.float64], grammar: Grammar = FULL, *, smoothing: float = 1.0) -> None:
        """`counts` [contexts, actions]: how often an action was taken in a context; each is raised by `smoothing`."""
        super().__init__(grammar)
        self._logits = np.log(np.asarray(counts, np.float64) + smoothing).astype(np.float32)

    def weights(self, problem: Problem) -> NDArray[np.float32]:
        """-log of the smoothed shares among the legal actions."""
        return weights_of(self._logits, problem, self.grammar)

    def of_states(self, task: features.Row, partial: Sequence[states.State]) -> Scores:
        """The shares in the context of each state's hole; of the rest nothing is known."""
        logits = self._logits[[state.hole.context for state in partial]]
        return super().of_states(task, partial)._replace(policy_logits=logits)


def counts_of(
    demonstrations: Iterable[tuple[states.Signature, Sequence[int]]], grammar: Grammar = FULL
) -> NDArray[np.float64]:
    """How often each action is taken in each context [contexts, actions], over (task, leftmost derivation) pairs."""
    counts = np.zeros((len(grammar.contexts), grammar.actions))
    for task, actions in demonstrations:
        state = states.start(task, grammar)
        for action in actions:
            counts[state.hole.context, action] += 1
            state = state.apply(action)
    return counts


class BundleGuide:
    """A trained model: a bundle's folder or its ONNX file, taken anew when it is replaced (`refresh`).

    Raises `BundleError` where there is no model, or one of another grammar.
    """

    def __init__(self, path: Path | str, grammar: Grammar = FULL, *, threads: int = 1) -> None:
        from clew.bundle.guide import HotGuide

        self.grammar = grammar
        self._hot = HotGuide(path, check=self._check, threads=threads)
        self._hot.refresh()
        if self._hot.model is None:
            raise BundleError(self._hot.problem or f"There is no model {path}. `clew train guide` makes one.")

    def _check(self, model: GuideModel) -> None:
        names = [str(production) for production in self.grammar.productions]
        what = f"the program search's grammar '{self.grammar.name}'"
        model.check_fits(what, input_dim=features.input_dim(self.grammar), actions=names)

    def weights(self, problem: Problem) -> NDArray[np.float32]:
        """-log p of each production in each context, from one call of the model on all contexts of the task."""
        rows = features.of_contexts(features.of_task(problem, self.grammar), self.grammar)
        return weights_of(self.scores(rows).policy_logits, problem, self.grammar)

    def scores(self, rows: NDArray[np.float32]) -> Scores:
        """What the model says of states [n, input_dim]. Raises `BundleError` where it gives NaN."""
        model = self._hot.model
        if model is None:
            raise BundleError(f"There is no model {self._hot.path}.")
        return Scores(*model.evaluate(rows))

    def of_states(self, task: features.Row, partial: Sequence[states.State]) -> Scores:
        """What the model says of partial programs, in one call."""
        return self.scores(np.stack([features.of_state(task, state) for state in partial]))

    def refresh(self) -> bool:
        """Look at the file; return whether another model is in service now."""
        return self._hot.refresh()

    @property
    def problem(self) -> str | None:
        """What was wrong with the newest file, where it could not be taken."""
        return self._hot.problem
