"""Gumbel MuZero's search (Danihelka et al. 2022): Gumbel-top-k, sequential halving, the completed improved policy.

Values are brought from [-1, 1] to [0, 1], as the paper's scale sigma(q) = (c_visit + max visits) * c_scale * q wants.
All of it is computed in double precision.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.search.tree import LOSS, UNEXPANDED, Tree, settled_result


@njit(cache=True)
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


@njit(cache=True)
def exact_mean(tree: Tree, edge: int, proofs: bool) -> float:
    """Mean of a visited edge; the value of the result where it is proven."""
    link = tree.link[edge]
    if proofs and link < UNEXPANDED:
        return 1.0 - settled_result(link)
    return np.float64(tree.mean[edge])


@njit(cache=True)
def mixed_value(tree: Tree, node: int, proofs: bool) -> float:
    """The paper's v_mix (appendix D): the node's own value and the prior-weighted mean of its visited moves."""
    first = tree.first_edge[node]
    total = 0
    prior_sum, weighted = 0.0, 0.0
    for edge in range(first, first + tree.edge_count[node]):
        count = tree.visits[edge] + tree.pending[edge]
        if count > 0:
            total += count
            prior_sum += np.float64(tree.prior[edge])
            weighted += np.float64(tree.prior[edge]) * exact_mean(tree, edge, proofs)
    own = np.float64(tree.node_value[node])
    # A prior so small that it is 0 in single precision weighs nothing.
    return (own + total * (weighted / prior_sum)) / (1 + total) if prior_sum > 0.0 else own


@njit(cache=True)
def fill_scores(
    tree: Tree, node: int, c_visit: float, c_scale: float, proofs: bool, out: npt.NDArray[np.float64]
) -> None:
    """logit + sigma(completed q) of each edge into out[place]."""
    first, count = tree.first_edge[node], tree.edge_count[node]
    most = 0
    for edge in range(first, first + count):
        most = max(most, tree.visits[edge] + tree.pending[edge])
    scale = (c_visit + most) * c_scale
    mixed = mixed_value(tree, node, proofs)
    for place in range(count):
        edge = first + place
        visited = tree.visits[edge] + tree.pending[edge] > 0
        value = exact_mean(tree, edge, proofs) if visited else mixed
        out[place] = np.float64(tree.logit[edge]) + scale * (0.5 * (value + 1.0))


@njit(cache=True)
def is_lost(tree: Tree, edge: int, proofs: bool) -> bool:
    """Whether an edge is proven lost for the one who chooses."""
    link = tree.link[edge]
    return proofs and link < UNEXPANDED and settled_result(link) == LOSS


@njit(cache=True)
def select_inner(
    tree: Tree, node: int, c_visit: float, c_scale: float, proofs: bool, scratch: npt.NDArray[np.float64]
) -> int:
    """The edge whose share of visits is furthest below the improved policy; lowest action first; never a lost one."""
    first, count = tree.first_edge[node], tree.edge_count[node]
    fill_scores(tree, node, c_visit, c_scale, proofs, scratch)
    highest = -np.inf
    for place in range(count):
        if is_lost(tree, first + place, proofs):
            scratch[place] = -np.inf
        highest = max(highest, scratch[place])
    total_visits = 0
    total = 0.0
    for place in range(count):
        total_visits += tree.visits[first + place] + tree.pending[first + place]
        scratch[place] = math.exp(scratch[place] - highest)
        total += scratch[place]
    best, furthest = first, -np.inf
    for place in range(count):
        edge = first + place
        if is_lost(tree, edge, proofs):
            continue
        behind = scratch[place] / total - (tree.visits[edge] + tree.pending[edge]) / (1 + total_visits)
        if behind > furthest:
            best, furthest = edge, behind
    return best


@njit(cache=True)
def select_at_root(
    tree: Tree,
    lane: int,
    considered: int,
    simulations: int,
    done: int,
    c_visit: float,
    c_scale: float,
    proofs: bool,
    scratch: npt.NDArray[np.float64],
) -> int:
    """The edge that sequential halving visits next: of those whose visits are nearest to what it asks for (equal, as
    long as none was proven lost) the one of the highest gumbel + logit + sigma(q).
    """
    root = tree.root[lane]
    first, count = tree.first_edge[root], tree.edge_count[root]
    wanted = considered_visits(min(considered, count), simulations, done)
    fill_scores(tree, root, c_visit, c_scale, proofs, scratch)
    best, nearest, highest = first, 1 << 30, -np.inf
    for place in range(count):
        edge = first + place
        if is_lost(tree, edge, proofs):
            continue
        distance = abs(tree.visits[edge] + tree.pending[edge] - tree.base_visits[lane, place] - wanted)
        score = tree.gumbel[lane, place] + scratch[place]
        if distance < nearest or (distance == nearest and score > highest):
            best, nearest, highest = edge, distance, score
    return best
