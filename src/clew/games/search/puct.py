"""PUCT (Silver et al. 2018): argmax of Q + c * P * sqrt(N) / (1 + n), Q = 0 for moves not yet visited."""

from __future__ import annotations

import numpy as np
from numba import njit

from clew.games.search.layout import edge_at, node_at
from clew.games.search.tree import Tree


@njit(cache=True, error_model="numpy", forceinline=True)
def select_puct(tree: Tree, node_place: int, c_puct: np.float32) -> int:
    """The edge to follow; of equal scores the one of the lowest action. In single precision, in this order:

    mean + (c_puct * sqrt(node visits)) * (prior / (1 + visits)). An edge that is proven lost has mean -inf.
    """
    node = node_at(tree.nodes, node_place)
    weight = c_puct * np.sqrt(np.float32(node.visits))
    first, end = node.first_edge, node.first_edge + node.edge_count
    edge = edge_at(tree.edges, first)
    best = first
    highest = edge.mean + weight * edge.bonus
    for place in range(first + 1, end):
        edge = edge_at(tree.edges, place)
        score = edge.mean + weight * edge.bonus
        # Two selections instead of a branch, which would be mispredicted about once a node.
        better = score > highest
        highest = score if better else highest
        best = place if better else best
    return int(best)
