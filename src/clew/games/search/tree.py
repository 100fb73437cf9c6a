"""The search trees of all lanes in flat arrays, allocated once: layout, beginning anew, expansion, keeping a subtree.

A node is a position that was evaluated; its edges, one a legal move in ascending order of action, lie side by side.
Everything an edge says is from the view of the player to move at its node, the one who chooses. Lane l owns the
nodes l * nodes_per_lane ... and the edges l * edges_per_lane ...; indices are absolute, so that a descent needs no
lane. Nodes are handed out in ascending order: a child stands behind its parent, which makes compaction one pass.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.othello import PASS
from clew.games.rules import OTHELLO, Game, States

WIN, DRAW, LOSS = 0, 1, 2
"""Results for the one who chooses; the value is 1 - result."""
UNKNOWN = -1
"""No result is proven."""
UNEXPANDED = -1
"""Link of an edge below which there is nothing yet."""


class Tree(NamedTuple):
    """Arrays of all lanes. `link`: a node, or `UNEXPANDED`, or a settled result (see `settle`)."""

    state: npt.NDArray[np.uint64]
    """uint64[nodes, 3]."""
    first_edge: npt.NDArray[np.int32]
    edge_count: npt.NDArray[np.int32]
    """int32[nodes]; 0: a root that awaits its evaluation."""
    node_visits: npt.NDArray[np.int32]
    """int32[nodes]: 1 for the node's own evaluation, and one for each descent through it, pending ones included."""
    node_value: npt.NDArray[np.float32]
    """float32[nodes]: the evaluator's value, view of the player to move."""
    action: npt.NDArray[np.uint8]
    """uint8[edges]."""
    link: npt.NDArray[np.int32]
    visits: npt.NDArray[np.int32]
    pending: npt.NDArray[np.int32]
    """int32[edges]: descents whose leaves await their evaluation: losses, until it is here."""
    value_sum: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    """float32[edges]: value_sum / visits with pending descents as losses; 0 unvisited; exact where settled."""
    bonus: npt.NDArray[np.float32]
    """float32[edges]: prior / (1 + visits + pending)."""
    prior: npt.NDArray[np.float32]
    logit: npt.NDArray[np.float32]
    root: npt.NDArray[np.int32]
    """int32[lanes]: node, or -1: the lane has no tree."""
    nodes_used: npt.NDArray[np.int32]
    edges_used: npt.NDArray[np.int32]
    root_result: npt.NDArray[np.int8]
    """int8[lanes]: the proven result of the root, or `UNKNOWN`."""
    gumbel: npt.NDArray[np.float64]
    """float64[lanes, actions]: the root's Gumbel draws, by place of the edge."""
    base_visits: npt.NDArray[np.int32]
    """int32[lanes, actions]: visits that the root's edges had before this run, by place of the edge."""
    nodes_per_lane: int
    edges_per_lane: int


def allocate(game: Game, lanes: int, nodes_per_lane: int) -> Tree:
    """Empty trees. The pages of arrays that are never written cost no memory."""
    # An othello position has 33 moves at most in known games and about 8 on average; where edges run out, leaves
    # are evaluated and counted but not kept.
    edges_per_lane = nodes_per_lane * min(game.num_actions, 32)
    nodes, edges = lanes * nodes_per_lane, lanes * edges_per_lane
    return Tree(
        state=np.zeros((nodes, 3), np.uint64),
        first_edge=np.zeros(nodes, np.int32),
        edge_count=np.zeros(nodes, np.int32),
        node_visits=np.zeros(nodes, np.int32),
        node_value=np.zeros(nodes, np.float32),
        action=np.zeros(edges, np.uint8),
        link=np.zeros(edges, np.int32),
        visits=np.zeros(edges, np.int32),
        pending=np.zeros(edges, np.int32),
        value_sum=np.zeros(edges, np.float32),
        mean=np.zeros(edges, np.float32),
        bonus=np.zeros(edges, np.float32),
        prior=np.zeros(edges, np.float32),
        logit=np.zeros(edges, np.float32),
        root=np.full(lanes, -1, np.int32),
        nodes_used=np.zeros(lanes, np.int32),
        edges_used=np.zeros(lanes, np.int32),
        root_result=np.full(lanes, UNKNOWN, np.int8),
        gumbel=np.zeros((lanes, game.num_actions), np.float64),
        base_visits=np.zeros((lanes, game.num_actions), np.int32),
        nodes_per_lane=nodes_per_lane,
        edges_per_lane=edges_per_lane,
    )


