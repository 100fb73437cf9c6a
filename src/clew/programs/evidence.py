"""Demonstrations as evidence: read or made on the spot, split by what the tasks compute, and handed out as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from clew.core.errors import EvidenceError, UsageError
from clew.core.evidence import Evidence
from clew.core.randomness import generator
from clew.programs import features
from clew.programs.behaviour import behaviour
from clew.programs.demonstrations import Demonstration, fingerprint, read
from clew.programs.grammar import GRAMMARS, NONTERMINALS, Grammar
from clew.programs.heads import NO_ACTION
from clew.programs.primitives import Type
from clew.programs.rows import Rows
from clew.programs.search.problem import Problem
from clew.programs.states import State, legal_actions, start
from clew.recipes.imitation import ImitationRecipe


def rows_of(grammar: Grammar, demonstrations: Sequence[Demonstration]) -> Rows:
    """The states of demonstrations as arrays, in their order.

    Raises `EvidenceError` for a path that is none of the grammar.
    """
    layout, count = features.layout(grammar), sum(len(each.states) for each in demonstrations)
    task_features = np.zeros((len(demonstrations), layout.task), np.float32)
    state_features = np.zeros((count, layout.state), np.float16)
    kinds: dict[tuple[Type, ...], int] = {}
    found = Rows(
        grammar=grammar,
        task_features=task_features,
        state_features=state_features,
        tasks=np.zeros(count, np.int64),
        task_types=np.zeros(len(demonstrations), np.int64),
        legal_of=np.zeros((0, 0, 0), np.bool_),
        nonterminals=np.zeros(count, np.int64),
        contexts=np.zeros(count, np.int64),
        actions=np.full(count, NO_ACTION, np.int64),
        values=np.full(count, np.nan, np.float32),
        guards=np.full(count, np.nan, np.float32),
        latencies=np.full(count, np.nan, np.float32),
    )
    row = 0
    for number, each in enumerate(demonstrations):
        problem = each.problem
        task_features[number] = features.of_task(problem, grammar)
        found.task_types[number] = kinds.setdefault(problem.input_types, len(kinds))
        for seen, state in zip(each.states, _states(each, problem, grammar), strict=True):
            state_features[row] = features.state_row(state)
            found.tasks[row], found.actions[row] = number, seen.action
            found.nonterminals[row], found.contexts[row] = state.hole.nonterminal, state.hole.context
            found.values[row], found.guards[row] = seen.value, seen.guard
            if seen.steps is not None:
                found.latencies[row] = features.latency_of(seen.steps / len(problem.results))
            row += 1
    legal = np.zeros((len(kinds), len(NONTERMINALS), grammar.actions), np.bool_)
    for types, kind in kinds.items():
        for place in range(len(NONTERMINALS)):
            legal[kind, place, list(legal_actions(grammar, place, types))] = True
    return replace(found, legal_of=legal)


def _states(found: Demonstration, problem: Problem, grammar: Grammar) -> Iterator[State]:
    known: dict[tuple[int, ...], State] = {(): start(problem, grammar)}
    for seen in found.states:
        state = known.get(seen.path)
        try:
            if state is None:
                before = known.get(seen.path[:-1])
                state = before.apply(seen.path[-1]) if before is not None else known[()].follow(seen.path)
            if state.complete:
                raise UsageError("no place in it is open.")
        except UsageError as error:
            raise EvidenceError(
                f"The demonstration {found.task.name} has a state {list(seen.path)} that is none: {error}"
            ) from None
        known[seen.path] = state
        yield state


@dataclass(frozen=True)
class PreparedDemonstrations:
    """Demonstrations that were read or made, split by what the tasks compute."""

    recipe: ImitationRecipe
    grammar: Grammar
    path: str
    sha256: str
    training: tuple[Demonstration, ...]
    evaluation: tuple[Demonstration, ...]

    @property
    def evidence(self) -> Evidence:
        """Kind, place and fingerprint."""
        return Evidence(kind="demonstrations", path=self.path, sha256=self.sha256)

    @cached_property
    def train(self) -> Rows:
        """The states of the tasks that are trained on."""
        return rows_of(self.grammar, self.training)

    @cached_property
    def held_out(self) -> Rows:
        """The states of the tasks that are not."""
        return rows_of(self.grammar, self.evaluation)

    def describe(self) -> list[str]:
        """How much there is, how it was split, what leaks."""
        states = [sum(len(each.states) for each in part) for part in (self.training, self.evaluation)]
        where = self.path or f"made from the seed {self.recipe.seed}"
        return [
            f"{len(self.training) + len(self.evaluation):,} demonstrations in the grammar '{self.grammar.name}' "
            f"({where}): {len(self.training):,} tasks to train on with {states[0]:,} states, "
            f"{len(self.evaluation):,} held out with {states[1]:,}",
            "split by what the programs compute: no task held out has the results of one trained on",
        ]

    def keep(self, folder: Path) -> None:
        """Nothing: the file, or the recipe and its seed, say all."""


def prepare(recipe: ImitationRecipe) -> PreparedDemonstrations:
    """Read the recipe's demonstrations, or make them from its seed, and split them by what they compute.

    Raises `EvidenceError` naming file and line, `UsageError` for a model whose sizes do not fit the grammar.
    """
    data = recipe.data
    if data.path:
        found = read(Path(data.path))
    else:
        from clew.programs.demonstrating import demonstrate

        check_sizes(recipe, GRAMMARS[data.grammar])
        found = demonstrate(data.demonstrations, recipe.seed, GRAMMARS[data.grammar])
    check_sizes(recipe, found.grammar)
    usable = [each for each in found.items if each.states]
    if len(usable) < 2:
        raise EvidenceError(
            f"{data.path or 'The demonstrations'}: {len(usable)} tasks with states, where two at least are needed, one "
            "to train on and one to hold out. Make more with `clew programs demonstrate --count`."
        )
    training, evaluation = split(usable, data.held_out_fraction, recipe.seed)
    if not training or not evaluation:
        raise EvidenceError(
            f"{data.path or 'The demonstrations'}: all tasks compute the same, so none can be held out."
        )
    return PreparedDemonstrations(recipe, found.grammar, data.path, fingerprint(found), training, evaluation)


def check_sizes(recipe: ImitationRecipe, grammar: Grammar) -> None:
    """Raise `UsageError` for sizes of the recipe's model that are not those of the grammar."""
    due = {"input_dim": features.input_dim(grammar), "action_dim": grammar.actions}
    for name, size in due.items():
        given = getattr(recipe.model, name)
        if given not in (0, size):
            what = "numbers in a state" if name == "input_dim" else "actions"
            raise UsageError(
                f"model.{name} is {given}, but demonstrations in the grammar '{grammar.name}' have {size} {what}. "
                f"Leave the key out, or give {size}."
            )


def split(
    found: Sequence[Demonstration], fraction: float, seed: int
) -> tuple[tuple[Demonstration, ...], tuple[Demonstration, ...]]:
    """Tasks to train on, and `fraction` of what they compute, at least one, held out; both in their order."""
    groups = [behaviour(each.task.reference, each.task.inputs) if each.task.reference else "" for each in found]
    kinds = sorted(set(groups))
    held = max(1, round(fraction * len(kinds)))
    chosen = {kinds[place] for place in generator(seed, "held-out tasks").permutation(len(kinds))[:held]}
    inside = [group in chosen for group in groups]
    training = tuple(each for each, held_out in zip(found, inside, strict=True) if not held_out)
    return training, tuple(each for each, held_out in zip(found, inside, strict=True) if held_out)
