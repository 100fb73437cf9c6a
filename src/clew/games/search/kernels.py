"""What runs compiled between two evaluations, for all lanes in one call."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.rules import fill_observation
from clew.games.search.descent import (
    Path,
    Rules,
    back_up,
    back_up_settled,
    descend,
    expand_leaf,
    mark_pending,
    prepare_root,
)
from clew.games.search.tree import UNEXPANDED, UNKNOWN, Tree, fill_priors


class Run(NamedTuple):
    """One call of `Search.run`: per lane what it was asked for and how far it is; -1 asked: no search."""

    asked: npt.NDArray[np.int32]
    done: npt.NDArray[np.int32]
    """Simulations that have ended or wait for their evaluation."""
    seeds: npt.NDArray[np.uint64]
    noise: npt.NDArray[np.bool_]


class Wave(NamedTuple):
    """Leaves that await their evaluation: at most lanes * leaves_per_wave rows."""

    lane: npt.NDArray[np.int32]
    depth: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int32]
    edges: npt.NDArray[np.int32]
    """int32[rows, longest game]."""
    states: npt.NDArray[np.uint64]
    """uint64[rows, 3]."""
    observations: npt.NDArray[np.float32]
    """float32[rows, obs_size]."""


@njit(cache=True)
def begin_run(tree: Tree, rules: Rules, run: Run) -> None:
    """Prepare the roots of the lanes whose trees were kept; the others are prepared when they are evaluated."""
    for lane in range(len(run.asked)):
        root = int(tree.root[lane])
        run.done[lane] = 0
        if root < 0:
            run.asked[lane] = -1
        elif tree.edge_count[root] > 0:
            prepare_root(tree, rules, lane, run.seeds[lane], run.noise[lane])


@njit(cache=True)
def select_wave(tree: Tree, rules: Rules, run: Run, wave: Wave, leaves: int, cells: int, num_actions: int) -> int:
    """Descend in every lane until `leaves` of its leaves await evaluation; the number of rows filled, 0: all is done.

    Descents that end at a known result are backed up at once. A descent that reaches a leaf which is pending already
    is not counted and ends the lane's part of this wave.
    """
    rows = 0
    scratch = np.empty(num_actions, np.float64)
    for lane in range(len(run.asked)):
        root = int(tree.root[lane])
        if run.asked[lane] < 0:
            continue
        if tree.edge_count[root] == 0:
            wave.lane[rows], wave.depth[rows] = lane, 0
            wave.states[rows] = tree.state[root]
            rows += 1
            continue
        selected = 0
        while selected < leaves and run.done[lane] < run.asked[lane] and tree.root_result[lane] == UNKNOWN:
            path = Path(wave.nodes[rows], wave.edges[rows], wave.states[rows])
            depth = descend(tree, rules, lane, run.asked[lane], run.done[lane], path, scratch)
            edge = int(path.edges[depth - 1])
            if tree.link[edge] != UNEXPANDED:
                back_up_settled(tree, rules, lane, path, depth)
                run.done[lane] += 1
                continue
            if tree.pending[edge] > 0:
                break
            if rules.batched:
                mark_pending(tree, rules, path, depth)
            run.done[lane] += 1
            wave.lane[rows], wave.depth[rows] = lane, depth
            rows += 1
            selected += 1
    for row in range(rows):
        state = wave.states[row]
        fill_observation(rules.game, cells, num_actions, state[0], state[1], state[2], wave.observations[row])
    return rows


@njit(cache=True)
def back_up_wave(
    tree: Tree,
    rules: Rules,
    run: Run,
    wave: Wave,
    rows: int,
    logits: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
) -> int:
    """Expand and back up every leaf of the wave; -1, or the first row with a number that is not finite."""
    for row in range(rows):
        lane, depth = int(wave.lane[row]), int(wave.depth[row])
        path = Path(wave.nodes[row], wave.edges[row], wave.states[row])
        if not math.isfinite(values[row]):
            return row
        node = expand_leaf(tree, rules, lane, path, depth)
        if node >= 0:
            first = tree.first_edge[node]
            for edge in range(first, first + tree.edge_count[node]):
                logit = logits[row, tree.action[edge]]
                if not math.isfinite(logit):
                    return row
                tree.logit[edge] = logit
            tree.node_value[node] = values[row]
            fill_priors(tree, node)
        if depth == 0:
            prepare_root(tree, rules, lane, run.seeds[lane], run.noise[lane])
            continue
        value = values[row] if path.state[2] & np.uint64(1) == np.uint64(0) else -values[row]
        back_up(tree, rules, lane, path, depth, value, False, rules.batched)
    return -1


@njit(cache=True)
def search_uniform(tree: Tree, rules: Rules, run: Run, wave: Wave, num_actions: int) -> None:
    """The whole run with equal logits and value 0, lane after lane; rules.batched must be off."""
    scratch = np.empty(num_actions, np.float64)
    path = Path(wave.nodes[0], wave.edges[0], wave.states[0])
    for lane in range(len(run.asked)):
        if run.asked[lane] < 0:
            continue
        root = int(tree.root[lane])
        if tree.edge_count[root] == 0:
            path.state[:] = tree.state[root]
            _expand_uniform(tree, rules, lane, path, 0)
            prepare_root(tree, rules, lane, run.seeds[lane], run.noise[lane])
        while run.done[lane] < run.asked[lane] and tree.root_result[lane] == UNKNOWN:
            depth = descend(tree, rules, lane, run.asked[lane], run.done[lane], path, scratch)
            if tree.link[path.edges[depth - 1]] != UNEXPANDED:
                back_up_settled(tree, rules, lane, path, depth)
            else:
                _expand_uniform(tree, rules, lane, path, depth)
                back_up(tree, rules, lane, path, depth, np.float32(0.0), False, False)
            run.done[lane] += 1


@njit(cache=True)
def _expand_uniform(tree: Tree, rules: Rules, lane: int, path: Path, depth: int) -> None:
    node = expand_leaf(tree, rules, lane, path, depth)
    if node < 0:
        return
    tree.node_value[node] = 0.0
    first, count = tree.first_edge[node], tree.edge_count[node]
    prior = np.float32(1.0 / count)
    for edge in range(first, first + count):
        tree.logit[edge] = 0.0
        tree.prior[edge] = prior
        tree.bonus[edge] = prior
