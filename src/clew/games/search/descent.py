"""Descents, expansion and backup, with proofs (MCTS-solver: Winands, Björnsson and Saito 2008)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from clew.games.bitboards.dispatch import legal_bits, play
from clew.games.search.chance import dirichlet_draws, gumbel_draws
from clew.games.search.gumbel import select_at_root, select_inner
from clew.games.search.layout import Record, edge_at, lane_at, node_at, root_move_at, step_at
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
from clew.games.states import DRAW as DRAWN
from clew.games.states import ONGOING, mover, winner


class Rules(NamedTuple):
    """The settings as the compiled functions take them."""

    game: int
    gumbel: bool
    proofs: bool
    foresight: bool
    batched: bool
    considered: int
    c_puct: np.float32
    c_visit: float
    c_scale: float
    dirichlet_alpha: float
    root_noise: float


@njit(cache=True, error_model="numpy", forceinline=True)
def descend(tree: Tree, rules: Rules, index: int, steps: int, leaf: Record, scores: int) -> int:
    """Follow the edges chosen from the lane's root to one that leads to no node; the length of the path.

    The path goes into the records at address `steps`. Its last edge is unexpanded, and `leaf` then holds the ongoing
    position below it; or settled: its link tells the result (a terminal position settles its edge when first met).
    """
    place = lane_at(tree.lanes, index).root
    depth = 0
    while True:
        if not rules.gumbel:
            edge_place = select_puct(tree, place, rules.c_puct)
        elif depth == 0:
            edge_place = select_at_root(
                tree, index, rules.considered, rules.c_visit, rules.c_scale, rules.proofs, scores
            )
        else:
            edge_place = select_inner(tree, place, rules.c_visit, rules.c_scale, rules.proofs, scores)
        step = step_at(steps, depth)
        step.node, step.edge = place, edge_place
        depth += 1
        link = edge_at(tree.edges, edge_place).link
        if link < 0:
            break
        place = link
    if link == UNEXPANDED:
        edge, node = edge_at(tree.edges, edge_place), node_at(tree.nodes, place)
        first, second, status = play(rules.game, node.first, node.second, node.status, edge.action)
        won_by = winner(status)
        if won_by == ONGOING:
            if rules.foresight and wins_at_once(rules.game, first, second, status):
                edge.link = settle(WIN if mover(status) == mover(node.status) else LOSS, -1)
            else:
                leaf.first, leaf.second, leaf.status = first, second, status
        elif won_by == DRAWN:
            edge.link = settle(DRAW, -1)
        else:
            edge.link = settle(WIN if won_by == mover(node.status) + 1 else LOSS, -1)
    return depth


@njit(cache=True, error_model="numpy")
def wins_at_once(game: int, first: np.uint64, second: np.uint64, status: np.uint64) -> bool:
    """Whether a single move of the player to move in an ongoing position wins."""
    moves = legal_bits(game, first, second, status)
    action = 0
    while moves:
        if moves & np.uint64(1):
            after = play(game, first, second, status, action)[2]
            if winner(after) == mover(status) + 1:
                return True
        moves >>= np.uint64(1)
        action += 1
    return False


@njit(cache=True, error_model="numpy", forceinline=True)
def from_other_view(status: np.uint64, value: np.float32) -> np.float32:
    """A value in the view of the player to move, in the view of the first player; and the other way."""
    return value if mover(status) == 0 else -value


@njit(cache=True, error_model="numpy", forceinline=True)
def back_up(
    tree: Tree, rules: Rules, index: int, steps: int, depth: int, value: np.float32, settled: bool, pending: bool
) -> None:
    """Add `value`, in the view of the first player, to every edge of the path, the last first.

    settled: the last edge has been settled by this descent, so that proofs may follow; what they prove replaces the
    value above. pending: the path was marked by `mark_pending`, which ends here.
    """
    for distance in range(depth):
        step = step_at(steps, depth - 1 - distance)
        node, edge = node_at(tree.nodes, step.node), edge_at(tree.edges, step.edge)
        edge.visits += 1
        edge.value_sum += from_other_view(node.status, value)
        if pending:
            edge.pending -= 1
        else:
            node.visits += 1
        refresh_bonus(edge)
        if not rules.proofs or edge.link >= UNEXPANDED:
            refresh_mean(edge)
        elif settled:
            result = _prove(tree, index, steps, depth - 1 - distance)
            settled = result != UNKNOWN
            if settled:
                value = from_other_view(node.status, np.float32(1 - result))


@njit(cache=True, error_model="numpy")
def _prove(tree: Tree, index: int, steps: int, depth: int) -> int:
    """After the edge at `depth` of a path was settled: its exact mean, and the result that this proves, if any, of its
    node: on the edge above, or of the root.
    """
    step = step_at(steps, depth)
    edge, node = edge_at(tree.edges, step.edge), node_at(tree.nodes, step.node)
    result = settled_result(edge.link)
    edge.mean = np.float32(-np.inf) if result == LOSS else np.float32(1 - result)
    result = proven_result(tree, step.node)
    if result == UNKNOWN:
        return result
    if depth == 0:
        lane_at(tree.lanes, index).result = result
        return result
    above = step_at(steps, depth - 1)
    same_player = mover(node_at(tree.nodes, above.node).status) == mover(node.status)
    edge_at(tree.edges, above.edge).link = settle(result if same_player else LOSS - result, step.node)
    return result


@njit(cache=True, error_model="numpy")
def mark_pending(tree: Tree, rules: Rules, steps: int, depth: int) -> None:
    """Virtual loss: until the leaf's evaluation is here, each edge of the path is worse for the one who chose it."""
    for distance in range(depth):
        step = step_at(steps, distance)
        edge = edge_at(tree.edges, step.edge)
        edge.pending += 1
        node_at(tree.nodes, step.node).visits += 1
        refresh_bonus(edge)
        if not rules.proofs or edge.link >= UNEXPANDED:
            refresh_mean(edge)


