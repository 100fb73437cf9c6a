"""The search trees of all lanes: beginning anew, adding nodes, keeping a subtree.

A node's edges, one a legal move in ascending order of action, lie side by side. Lane l owns the nodes
l * nodes_per_lane ... and the edges l * edges_per_lane ...; indices are absolute, so that a descent needs no lane.
Nodes are handed out in ascending order: a child stands behind its parent, which makes compaction one pass.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.search.layout import Record, edge_at, lane_at, lowest_bit, node_at
from clew.games.states import PASS, States

WIN, DRAW, LOSS = 0, 1, 2
"""Results for the one who chooses; the value is 1 - result."""
UNKNOWN = -1
"""No result is proven."""
UNEXPANDED = -1
"""Link of an edge below which there is nothing yet."""


class Tree(NamedTuple):
    """Addresses of the records (see `layout`) and their number in each lane."""

    nodes: int
    edges: int
    lanes: int
    root_moves: int
    """One for each lane and action, by place of the edge."""
    nodes_per_lane: int
    edges_per_lane: int
    num_actions: int
    """Root moves per lane."""


@njit(cache=True, error_model="numpy", inline="always")
def settle(result: int, node: int) -> int:
    """The link of an edge whose result for the chooser is known; `node`: what lies below it, or -1."""
    return -2 - (3 * (node + 1) + result)


@njit(cache=True, error_model="numpy", inline="always")
def settled_result(link: int) -> int:
    """The result that a link below `UNEXPANDED` tells."""
    return (-2 - link) % 3


@njit(cache=True, error_model="numpy", inline="always")
def node_below(link: int) -> int:
    """The node that a link leads to, settled or not; -1: none."""
    return link if link >= UNEXPANDED else (-2 - link) // 3 - 1


@njit(cache=True, error_model="numpy")
def begin_lane(tree: Tree, index: int, first: np.uint64, second: np.uint64, status: np.uint64) -> None:
    """A tree of one root that awaits its evaluation."""
    lane = lane_at(tree.lanes, index)
    lane.nodes_used = 0
    lane.edges_used = 0
    lane.result = UNKNOWN
    lane.root = add_node(tree, index, first, second, status)


@njit(cache=True, error_model="numpy", forceinline=True)
def add_node(tree: Tree, index: int, first: np.uint64, second: np.uint64, status: np.uint64) -> int:
    """A node without edges in lane `index`, or -1: none is left."""
    lane = lane_at(tree.lanes, index)
    used = lane.nodes_used
    if used == tree.nodes_per_lane:
        return -1
    lane.nodes_used = used + 1
    place = index * tree.nodes_per_lane + used
    node = node_at(tree.nodes, place)
    node.first, node.second, node.status = first, second, status
    node.edge_count = 0
    node.visits = 1
    return int(place)


@njit(cache=True, error_model="numpy", forceinline=True)
def _add_edge(tree: Tree, place: int, action: int) -> None:
    edge = edge_at(tree.edges, place)
    edge.mean = 0.0
    edge.link = UNEXPANDED
    edge.visits = 0
    edge.value_sum = 0.0
    edge.pending = 0
    edge.action = action


@njit(cache=True, error_model="numpy", forceinline=True)
def add_edges(tree: Tree, index: int, node_place: int, legal: np.uint64) -> bool:
    """Edges for the moves in `legal` (the pass where it is empty), without priors; False: no room."""
    lane, node = lane_at(tree.lanes, index), node_at(tree.nodes, node_place)
    used = lane.edges_used
    room = tree.edges_per_lane - used
    first = index * tree.edges_per_lane + used
    count = 0
    if legal == np.uint64(0):
        if room < 1:
            return False
        _add_edge(tree, first, PASS)
        count = 1
    while legal:
        if count == room:
            return False
        _add_edge(tree, first + count, lowest_bit(legal))
        count += 1
        legal &= legal - np.uint64(1)
    node.first_edge = first
    node.edge_count = count
    lane.edges_used = used + count
    return True


@njit(cache=True, error_model="numpy")
def fill_priors(tree: Tree, node_place: int) -> None:
    """The softmax of the edges' logits, in double precision, as priors and fresh bonuses."""
    node = node_at(tree.nodes, node_place)
    first, end = node.first_edge, node.first_edge + node.edge_count
    highest = -np.inf
    for place in range(first, end):
        highest = max(highest, np.float64(edge_at(tree.edges, place).logit))
    total = 0.0
    for place in range(first, end):
        total += math.exp(np.float64(edge_at(tree.edges, place).logit) - highest)
    for place in range(first, end):
        edge = edge_at(tree.edges, place)
        edge.prior = np.float32(math.exp(np.float64(edge.logit) - highest) / total)
        refresh_bonus(edge)


@njit(cache=True, error_model="numpy", forceinline=True)
def refresh_bonus(edge: Record) -> None:
    """Bonus of an edge after its prior, visits or pending descents changed."""
    edge.bonus = edge.prior / np.float32(1 + edge.visits + edge.pending)


