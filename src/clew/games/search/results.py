"""What a finished search says of its root: visits, target policy, values, and the move it would play."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.search.descent import Rules
from clew.games.search.gumbel import exact_mean, fill_scores, is_lost
from clew.games.search.tree import LOSS, UNEXPANDED, UNKNOWN, Tree, settled_result


@njit(cache=True)
def _stands(tree: Tree, rules: Rules, edge: int, root_result: int) -> bool:
    """Whether an edge may be played: it has the root's proven result, or it is not proven lost."""
    if not rules.proofs or root_result == LOSS:
        return True
    if root_result != UNKNOWN:
        link = tree.link[edge]
        return link < UNEXPANDED and settled_result(link) == root_result
    return not is_lost(tree, edge, rules.proofs)


@njit(cache=True)
def _fill_weights(
    tree: Tree, rules: Rules, root: int, stands: npt.NDArray[np.bool_], out: npt.NDArray[np.float64]
) -> None:
    """Visits (PUCT) or the improved policy (Gumbel), of the moves that may be played, normalised."""
    first, count = tree.first_edge[root], tree.edge_count[root]
    if rules.gumbel:
        fill_scores(tree, root, rules.c_visit, rules.c_scale, rules.proofs, out)
        highest = -np.inf
        for place in range(count):
            if stands[place]:
                highest = max(highest, out[place])
        for place in range(count):
            out[place] = math.exp(out[place] - highest) if stands[place] else 0.0
    else:
        visited = 0
        for place in range(count):
            if stands[place]:
                visited += tree.visits[first + place]
        for place in range(count):
            # Without a visit to a move that may be played, the priors are all that is known.
            weight = np.float64(tree.visits[first + place] if visited > 0 else tree.prior[first + place])
            out[place] = weight if stands[place] else 0.0
    total = 0.0
    for place in range(count):
        total += out[place]
    for place in range(count):
        out[place] /= total


@njit(cache=True)
def _choose(tree: Tree, rules: Rules, lane: int, stands: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> int:
    """Place of the move to play: most visits of this run (Gumbel) or of all (PUCT), then the highest score (Gumbel:
    gumbel + logit + sigma(q)) or mean, then the lowest action.
    """
    root = int(tree.root[lane])
    first, count = tree.first_edge[root], tree.edge_count[root]
    if rules.gumbel:
        fill_scores(tree, root, rules.c_visit, rules.c_scale, rules.proofs, scores)
    best, most, highest = 0, -1, -np.inf
    for place in range(count):
        if not stands[place]:
            continue
        edge = first + place
        visits = int(tree.visits[edge])
        score = exact_mean(tree, edge, rules.proofs)
        if rules.gumbel:
            visits -= tree.base_visits[lane, place]
            score = tree.gumbel[lane, place] + scores[place]
        elif visits == 0:
            score = np.float64(tree.prior[edge]) - 2.0
        if visits > most or (visits == most and score > highest):
            best, most, highest = place, visits, score
    return best


@njit(cache=True)
def _root_value(tree: Tree, rules: Rules, root: int, root_result: int) -> float:
    """The proven value, or the mean of the root's own evaluation and its visits, proven losses left out."""
    if root_result != UNKNOWN:
        return 1.0 - root_result
    first = tree.first_edge[root]
    total, visits = np.float64(tree.node_value[root]), 1
    for edge in range(first, first + tree.edge_count[root]):
        count = tree.visits[edge]
        if count > 0 and not is_lost(tree, edge, rules.proofs):
            total += count * exact_mean(tree, edge, rules.proofs)
            visits += count
    return total / visits


@njit(cache=True)
def fill_results(
    tree: Tree,
    rules: Rules,
    visits: npt.NDArray[np.int32],
    policy: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    action_values: npt.NDArray[np.float32],
    actions: npt.NDArray[np.int64],
) -> None:
    """Fill the arrays of a `SearchResult`, which hold 0, NaN and -1 for lanes without a tree."""
    num_actions = visits.shape[1]
    weights = np.empty(num_actions, np.float64)
    stands = np.empty(num_actions, np.bool_)
    for lane in range(len(visits)):
        root = int(tree.root[lane])
        if root < 0:
            continue
        result = int(tree.root_result[lane])
        first, count = tree.first_edge[root], tree.edge_count[root]
        for place in range(count):
            stands[place] = _stands(tree, rules, first + place, result)
        _fill_weights(tree, rules, root, stands, weights)
        for place in range(count):
            edge = first + place
            action = tree.action[edge]
            visits[lane, action] = tree.visits[edge]
            policy[lane, action] = weights[place]
            if tree.visits[edge] > 0:
                action_values[lane, action] = exact_mean(tree, edge, rules.proofs)
        values[lane] = _root_value(tree, rules, root, result)
        actions[lane] = tree.action[first + _choose(tree, rules, lane, stands, weights)]


@njit(cache=True)
def line_from(tree: Tree, rules: Rules, lane: int, first_action: int, out: npt.NDArray[Any]) -> int:
    """The principal variation into `out`: `first_action`, then proven best or most visited moves; its length."""
    node = int(tree.root[lane])
    length = 0
    while node >= 0 and length < len(out):
        first = tree.first_edge[node]
        best = -1
        best_rank = -np.inf
        for edge in range(first, first + tree.edge_count[node]):
            if tree.visits[edge] == 0:
                continue
            rank = np.float64(tree.visits[edge])
            link = int(tree.link[edge])
            if rules.proofs and link < UNEXPANDED:
                result = settled_result(link)
                rank += 1e12 if result == 0 else (-1e12 if result == LOSS else 0.0)
            if length == 0 and tree.action[edge] == first_action:
                rank = np.inf
            if rank > best_rank:
                best, best_rank = edge, rank
        if best < 0:
            break
        out[length] = tree.action[best]
        length += 1
        link = int(tree.link[best])
        node = link if link >= UNEXPANDED else (-2 - link) // 3 - 1
    return length
