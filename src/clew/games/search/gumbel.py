"""Gumbel MuZero's search (Danihelka et al. 2022): Gumbel-top-k, sequential halving, the completed improved policy.

Values are brought from [-1, 1] to [0, 1], as the paper's scale sigma(q) = (c_visit + max visits) * c_scale * q wants.
All of it is computed in double precision.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from clew.games.search.layout import Record, edge_at, lane_at, node_at, root_move_at, score_at
from clew.games.search.tree import LOSS, UNEXPANDED, Tree, settled_result


@njit(cache=True, error_model="numpy")
def considered_visits(considered: int, simulations: int, done: int) -> int:
    """Visits, within this run, of the move that simulation number `done` (from 0) goes to.

    Sequential halving of `considered` moves over ceil(log2(considered)) phases: in each, every move that is left gets
    the same number of visits, and the better half goes on, two at least.
    """
    if considered <= 1:
        return done
    phases = 0
    while (1 << phases) < considered:
        phases += 1
    left = considered
    visits = 0
    while True:
        rounds = max(1, simulations // (phases * left))
        if done < rounds * left:
            return visits + done // left
        done -= rounds * left
        visits += rounds
        left = max(2, left // 2)


@njit(cache=True, error_model="numpy", forceinline=True)
def exact_mean(edge: Record, proofs: bool) -> float:
    """Mean of a visited edge; the value of the result where it is proven."""
    if proofs and edge.link < UNEXPANDED:
        return 1.0 - settled_result(edge.link)
    return np.float64(edge.mean)


@njit(cache=True, error_model="numpy", forceinline=True)
def is_lost(edge: Record, proofs: bool) -> bool:
    """Whether an edge is proven lost for the one who chooses."""
    return proofs and edge.link < UNEXPANDED and settled_result(edge.link) == LOSS


@njit(cache=True, error_model="numpy")
def fill_scores(tree: Tree, node_place: int, c_visit: float, c_scale: float, proofs: bool, scores: int) -> None:
    """logit + sigma(completed q) of each edge into the score records at address `scores`.

    Moves not yet visited have the paper's v_mix (appendix D) as their q: the node's own value and the prior-weighted
    mean of the visited moves.
    """
    node = node_at(tree.nodes, node_place)
    first, count = node.first_edge, node.edge_count
    total, most = 0, 0
    prior_sum, weighted = 0.0, 0.0
    for place in range(first, first + count):
        edge = edge_at(tree.edges, place)
        visits = edge.visits + edge.pending
        if visits > 0:
            total += visits
            most = max(most, visits)
            prior_sum += np.float64(edge.prior)
            weighted += np.float64(edge.prior) * exact_mean(edge, proofs)
    mixed = np.float64(node.value)
    # A prior so small that it is 0 in single precision weighs nothing.
    if prior_sum > 0.0:
        mixed = (mixed + total * (weighted / prior_sum)) / (1 + total)
    scale = (c_visit + most) * c_scale
    for place in range(count):
        edge = edge_at(tree.edges, first + place)
        value = exact_mean(edge, proofs) if edge.visits + edge.pending > 0 else mixed
        score_at(scores, place).value = np.float64(edge.logit) + scale * (0.5 * (value + 1.0))


@njit(cache=True, error_model="numpy")
def select_inner(tree: Tree, node_place: int, c_visit: float, c_scale: float, proofs: bool, scores: int) -> int:
    """The edge whose share of visits is furthest below the improved policy; lowest action first; never a lost one."""
    node = node_at(tree.nodes, node_place)
    first, count = node.first_edge, node.edge_count
    fill_scores(tree, node_place, c_visit, c_scale, proofs, scores)
    highest = -np.inf
    total_visits = 0
    for place in range(count):
        edge = edge_at(tree.edges, first + place)
        total_visits += edge.visits + edge.pending
        if is_lost(edge, proofs):
            score_at(scores, place).value = -np.inf
        highest = max(highest, score_at(scores, place).value)
    total = 0.0
    for place in range(count):
        score = score_at(scores, place)
        score.value = math.exp(score.value - highest)
        total += score.value
    best, furthest = first, -np.inf
    for place in range(count):
        edge = edge_at(tree.edges, first + place)
        behind = score_at(scores, place).value / total - (edge.visits + edge.pending) / (1 + total_visits)
        if behind > furthest and not is_lost(edge, proofs):
            best, furthest = first + place, behind
    return int(best)


@njit(cache=True, error_model="numpy")
def select_at_root(
    tree: Tree, index: int, considered: int, c_visit: float, c_scale: float, proofs: bool, scores: int
) -> int:
    """The edge that sequential halving visits next: of those whose visits are nearest to what it asks for (equal, as
    long as none was proven lost) the one of the highest gumbel + logit + sigma(q).
    """
    lane = lane_at(tree.lanes, index)
    root = node_at(tree.nodes, lane.root)
    first, count = root.first_edge, root.edge_count
    wanted = considered_visits(min(considered, count), lane.asked, lane.done)
    fill_scores(tree, lane.root, c_visit, c_scale, proofs, scores)
    best, nearest, highest = first, 1 << 30, -np.inf
    for place in range(count):
        edge = edge_at(tree.edges, first + place)
        if is_lost(edge, proofs):
            continue
        move = root_move_at(tree.root_moves, index * tree.num_actions + place)
        distance = abs(edge.visits + edge.pending - move.base_visits - wanted)
        score = move.gumbel + score_at(scores, place).value
        if distance < nearest or (distance == nearest and score > highest):
            best, nearest, highest = first + place, distance, score
    return int(best)