@njit(cache=True, inline="always")
def settle(result: int, node: int) -> int:
    """The link of an edge whose result for the chooser is known; `node`: what lies below it, or -1."""
    return -2 - (3 * (node + 1) + result)


@njit(cache=True, inline="always")
def settled_result(link: int) -> int:
    """The result that a link below `UNEXPANDED` tells."""
    return (-2 - link) % 3


@njit(cache=True, inline="always")
def node_below(link: int) -> int:
    """The node that a link leads to, settled or not; -1: none."""
    return link if link >= UNEXPANDED else (-2 - link) // 3 - 1


@njit(cache=True)
def begin_lane(tree: Tree, lane: int, first: np.uint64, second: np.uint64, status: np.uint64) -> None:
    """A tree of one root that awaits its evaluation."""
    node = lane * tree.nodes_per_lane
    tree.root[lane] = node
    tree.nodes_used[lane] = 1
    tree.edges_used[lane] = 0
    tree.root_result[lane] = UNKNOWN
    tree.state[node, 0], tree.state[node, 1], tree.state[node, 2] = first, second, status
    tree.edge_count[node] = 0
    tree.node_visits[node] = 1


@njit(cache=True)
def add_node(tree: Tree, lane: int, first: np.uint64, second: np.uint64, status: np.uint64) -> int:
    """A node without edges in `lane`, or -1: none is left."""
    used = tree.nodes_used[lane]
    if used == tree.nodes_per_lane:
        return -1
    node = lane * tree.nodes_per_lane + used
    tree.nodes_used[lane] = used + 1
    tree.state[node, 0], tree.state[node, 1], tree.state[node, 2] = first, second, status
    tree.edge_count[node] = 0
    tree.node_visits[node] = 1
    return node


@njit(cache=True)
def add_edges(tree: Tree, game: int, lane: int, node: int, legal: np.uint64) -> bool:
    """Edges for the moves in `legal` (othello's pass where it is empty), without priors; False: no room."""
    first = lane * tree.edges_per_lane + tree.edges_used[lane]
    count = 0
    room = tree.edges_per_lane - tree.edges_used[lane]
    action = 0
    if game == OTHELLO and legal == np.uint64(0):
        if room < 1:
            return False
        tree.action[first] = PASS
        count = 1
    while legal:
        if legal & np.uint64(1):
            if count == room:
                return False
            tree.action[first + count] = action
            count += 1
        legal >>= np.uint64(1)
        action += 1
    for edge in range(first, first + count):
        tree.link[edge] = UNEXPANDED
        tree.visits[edge] = 0
        tree.pending[edge] = 0
        tree.value_sum[edge] = 0.0
        tree.mean[edge] = 0.0
    tree.first_edge[node] = first
    tree.edge_count[node] = count
    tree.edges_used[lane] += count
    return True


@njit(cache=True)
def fill_priors(tree: Tree, node: int) -> None:
    """The softmax of the edges' logits, in double precision, as priors and fresh bonuses."""
    first = tree.first_edge[node]
    end = first + tree.edge_count[node]
    highest = -np.inf
    for edge in range(first, end):
        highest = max(highest, np.float64(tree.logit[edge]))
    total = 0.0
    for edge in range(first, end):
        total += math.exp(np.float64(tree.logit[edge]) - highest)
    for edge in range(first, end):
        tree.prior[edge] = np.float32(math.exp(np.float64(tree.logit[edge]) - highest) / total)
        refresh_bonus(tree, edge)


@njit(cache=True, inline="always")
def refresh_bonus(tree: Tree, edge: int) -> None:
    """Bonus of an edge after its prior, visits or pending descents changed."""
    tree.bonus[edge] = tree.prior[edge] / np.float32(1 + tree.visits[edge] + tree.pending[edge])


@njit(cache=True, inline="always")
def refresh_mean(tree: Tree, edge: int) -> None:
    """Mean of an edge that is not settled: each pending descent counts as a loss for the one who chooses."""
    count = tree.visits[edge] + tree.pending[edge]
    if count == 0:
        tree.mean[edge] = np.float32(0.0)
    else:
        tree.mean[edge] = (tree.value_sum[edge] - np.float32(tree.pending[edge])) / np.float32(count)


@njit(cache=True)
def edge_of(tree: Tree, node: int, action: int) -> int:
    """The edge of `action` at `node`, or -1."""
    first = tree.first_edge[node]
    for edge in range(first, first + tree.edge_count[node]):
        if tree.action[edge] == action:
            return edge
    return -1