@njit(cache=True, error_model="numpy", forceinline=True)
def refresh_mean(edge: Record) -> None:
    """Mean of an edge that is not settled: each pending descent counts as a loss for the one who chooses."""
    count = edge.visits + edge.pending
    edge.mean = (edge.value_sum - np.float32(edge.pending)) / np.float32(count) if count > 0 else np.float32(0.0)


@njit(cache=True, error_model="numpy")
def proven_result(tree: Tree, node_place: int) -> int:
    """What the settled edges of a node prove for its player to move, or `UNKNOWN`."""
    node = node_at(tree.nodes, node_place)
    best = LOSS
    is_open = node.edge_count == 0
    for place in range(node.first_edge, node.first_edge + node.edge_count):
        link = edge_at(tree.edges, place).link
        if link >= UNEXPANDED:
            is_open = True
        else:
            best = min(best, settled_result(link))
            if best == WIN:
                return WIN
    return UNKNOWN if is_open else best


@njit(cache=True, error_model="numpy")
def begin_lanes(
    tree: Tree,
    states: States,
    simulations: npt.NDArray[np.int32],
    seeds: npt.NDArray[np.uint64],
    noise: npt.NDArray[np.bool_],
) -> None:
    """Keep a lane's tree whose root is this very state and which has room; else begin anew; terminal: no tree."""
    for index in range(len(states)):
        first, second, status = states[index, 0], states[index, 1], states[index, 2]
        lane = lane_at(tree.lanes, index)
        lane.seed, lane.noise, lane.done, lane.asked = seeds[index], noise[index], 0, simulations[index]
        if (status >> np.uint64(8)) & np.uint64(3):
            lane.root = -1
            lane.asked = -1
            continue
        if lane.root >= 0 and lane.nodes_used + lane.asked <= tree.nodes_per_lane:
            root = node_at(tree.nodes, lane.root)
            if root.first == first and root.second == second and root.status == status:
                continue
        begin_lane(tree, index, first, second, status)


@njit(cache=True, error_model="numpy")
def keep_subtrees(tree: Tree, actions: npt.NDArray[np.int64]) -> None:
    """`_keep_below` in every lane; -1 forgets the lane's tree."""
    fresh = np.empty(tree.nodes_per_lane, np.int32)
    for index in range(len(actions)):
        _keep_below(tree, index, actions[index], fresh)


@njit(cache=True, error_model="numpy")
def _keep_below(tree: Tree, index: int, action: int, fresh: npt.NDArray[np.int32]) -> None:
    """Make the node below `action` the lane's root and give free all that is not below it.

    `fresh` is scratch, int32[nodes_per_lane]: where each kept node goes. Without such a node the tree is forgotten.
    """
    lane = lane_at(tree.lanes, index)
    root = _child(tree, lane.root, action) if lane.root >= 0 and action >= 0 else -1
    lane.root = -1
    lane.result = UNKNOWN
    if root < 0:
        return
    base = index * tree.nodes_per_lane
    fresh[: lane.nodes_used] = -1
    fresh[root - base] = 0
    kept = 0
    for old in range(root - base, lane.nodes_used):
        if fresh[old] < 0:
            continue
        fresh[old] = kept
        kept += 1
        node = node_at(tree.nodes, base + old)
        for place in range(node.first_edge, node.first_edge + node.edge_count):
            child = node_below(edge_at(tree.edges, place).link)
            if child >= 0:
                fresh[child - base] = 0
    edges = index * tree.edges_per_lane
    for old in range(root - base, lane.nodes_used):
        if fresh[old] >= 0:
            edges = _move_node(tree, base, base + old, base + fresh[old], edges, fresh)
    lane.nodes_used = kept
    lane.edges_used = edges - index * tree.edges_per_lane
    lane.root = base
    lane.result = proven_result(tree, base)


@njit(cache=True, error_model="numpy")
def _child(tree: Tree, node_place: int, action: int) -> int:
    node = node_at(tree.nodes, node_place)
    for place in range(node.first_edge, node.first_edge + node.edge_count):
        if edge_at(tree.edges, place).action == action:
            return node_below(edge_at(tree.edges, place).link)
    return -1


@njit(cache=True, error_model="numpy")
def _move_node(tree: Tree, base: int, old: int, new: int, edges: int, fresh: npt.NDArray[np.int32]) -> int:
    """Move a node and its edges to where they belong, at or before where they are; the first edge behind them."""
    source, target = node_at(tree.nodes, old), node_at(tree.nodes, new)
    first, count = source.first_edge, source.edge_count
    target.first, target.second, target.status = source.first, source.second, source.status
    target.visits, target.value = source.visits, source.value
    target.first_edge, target.edge_count = edges, count
    for place in range(count):
        left, moved = edge_at(tree.edges, first + place), edge_at(tree.edges, edges + place)
        link = left.link
        child = node_below(link)
        if child >= 0:
            child = base + fresh[child - base]
            moved.link = child if link >= 0 else settle(settled_result(link), child)
        else:
            moved.link = link
        moved.mean, moved.bonus, moved.visits, moved.value_sum = left.mean, left.bonus, left.visits, left.value_sum
        moved.prior, moved.logit, moved.pending, moved.action = left.prior, left.logit, left.pending, left.action
    return int(edges + count)
