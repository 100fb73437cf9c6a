"""Costs of productions as whole numbers, and the order in which a bottom-up search may build terms.

Cost of a program: the sum over its productions of `max(1, round(-log p * QUANTA))`, or 1 each (its size). A term is
built at the level of the cheapest whole program that could hold it, not at its own cost: its inside cost plus, over
the contexts where it may stand, the least of its production's weight and of what the rest of the program costs at
least there (an outside estimate as in A* parsing, Klein & Manning 2003, here exact but for pruning). So a term that
only an improbable program could use waits, and all programs up to a cost are seen when its level is done.

A term's children stand in that same program: their level is no higher, and where it is equal, their inside cost is
lower, that is, what is outside of them costs more. So productions are taken by falling outside cost.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clew.programs.grammar import NONTERMINALS, Grammar

QUANTA = 8
"""Steps of cost to one nat: two programs whose -log p differ by less than about 1/8 may change places."""
FLOOR = 0.01
"""Share of the uniform distribution mixed into a model's, so that no program is out of reach."""
NEVER = 2**20
"""A cost that no search comes to."""


class Shape(NamedTuple):
    """A grammar as arrays."""

    contexts: NDArray[np.int32]
    """[contexts, 4]: parent, scope, argument, nonterminal."""
    below: NDArray[np.int32]
    """[actions, scopes, 3]: the contexts of an action's arguments, -1 where there are fewer."""


@cache
def shape_of(grammar: Grammar) -> Shape:
    """The grammar's contexts as arrays."""
    contexts = np.array(grammar.contexts, np.int32)
    below = np.full((grammar.actions, 3, 3), -1, np.int32)
    for place, context in enumerate(grammar.contexts):
        if context.parent >= 0:
            below[context.parent, context.scope, context.argument] = place
    return Shape(contexts, below)


def legal_mask(grammar: Grammar, legal: tuple[tuple[int, ...], ...]) -> NDArray[np.bool_]:
    """Whether an action may be taken [contexts, actions], given the legal actions of each nonterminal."""
    by_nonterminal = np.zeros((len(NONTERMINALS), grammar.actions), np.bool_)
    for place, actions in enumerate(legal):
        by_nonterminal[place, list(actions)] = True
    mask: NDArray[np.bool_] = by_nonterminal[shape_of(grammar).contexts[:, 3]]
    return mask


def quantized(
    weights: NDArray[np.float32] | None, mask: NDArray[np.bool_], *, floor: float = FLOOR, quanta: int = QUANTA
) -> NDArray[np.int32]:
    """Whole costs int32 [contexts, actions] of -log p; 1 each for no weights; -1 where `mask` forbids."""
    if weights is None:
        return np.where(mask, 1, -1).astype(np.int32)
    probability = np.where(mask, np.exp(-weights.astype(np.float64)), 0.0)
    total = probability.sum(axis=1, keepdims=True)
    choices = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    probability = (1 - floor) * probability / np.where(total > 0, total, 1.0) + floor / choices
    costs = np.maximum(1, np.rint(-np.log(np.where(probability > 0, probability, 1e-300)) * quanta))
    return np.where(mask, costs, -1).astype(np.int32)


def outside_costs(
    grammar: Grammar, costs: NDArray[np.int32], roots: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What a production costs with the rest of its program [nonterminals, actions], and what is beside a context.

    `roots`: the contexts that may be the whole program. `NEVER` and above: out of reach from them.
    """
    shape = shape_of(grammar)
    beside = np.full(len(shape.contexts), NEVER, np.int32)
    beside[list(roots)] = 0
    outside = np.full((len(NONTERMINALS), grammar.actions), NEVER, np.int32)
    _spread(costs, shape.contexts, shape.below, beside, outside)
    return outside, beside


def inside_costs(grammar: Grammar, costs: NDArray[np.int32]) -> NDArray[np.int32]:
    """What the cheapest term costs in each context [contexts]: no completion of a hole there costs less."""
    shape = shape_of(grammar)
    return np.asarray(_cheapest(costs, shape.contexts, shape.below))


@njit(cache=True, error_model="numpy", nogil=True)
def _cheapest(costs: NDArray[np.int32], contexts: NDArray[np.int32], below: NDArray[np.int32]) -> NDArray[np.int32]:
    cheapest = np.full(len(contexts), NEVER, np.int32)
    moved = True
    while moved:
        moved = False
        for context in range(len(contexts)):
            scope = 0 if contexts[context, 3] < 3 else (1 if contexts[context, 3] < 5 else 2)
            for action in range(costs.shape[1]):
                cost = costs[context, action]
                if cost < 0:
                    continue
                for argument in range(3):
                    child = below[action, scope, argument]
                    if child >= 0:
                        cost += cheapest[child]
                if cost < cheapest[context]:
                    cheapest[context] = cost
                    moved = True
    return cheapest


@njit(cache=True, error_model="numpy", nogil=True)
def _spread(
    costs: NDArray[np.int32],
    contexts: NDArray[np.int32],
    below: NDArray[np.int32],
    beside: NDArray[np.int32],
    outside: NDArray[np.int32],
) -> None:
    cheapest = _cheapest(costs, contexts, below)
    moved = True
    while moved:
        moved = False
        for context in range(len(contexts)):
            if beside[context] >= NEVER:
                continue
            scope = 0 if contexts[context, 3] < 3 else (1 if contexts[context, 3] < 5 else 2)
            for action in range(costs.shape[1]):
                cost = costs[context, action]
                if cost < 0:
                    continue
                for argument in range(3):
                    child = below[action, scope, argument]
                    if child < 0:
                        break
                    around = beside[context] + cost
                    for other in range(3):
                        sibling = below[action, scope, other]
                        if sibling >= 0 and other != argument:
                            around += cheapest[sibling]
                    if around < beside[child]:
                        beside[child] = around
                        moved = True
    for context in range(len(contexts)):
        for action in range(costs.shape[1]):
            if costs[context, action] >= 0 and beside[context] < NEVER:
                place = contexts[context, 3]
                outside[place, action] = min(outside[place, action], beside[context] + costs[context, action])