@njit(cache=True, error_model="numpy", forceinline=True)
def back_up_settled(tree: Tree, rules: Rules, index: int, steps: int, depth: int) -> None:
    """`back_up` of a descent that ended at a settled edge."""
    step = step_at(steps, depth - 1)
    edge, node = edge_at(tree.edges, step.edge), node_at(tree.nodes, step.node)
    value = from_other_view(node.status, np.float32(1 - settled_result(edge.link)))
    # An edge that was settled before has been visited, and all that follows from it is known.
    back_up(tree, rules, index, steps, depth, value, rules.proofs and edge.visits == 0, False)


@njit(cache=True, error_model="numpy", forceinline=True)
def expand_leaf(tree: Tree, rules: Rules, index: int, steps: int, depth: int, leaf: Record) -> int:
    """The node of `leaf`, without logits, linked below the path's last edge; the root where depth is 0.

    -1: the lane has no room, so that the leaf is not kept.
    """
    legal = legal_bits(rules.game, leaf.first, leaf.second, leaf.status)
    if depth == 0:
        place = int(lane_at(tree.lanes, index).root)
        add_edges(tree, index, place, legal)
        return place
    place = int(add_node(tree, index, leaf.first, leaf.second, leaf.status))
    if place < 0:
        return -1
    if not add_edges(tree, index, place, legal):
        lane_at(tree.lanes, index).nodes_used -= 1
        return -1
    edge_at(tree.edges, step_at(steps, depth - 1).edge).link = place
    return place


@njit(cache=True, error_model="numpy")
def prepare_root(tree: Tree, rules: Rules, index: int) -> None:
    """Noise on the root's priors (PUCT) or its Gumbel draws, and the visits that it begins with."""
    lane = lane_at(tree.lanes, index)
    root = node_at(tree.nodes, lane.root)
    first, count = root.first_edge, root.edge_count
    moves = index * tree.num_actions
    for place in range(count):
        move = root_move_at(tree.root_moves, moves + place)
        move.base_visits = edge_at(tree.edges, first + place).visits
        move.gumbel = 0.0
    if rules.gumbel:
        if lane.noise:
            draws = gumbel_draws(lane.seed, count)
            for place in range(count):
                root_move_at(tree.root_moves, moves + place).gumbel = draws[place]
        return
    fill_priors(tree, lane.root)
    if lane.noise:
        draws = dirichlet_draws(lane.seed, rules.dirichlet_alpha, count)
        for place in range(count):
            edge = edge_at(tree.edges, first + place)
            mixed = (1.0 - rules.root_noise) * np.float64(edge.prior) + rules.root_noise * draws[place]
            edge.prior = np.float32(mixed)
            refresh_bonus(edge)