@njit(cache=True)
def keep_below(tree: Tree, lane: int, action: int, fresh: npt.NDArray[np.int32]) -> None:
    """Make the node below `action` the lane's root and give free all that is not below it.

    `fresh` is scratch, int32[nodes_per_lane]. Without such a node the lane's tree is forgotten.
    """
    old_root = tree.root[lane]
    edge = edge_of(tree, old_root, action) if old_root >= 0 and action >= 0 else -1
    root = node_below(tree.link[edge]) if edge >= 0 else -1
    tree.root[lane] = -1
    tree.root_result[lane] = UNKNOWN
    if root < 0:
        return
    base = lane * tree.nodes_per_lane
    used = tree.nodes_used[lane]
    fresh[:used] = -1
    fresh[root - base] = 0
    kept = 0
    for old in range(root - base, used):
        if fresh[old] < 0:
            continue
        fresh[old] = kept
        kept += 1
        first = tree.first_edge[base + old]
        for below in range(first, first + tree.edge_count[base + old]):
            child = node_below(tree.link[below])
            if child >= 0:
                fresh[child - base] = 0
    edges = lane * tree.edges_per_lane
    for old in range(root - base, used):
        if fresh[old] >= 0:
            edges = _move_node(tree, base, base + old, base + fresh[old], edges, fresh)
    tree.nodes_used[lane] = kept
    tree.edges_used[lane] = edges - lane * tree.edges_per_lane
    tree.root[lane] = base
    tree.root_result[lane] = proven_result(tree, base)


@njit(cache=True)
def _move_node(tree: Tree, base: int, old: int, new: int, edges: int, fresh: npt.NDArray[np.int32]) -> int:
    """Move a node and its edges to where they belong, at or before where they are; the first edge behind them."""
    tree.state[new, 0], tree.state[new, 1], tree.state[new, 2] = (
        tree.state[old, 0],
        tree.state[old, 1],
        tree.state[old, 2],
    )
    tree.node_visits[new] = tree.node_visits[old]
    tree.node_value[new] = tree.node_value[old]
    first, count = tree.first_edge[old], tree.edge_count[old]
    tree.first_edge[new], tree.edge_count[new] = edges, count
    for place in range(count):
        source, target = first + place, edges + place
        link = int(tree.link[source])
        child = node_below(link)
        if child >= 0:
            moved = base + fresh[child - base]
            link = moved if link >= 0 else settle(settled_result(link), moved)
        tree.link[target] = link
        tree.action[target] = tree.action[source]
        tree.visits[target] = tree.visits[source]
        tree.pending[target] = tree.pending[source]
        tree.value_sum[target] = tree.value_sum[source]
        tree.mean[target] = tree.mean[source]
        tree.bonus[target] = tree.bonus[source]
        tree.prior[target] = tree.prior[source]
        tree.logit[target] = tree.logit[source]
    return edges + count


@njit(cache=True)
def proven_result(tree: Tree, node: int) -> int:
    """What the settled edges of `node` prove for its player to move, or `UNKNOWN`."""
    first = tree.first_edge[node]
    best = LOSS
    open_edges = tree.edge_count[node] == 0
    for edge in range(first, first + tree.edge_count[node]):
        link = tree.link[edge]
        if link >= UNEXPANDED:
            open_edges = True
        else:
            best = min(best, settled_result(link))
            if best == WIN:
                return WIN
    return UNKNOWN if open_edges else best


@njit(cache=True)
def keep_subtrees(tree: Tree, actions: npt.NDArray[np.int64]) -> None:
    """`keep_below` in every lane; -1 forgets the lane's tree."""
    fresh = np.empty(tree.nodes_per_lane, np.int32)
    for lane in range(len(actions)):
        keep_below(tree, lane, actions[lane], fresh)


@njit(cache=True)
def begin_lanes(tree: Tree, states: States, simulations: npt.NDArray[np.int32]) -> None:
    """Keep a lane's tree whose root is this very state and which has room; else begin anew; terminal: none."""
    for lane in range(len(states)):
        first, second, status = states[lane, 0], states[lane, 1], states[lane, 2]
        if (status >> np.uint64(8)) & np.uint64(3):
            tree.root[lane] = -1
            continue
        root = tree.root[lane]
        if (
            root >= 0
            and tree.state[root, 0] == first
            and tree.state[root, 1] == second
            and tree.state[root, 2] == status
            and tree.nodes_used[lane] + simulations[lane] <= tree.nodes_per_lane
        ):
            continue
        begin_lane(tree, lane, first, second, status)
