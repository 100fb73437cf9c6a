"""What a row teaches: its observation, policy target and value target; and which rows teach nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.games.replay.transitions import UNREADABLE_ACTION, Floats, Transition, as_bytes
from clew.games.rules import GameInfo

TOLERANCE = 1e-3
"""How far a stored sum of probabilities may be from 1, and a value beyond [-1, 1], before the row is called broken."""
MAX_PLY = 2**31 - 1


@dataclass(frozen=True)
class Targets:
    """Rows that can be trained on, and a sentence for each that cannot."""

    rows: list[Transition]
    """The rows of the arrays below, in the order in which they came."""
    observation: Floats
    """float32[rows, obs_size]."""
    policy: Floats
    """float32[rows, num_actions], summing to 1 over legal moves and 0 elsewhere."""
    outcome: Floats
    """float32[rows], in [-1, 1], from the view of the player to move."""
    root_value: Floats
    """float32[rows], likewise: what the search thought."""
    ply: npt.NDArray[np.int32]
    """int32[rows]."""
    broken: list[str]


def make_targets(rows: Sequence[Transition], info: GameInfo) -> Targets:
    """The targets of `rows` of the game `info`.

    A missing policy, or one of the wrong length: one-hot of the action. No outcome: the search's value. A row is
    broken, and left out, when its observation has another length, values that are no numbers, or no legal move (as
    in a terminal position); when its action is not legal; when its policy has NaN or negative values, does not sum
    to 1, or moves illegally; when its outcome or value is no number in [-1, 1].
    """
    faults: dict[int, str] = {}
    readable = []
    for index, row in enumerate(rows):
        size = len(as_bytes(row.observation))
        if row.env_id != info.env_id:
            faults[index] = f"it is of the game {row.env_id}, not {info.env_id}"
        elif size != 4 * info.obs_size:
            faults[index] = f"its observation has {size} bytes where {4 * info.obs_size} are due"
        elif row.action == UNREADABLE_ACTION:
            faults[index] = "its action is not stored in 4 bytes"
        elif row.action >= info.num_actions:
            faults[index] = f"its action {row.action} is beyond the {info.num_actions} actions of the game"
        elif not 0 <= row.step_number <= MAX_PLY:
            faults[index] = f"its step_number {row.step_number} cannot be"
        else:
            readable.append(index)

    count, taken = len(readable), [rows[index] for index in readable]
    observation = _stack([as_bytes(row.observation) for row in taken], info.obs_size)
    action = np.fromiter((row.action for row in taken), np.int64, count)
    given = [_policy_bytes(row, info) for row in taken]
    one_hot = np.fromiter((each is None for each in given), np.bool_, count)
    policy = _stack([each or bytes(4 * info.num_actions) for each in given], info.num_actions)
    policy[one_hot, action[one_hot]] = 1.0
    root_value = np.fromiter((row.mcts_value for row in taken), np.float64, count)
    outcome = np.fromiter(
        (row.mcts_value if row.game_outcome is None else row.game_outcome for row in taken), np.float64, count
    )

    legal = observation[:, info.legal_mask_offset : info.legal_mask_offset + info.num_actions] > 0.5
    finite = np.isfinite(policy).all(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        total = policy.sum(axis=1, dtype=np.float64)
        illegal = np.where(legal, 0.0, policy).sum(axis=1, dtype=np.float64)
        for wrong, what in (
            (~np.isfinite(observation).all(axis=1), "its observation holds values that are no numbers"),
            (~legal.any(axis=1), "no move is legal in its observation (a terminal position)"),
            (~legal[np.arange(count), action], "its action is not legal in its observation"),
            (~finite, "its policy holds values that are no numbers (NaN)"),
            ((policy < 0).any(axis=1), "its policy has negative values"),
            (~(np.abs(total - 1.0) <= TOLERANCE), "its policy does not sum to 1"),
            (~(illegal <= TOLERANCE), "its policy puts weight on illegal moves"),
            (~(np.abs(outcome) <= 1.0 + TOLERANCE), "its outcome is no number from -1 to 1"),
            (~(np.abs(root_value) <= 1.0 + TOLERANCE), "its mcts_value is no number from -1 to 1"),
        ):
            for found in np.flatnonzero(wrong):
                faults.setdefault(readable[int(found)], what)

    good = np.fromiter((index not in faults for index in readable), np.bool_, count)
    policy, legal = policy[good], legal[good]
    # What little weight rounding left on illegal moves would be an infinite loss there.
    policy = np.where(legal, policy, np.float32(0.0))
    slanted = illegal[good] > 0
    policy[slanted] /= policy[slanted].sum(axis=1, keepdims=True)
    return Targets(
        rows=[row for row, fits in zip(taken, good, strict=True) if fits],
        observation=observation[good],
        policy=policy,
        outcome=np.clip(outcome[good], -1.0, 1.0).astype(np.float32),
        root_value=np.clip(root_value[good], -1.0, 1.0).astype(np.float32),
        ply=np.fromiter((row.step_number for row in taken), np.int32, count)[good],
        broken=[f"Row {rows[index].id}: {faults[index]}." for index in sorted(faults)],
    )


def _policy_bytes(row: Transition, info: GameInfo) -> bytes | None:
    """The stored policy; None for a missing one, and for one of the wrong length."""
    if row.policy_probs is None:
        return None
    stored = as_bytes(row.policy_probs)
    return stored if len(stored) == 4 * info.num_actions else None


def _stack(blobs: list[bytes], width: int) -> Floats:
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), width).astype(np.float32)
