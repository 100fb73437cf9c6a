"""What a finished search says of its root: visits, target policy, values, and the move it would play."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.search.descent import Rules
from clew.games.search.gumbel import exact_mean, fill_scores, is_lost
from clew.games.search.layout import Record, edge_at, lane_at, node_at, root_move_at, score_at
from clew.games.search.tree import LOSS, UNEXPANDED, UNKNOWN, Tree, node_below, settled_result


@njit(cache=True, error_model="numpy")
def _may_be_played(rules: Rules, edge: Record, root_result: int) -> bool:
    """Whether an edge has the root's proven result, or, where there is none, is not proven lost."""
    if not rules.proofs or root_result == LOSS:
        return True
    if root_result != UNKNOWN:
        return edge.link < UNEXPANDED and settled_result(edge.link) == root_result
    return not is_lost(edge, rules.proofs)


@njit(cache=True, error_model="numpy")
def _fill_policy(
    tree: Tree, rules: Rules, root_place: int, root_result: int, scores: int, policy: npt.NDArray[np.float32]
) -> None:
    """Visits (PUCT) or the improved policy (Gumbel), of the moves that may be played, normalised."""
    root = node_at(tree.nodes, root_place)
    first, count = root.first_edge, root.edge_count
    visited = 0
    highest = -np.inf
    if rules.gumbel:
        fill_scores(tree, root_place, rules.c_visit, rules.c_scale, rules.proofs, scores)
    for place in range(count):
        edge = edge_at(tree.edges, first + place)
        if _may_be_played(rules, edge, root_result):
            visited += edge.visits
            highest = max(highest, score_at(scores, place).value)
    total = 0.0
    for place in range(count):
        edge, weight = edge_at(tree.edges, first + place), score_at(scores, place)
        if not _may_be_played(rules, edge, root_result):
            weight.value = 0.0
        elif rules.gumbel:
            weight.value = math.exp(weight.value - highest)
        else:
            # Without a visit to a move that may be played, the priors are all that is known.
            weight.value = np.float64(edge.visits) if visited > 0 else np.float64(edge.prior)
        total += weight.value
    for place in range(count):
        policy[edge_at(tree.edges, first + place).action] = score_at(scores, place).value / total


@njit(cache=True, error_model="numpy")
def _choose(tree: Tree, rules: Rules, index: int, scores: int) -> int:
    """The action to play: of the moves that may be played the most visits of this run (Gumbel) or of all (PUCT); then
    the highest gumbel + logit + sigma(q) (Gumbel), or mean (PUCT; prior where there are no visits at all); then the
    lowest action.
    """
    lane = lane_at(tree.lanes, index)
    root = node_at(tree.nodes, lane.root)
    if rules.gumbel:
        fill_scores(tree, lane.root, rules.c_visit, rules.c_scale, rules.proofs, scores)
    best, most, highest = -1, -1, -np.inf
    for place in range(root.edge_count):
        edge = edge_at(tree.edges, root.first_edge + place)
        if not _may_be_played(rules, edge, lane.result):
            continue
        visits = int(edge.visits)
        if rules.gumbel:
            move = root_move_at(tree.root_moves, index * tree.num_actions + place)
            visits -= move.base_visits
            score = move.gumbel + score_at(scores, place).value
        else:
            score = exact_mean(edge, rules.proofs) if visits > 0 else np.float64(edge.prior)
        if visits > most or (visits == most and score > highest):
            best, most, highest = int(edge.action), visits, score
    return best


@njit(cache=True, error_model="numpy")
def _root_value(tree: Tree, rules: Rules, root_place: int, root_result: int) -> float:
    """The proven value, or the mean of the root's own evaluation and its visits, proven losses left out."""
    if root_result != UNKNOWN:
        return 1.0 - root_result
    root = node_at(tree.nodes, root_place)
    total, visits = np.float64(root.value), 1
    for place in range(root.first_edge, root.first_edge + root.edge_count):
        edge = edge_at(tree.edges, place)
        if edge.visits > 0 and not is_lost(edge, rules.proofs):
            total += edge.visits * exact_mean(edge, rules.proofs)
            visits += edge.visits
    return total / visits


@njit(cache=True, error_model="numpy")
def fill_results(
    tree: Tree,
    rules: Rules,
    scores: int,
    visits: npt.NDArray[np.int32],
    policy: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    action_values: npt.NDArray[np.float32],
    actions: npt.NDArray[np.int64],
    simulations: npt.NDArray[np.int32],
) -> None:
    """Fill the arrays of a `SearchResult`; rows of lanes without a search stay as they are."""
    for index in range(len(visits)):
        lane = lane_at(tree.lanes, index)
        if lane.asked < 0:
            continue
        root = node_at(tree.nodes, lane.root)
        _fill_policy(tree, rules, lane.root, lane.result, scores, policy[index])
        for place in range(root.first_edge, root.first_edge + root.edge_count):
            edge = edge_at(tree.edges, place)
            visits[index, edge.action] = edge.visits
            if edge.visits > 0:
                action_values[index, edge.action] = exact_mean(edge, rules.proofs)
        values[index] = _root_value(tree, rules, lane.root, lane.result)
        actions[index] = _choose(tree, rules, index, scores)
        simulations[index] = lane.done


@njit(cache=True, error_model="numpy")
def line_from(tree: Tree, rules: Rules, index: int, first_action: int, out: npt.NDArray[np.int64]) -> int:
    """The principal variation into `out`: `first_action`, then the proven best or most visited moves; its length."""
    node_place = np.int64(lane_at(tree.lanes, index).root)
    length = 0
    while node_place >= 0 and length < len(out):
        node = node_at(tree.nodes, node_place)
        best, highest = -1, -np.inf
        for place in range(node.first_edge, node.first_edge + node.edge_count):
            edge = edge_at(tree.edges, place)
            rank = 1.0 * edge.visits
            if rules.proofs and edge.link < UNEXPANDED:
                # A move proven won stands before all others, one proven lost behind them.
                rank += 1e12 * (1 - settled_result(edge.link))
            if length == 0 and edge.action == first_action:
                rank = np.inf
            if edge.visits > 0 and rank > highest:
                best, highest = place, rank
        if best < 0:
            break
        edge = edge_at(tree.edges, best)
        out[length] = edge.action
        length += 1
        node_place = np.int64(node_below(edge.link))
    return length
