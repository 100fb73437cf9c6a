"""The records that trees are made of, and how compiled code reaches them: by address, as `node_at(tree.nodes, index)`.

An element of a numba array costs a look at the array's header and, where arrays travel in tuples, two atomic changes
of a reference count: nine tenths of a search's time. A record reached by its address costs a multiplication. Whoever
passes addresses keeps the arrays alive: `Search` does.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from clew.games.bitboards.memory import Record as Record
from clew.games.bitboards.memory import reach

NODE = np.dtype(
    [
        ("first", np.uint64),
        ("second", np.uint64),
        ("status", np.uint64),  # the state, as in games.rules
        ("first_edge", np.int32),
        ("edge_count", np.int32),  # 0: a root that awaits its evaluation
        ("visits", np.int32),  # 1 for its own evaluation, and one for each descent through it, pending ones included
        ("value", np.float32),  # the evaluator's, view of the player to move
    ],
    align=True,
)
"""A position that was evaluated."""

EDGE = np.dtype(
    [
        ("mean", np.float32),  # value_sum / visits with pending descents as losses; 0 unvisited; exact where settled
        ("bonus", np.float32),  # prior / (1 + visits + pending)
        ("link", np.int32),  # a node, or UNEXPANDED, or a settled result
        ("visits", np.int32),
        ("value_sum", np.float32),
        ("prior", np.float32),
        ("logit", np.float32),
        ("pending", np.int16),  # descents whose leaves await their evaluation
        ("action", np.uint8),
    ],
    align=True,
)
"""A legal move at a node. All values are in the view of the one who chooses: the player to move at its node."""

LANE = np.dtype(
    [
        ("seed", np.uint64),
        ("root", np.int32),  # a node, or -1: the lane has no tree
        ("nodes_used", np.int32),
        ("edges_used", np.int32),
        ("result", np.int32),  # what is proven of the root, or UNKNOWN
        ("asked", np.int32),  # simulations of this run; -1: no search
        ("done", np.int32),  # of these: ended, or waiting for their evaluation
        ("noise", np.int32),
    ],
    align=True,
)
"""One game."""

ROOT_MOVE = np.dtype([("gumbel", np.float64), ("score", np.float64), ("base_visits", np.int32)], align=True)
"""What belongs to a move at a lane's root during one run: its Gumbel draw, and the visits it had before the run."""

STEP = np.dtype([("node", np.int32), ("edge", np.int32)], align=True)
"""A node that a descent passed and the edge it took there."""

LEAF = np.dtype(
    [
        ("first", np.uint64),
        ("second", np.uint64),
        ("status", np.uint64),
        ("lane", np.int32),
        ("depth", np.int32),
    ],
    align=True,
)
"""The position at the end of a descent."""

SCORE = np.dtype([("value", np.float64)], align=True)
"""Scratch, one a legal move."""


node_at, edge_at, lane_at, root_move_at = reach(NODE), reach(EDGE), reach(LANE), reach(ROOT_MOVE)
step_at, leaf_at, score_at = reach(STEP), reach(LEAF), reach(SCORE)


def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Index of the lowest bit that is set, of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(numba.types.boolean, True))

    return numba.types.int64(numba.types.uint64), generate


lowest_bit: Any = intrinsic(_lowest_bit)
