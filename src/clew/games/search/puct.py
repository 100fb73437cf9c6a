"""PUCT (Silver et al. 2018): argmax of Q + c * P * sqrt(N) / (1 + n), Q = 0 for moves not yet visited."""

from __future__ import annotations

import numpy as np
from numba import njit

from clew.games.search.tree import Tree


@njit(cache=True)
def select_puct(tree: Tree, node: int, c_puct: np.float32) -> int:
    """The edge to follow; of equal scores the one of the lowest action. In single precision, in this order:

    mean + (c_puct * sqrt(node_visits)) * (prior / (1 + visits)). An edge that is proven lost has mean -inf.
    """
    first = tree.first_edge[node]
    weight = c_puct * np.sqrt(np.float32(tree.node_visits[node]))
    best = first
    highest = np.float32(-np.inf)
    for edge in range(first, first + tree.edge_count[node]):
        score = tree.mean[edge] + weight * tree.bonus[edge]
        if score > highest:
            highest = score
            best = edge
    return best
