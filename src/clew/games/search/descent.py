"""Descents, expansion and backup, with proofs (MCTS-solver: Winands, Björnsson and Saito 2008)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.rules import DRAW as DRAWN
from clew.games.rules import ONGOING, legal_bits, mover, play, winner
from clew.games.search.chance import fill_dirichlet, fill_gumbel
from clew.games.search.gumbel import select_at_root, select_inner
from clew.games.search.puct import select_puct
from clew.games.search.tree import (
    DRAW,
    LOSS,
    UNEXPANDED,
    UNKNOWN,
    WIN,
    Tree,
    add_edges,
    add_node,
    fill_priors,
    proven_result,
    refresh_bonus,
    refresh_mean,
    settle,
    settled_result,
)


class Rules(NamedTuple):
    """The settings as the compiled functions take them."""

    game: int
    gumbel: bool
    proofs: bool
    batched: bool
    considered: int
    c_puct: np.float32
    c_visit: float
    c_scale: float
    dirichlet_alpha: float
    root_noise: float


class Path(NamedTuple):
    """One descent: the nodes passed and the edges taken, int32[depth]; the state at its end, uint64[3]."""

    nodes: npt.NDArray[np.int32]
    edges: npt.NDArray[np.int32]
    state: npt.NDArray[np.uint64]


@njit(cache=True)
def descend(
    tree: Tree, rules: Rules, lane: int, simulations: int, done: int, path: Path, scratch: npt.NDArray[np.float64]
) -> int:
    """Follow the edges chosen from the lane's root to one that leads to no node; the length of the path.

    The last edge is unexpanded, with path.state the ongoing position below it, or settled: its link tells the result
    (a terminal position that is met for the first time settles its edge here).
    """
    node = int(tree.root[lane])
    depth = 0
    while True:
        if rules.gumbel:
            if depth == 0:
                edge = select_at_root(
                    tree, lane, rules.considered, simulations, done, rules.c_visit, rules.c_scale, rules.proofs, scratch
                )
            else:
                edge = select_inner(tree, node, rules.c_visit, rules.c_scale, rules.proofs, scratch)
        else:
            edge = select_puct(tree, node, rules.c_puct)
        path.nodes[depth] = node
        path.edges[depth] = edge
        depth += 1
        link = int(tree.link[edge])
        if link < 0:
            break
        node = link
    if link == UNEXPANDED:
        status = tree.state[node, 2]
        first, second, status = play(
            rules.game, tree.state[node, 0], tree.state[node, 1], status, int(tree.action[edge])
        )
        won_by = winner(status)
        if won_by == ONGOING:
            path.state[0], path.state[1], path.state[2] = first, second, status
        elif won_by == DRAWN:
            tree.link[edge] = settle(DRAW, -1)
        else:
            won = won_by == mover(tree.state[node, 2]) + 1
            tree.link[edge] = settle(WIN if won else LOSS, -1)
    return depth


@njit(cache=True)
def value_for_first(tree: Tree, node: int, value: np.float32) -> np.float32:
    """A value in the view of the player to move at `node`, in the view of the first player; and the other way."""
    return value if mover(tree.state[node, 2]) == 0 else -value


@njit(cache=True)
def _set_settled_mean(tree: Tree, edge: int) -> None:
    result = settled_result(int(tree.link[edge]))
    tree.mean[edge] = np.float32(-np.inf) if result == LOSS else np.float32(1 - result)


@njit(cache=True)
def back_up(
    tree: Tree, rules: Rules, lane: int, path: Path, depth: int, value: np.float32, settled: bool, pending: bool
) -> None:
    """Add `value`, in the view of the first player, to every edge of the path, the last first.

    settled: the last edge has been settled by this descent, so that proofs may follow; what they prove replaces the
    value above. pending: the path was marked by `mark_pending`, which ends here.
    """
    for step in range(depth - 1, -1, -1):
        node, edge = int(path.nodes[step]), int(path.edges[step])
        tree.visits[edge] += 1
        tree.value_sum[edge] += value_for_first(tree, node, value)
        if pending:
            tree.pending[edge] -= 1
        else:
            tree.node_visits[node] += 1
        refresh_bonus(tree, edge)
        if not rules.proofs or tree.link[edge] >= UNEXPANDED:
            refresh_mean(tree, edge)
        elif settled:
            _set_settled_mean(tree, edge)
            result = proven_result(tree, node)
            settled = result != UNKNOWN
            if settled:
                value = value_for_first(tree, node, np.float32(1 - result))
                if step == 0:
                    tree.root_result[lane] = result
                else:
                    above, chooser = int(path.edges[step - 1]), int(path.nodes[step - 1])
                    same = mover(tree.state[chooser, 2]) == mover(tree.state[node, 2])
                    tree.link[above] = settle(result if same else LOSS - result, node)


@njit(cache=True)
def mark_pending(tree: Tree, rules: Rules, path: Path, depth: int) -> None:
    """Virtual loss: until the leaf's evaluation is here, each edge of the path is worse for the one who chose it."""
    for step in range(depth):
        edge = int(path.edges[step])
        tree.pending[edge] += 1
        tree.node_visits[path.nodes[step]] += 1
        refresh_bonus(tree, edge)
        if not rules.proofs or tree.link[edge] >= UNEXPANDED:
            refresh_mean(tree, edge)


