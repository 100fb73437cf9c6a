"""What runs compiled between two evaluations, for all lanes in one call."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.bitboards.dispatch import fill_observation
from clew.games.search.descent import (
    Rules,
    back_up,
    back_up_settled,
    descend,
    expand_leaf,
    from_other_view,
    mark_pending,
    prepare_root,
)
from clew.games.search.layout import STEP, Record, edge_at, lane_at, leaf_at, node_at, step_at
from clew.games.search.tree import UNEXPANDED, UNKNOWN, Tree, fill_priors

_STEP_BYTES = STEP.itemsize


class Wave(NamedTuple):
    """Addresses of the leaves that await their evaluation (lanes * leaves_per_wave rows and one to spare) and of their
    paths, and of scratch for the scores of one node's moves.
    """

    leaves: int
    steps: int
    longest: int
    """Steps a row: of the longest game."""
    scores: int


@njit(cache=True, error_model="numpy")
def begin_run(tree: Tree, rules: Rules, lanes: int) -> None:
    """Prepare the roots of the lanes whose trees were kept; the others are prepared when they are evaluated."""
    for index in range(lanes):
        lane = lane_at(tree.lanes, index)
        if lane.asked >= 0 and node_at(tree.nodes, lane.root).edge_count > 0:
            prepare_root(tree, rules, index)


@njit(cache=True, error_model="numpy")
def select_wave(
    tree: Tree, rules: Rules, wave: Wave, lanes: int, leaves: int, cells: int, observations: npt.NDArray[np.float32]
) -> int:
    """Descend in every lane until `leaves` of its leaves await evaluation; the number of rows filled, 0: all is done.

    Descents that end at a known result are backed up at once. A descent that reaches a leaf which is pending already
    is not counted and ends the lane's part of this wave.
    """
    rows = 0
    for index in range(lanes):
        lane = lane_at(tree.lanes, index)
        if lane.asked < 0:
            continue
        root = node_at(tree.nodes, lane.root)
        if root.edge_count == 0:
            leaf = leaf_at(wave.leaves, rows)
            leaf.lane, leaf.depth = index, 0
            leaf.first, leaf.second, leaf.status = root.first, root.second, root.status
            rows += 1
            continue
        selected = 0
        while selected < leaves and lane.done < lane.asked and lane.result == UNKNOWN:
            leaf, steps = leaf_at(wave.leaves, rows), _steps_of(wave, rows)
            depth = descend(tree, rules, index, steps, leaf, wave.scores)
            edge = edge_at(tree.edges, step_at(steps, depth - 1).edge)
            if edge.link != UNEXPANDED:
                back_up_settled(tree, rules, index, steps, depth)
                lane.done += 1
                continue
            if edge.pending > 0:
                break
            if rules.batched:
                mark_pending(tree, rules, steps, depth)
            lane.done += 1
            leaf.lane, leaf.depth = index, depth
            rows += 1
            selected += 1
    for row in range(rows):
        leaf = leaf_at(wave.leaves, row)
        fill_observation(rules.game, cells, tree.num_actions, leaf.first, leaf.second, leaf.status, observations[row])
    return rows


@njit(cache=True, error_model="numpy", inline="always")
def _steps_of(wave: Wave, row: int) -> int:
    return wave.steps + row * wave.longest * _STEP_BYTES


@njit(cache=True, error_model="numpy")
def back_up_wave(
    tree: Tree, rules: Rules, wave: Wave, rows: int, logits: npt.NDArray[np.float32], values: npt.NDArray[np.float32]
) -> int:
    """Expand and back up every leaf of the wave; -1, or the lane whose leaf has a number that is not finite."""
    for row in range(rows):
        leaf, steps = leaf_at(wave.leaves, row), _steps_of(wave, row)
        index, depth, value = leaf.lane, leaf.depth, values[row]
        if not math.isfinite(value):
            return int(index)
        place = expand_leaf(tree, rules, index, steps, depth, leaf)
        if place >= 0:
            node = node_at(tree.nodes, place)
            node.value = value
            for edge_place in range(node.first_edge, node.first_edge + node.edge_count):
                edge = edge_at(tree.edges, edge_place)
                edge.logit = logits[row, edge.action]
                if not math.isfinite(edge.logit):
                    return int(index)
            fill_priors(tree, place)
        if depth == 0:
            prepare_root(tree, rules, index)
        else:
            back_up(tree, rules, index, steps, depth, from_other_view(leaf.status, value), False, rules.batched)
    return -1


@njit(cache=True, error_model="numpy")
def search_uniform(tree: Tree, rules: Rules, wave: Wave, lanes: int) -> None:
    """The whole run with equal logits and value 0, lane after lane; rules.batched must be off."""
    leaf, steps = leaf_at(wave.leaves, 0), wave.steps
    for index in range(lanes):
        lane = lane_at(tree.lanes, index)
        if lane.asked < 0:
            continue
        root = node_at(tree.nodes, lane.root)
        if root.edge_count == 0:
            leaf.first, leaf.second, leaf.status = root.first, root.second, root.status
            _expand_uniform(tree, rules, index, steps, 0, leaf)
            prepare_root(tree, rules, index)
        while lane.done < lane.asked and lane.result == UNKNOWN:
            depth = descend(tree, rules, index, steps, leaf, wave.scores)
            if edge_at(tree.edges, step_at(steps, depth - 1).edge).link != UNEXPANDED:
                back_up_settled(tree, rules, index, steps, depth)
            else:
                _expand_uniform(tree, rules, index, steps, depth, leaf)
                back_up(tree, rules, index, steps, depth, np.float32(0.0), False, False)
            lane.done += 1


@njit(cache=True, error_model="numpy", forceinline=True)
def _expand_uniform(tree: Tree, rules: Rules, index: int, steps: int, depth: int, leaf: Record) -> None:
    place = expand_leaf(tree, rules, index, steps, depth, leaf)
    if place < 0:
        return
    node = node_at(tree.nodes, place)
    node.value = 0.0
    prior = np.float32(1.0 / node.edge_count)
    for edge_place in range(node.first_edge, node.first_edge + node.edge_count):
        edge = edge_at(tree.edges, edge_place)
        edge.logit = 0.0
        edge.prior = prior
        edge.bonus = prior