@njit(cache=True)
def back_up_settled(tree: Tree, rules: Rules, lane: int, path: Path, depth: int) -> None:
    """`back_up` of a descent that ended at a settled edge."""
    edge, node = int(path.edges[depth - 1]), int(path.nodes[depth - 1])
    value = np.float32(1 - settled_result(int(tree.link[edge])))
    # An edge that was settled before has been visited, and all that follows from it is known.
    fresh = rules.proofs and tree.visits[edge] == 0
    back_up(tree, rules, lane, path, depth, value_for_first(tree, node, value), fresh, False)


@njit(cache=True)
def expand_leaf(tree: Tree, rules: Rules, lane: int, path: Path, depth: int) -> int:
    """The node of path.state, without logits, linked below the path's last edge; the root where depth is 0.

    -1: the lane has no room, so that the leaf is not kept.
    """
    if depth == 0:
        node = int(tree.root[lane])
        add_edges(tree, rules.game, lane, node, legal_bits(rules.game, path.state[0], path.state[1], path.state[2]))
        return node
    node = add_node(tree, lane, path.state[0], path.state[1], path.state[2])
    if node < 0:
        return -1
    if not add_edges(tree, rules.game, lane, node, legal_bits(rules.game, path.state[0], path.state[1], path.state[2])):
        tree.nodes_used[lane] -= 1
        return -1
    tree.link[path.edges[depth - 1]] = node
    return node


@njit(cache=True)
def prepare_root(tree: Tree, rules: Rules, lane: int, seed: np.uint64, noise: bool) -> None:
    """Noise on the root's priors (PUCT) or its Gumbel draws, and the visits that it begins with."""
    root = int(tree.root[lane])
    first, count = tree.first_edge[root], tree.edge_count[root]
    for place in range(count):
        tree.base_visits[lane, place] = tree.visits[first + place]
    draws = tree.gumbel[lane, :count]
    if rules.gumbel:
        if noise:
            fill_gumbel(seed, draws)
        else:
            draws[:] = 0.0
        return
    fill_priors(tree, root)
    if noise:
        fill_dirichlet(seed, rules.dirichlet_alpha, draws)
        for place in range(count):
            edge = first + place
            mixed = (1.0 - rules.root_noise) * np.float64(tree.prior[edge]) + rules.root_noise * draws[place]
            tree.prior[edge] = np.float32(mixed)
            refresh_bonus(tree, edge)
