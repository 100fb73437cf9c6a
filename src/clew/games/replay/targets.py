"""What a row teaches: its observation, policy target and value target; and which rows teach nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.games.replay.seats import plies
from clew.games.replay.transitions import UNREADABLE_ACTION, Floats, Transition, as_bytes
from clew.games.rules import GameInfo

TOLERANCE = 1e-3
"""How far a stored sum of probabilities may be from 1, and a value beyond [-1, 1], before the row is called broken."""
MAX_PLY = 2**31 - 1

WRONG_GAME = "it is of another game than {env_id}"
OBSERVATION_LENGTH = "its observation is not {obs_size} float32 long"
ACTION_LENGTH = "its action is not stored in 4 bytes"
ACTION_BEYOND = "its action is beyond the {num_actions} actions of the game"
STEP = "its step_number cannot be"
OBSERVATION_NUMBERS = "its observation holds values that are no numbers"
NO_LEGAL_MOVE = "no move is legal in its observation (an all-zero mask, as in a terminal position)"
ACTION_ILLEGAL = "its action is not legal in its observation"
POLICY_NAN = "its policy holds values that are no numbers (NaN)"
POLICY_NEGATIVE = "its policy has negative values"
POLICY_SUM = "its policy does not sum to 1"
POLICY_ILLEGAL = "its policy puts weight on illegal moves"
OUTCOME_RANGE = "its game_outcome is no number from -1 to 1"
VALUE_RANGE = "its mcts_value is no number from -1 to 1"


@dataclass(frozen=True)
class Examined:
    """Rows as arrays, and what is wrong with them."""

    unreadable: dict[int, str]
    """Index of each row that the arrays leave out, and why."""
    readable: npt.NDArray[np.int64]
    """int64[count]: indices of the rows of the arrays."""
    observation: Floats
    """float32[count, obs_size]."""
    policy: Floats
    """float32[count, num_actions]: as it is stored; one-hot of the action where it is missing or of a wrong length."""
    outcome: npt.NDArray[np.float64]
    """float64[count]: the search's value where there is no outcome."""
    root_value: npt.NDArray[np.float64]
    """float64[count]."""
    legal: npt.NDArray[np.bool_]
    """bool[count, num_actions]."""
    faults: list[tuple[str, npt.NDArray[np.bool_]]]
    """What makes a row broken, and bool[count] of the rows that it is true of."""


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
    """int32[rows]: moves made before, those of an opening that the episode leaves out too."""
    broken: list[str]


def examine(rows: Sequence[Transition], info: GameInfo) -> Examined:
    """Look at each of `rows` as a row to train the game `info` on."""
    unreadable: dict[int, str] = {}
    for index, row in enumerate(rows):
        if row.env_id != info.env_id:
            unreadable[index] = WRONG_GAME
        elif len(as_bytes(row.observation)) != 4 * info.obs_size:
            unreadable[index] = OBSERVATION_LENGTH
        elif row.action == UNREADABLE_ACTION:
            unreadable[index] = ACTION_LENGTH
        elif row.action >= info.num_actions:
            unreadable[index] = ACTION_BEYOND
        elif not 0 <= row.step_number <= MAX_PLY:
            unreadable[index] = STEP
    readable = [index for index in range(len(rows)) if index not in unreadable]
    count, taken = len(readable), [rows[index] for index in readable]
    observation = _stack([as_bytes(row.observation) for row in taken], info.obs_size)
    action = np.fromiter((row.action for row in taken), np.int64, count)
    given = [policy_bytes(row, info) for row in taken]
    one_hot = np.fromiter((each is None for each in given), np.bool_, count)
    policy = _stack([each or bytes(4 * info.num_actions) for each in given], info.num_actions)
    policy[one_hot, action[one_hot]] = 1.0
    root_value = np.fromiter((row.mcts_value for row in taken), np.float64, count)
    outcome = np.fromiter(
        (row.mcts_value if row.game_outcome is None else row.game_outcome for row in taken), np.float64, count
    )
    with np.errstate(invalid="ignore", over="ignore"):
        legal = observation[:, info.legal_mask_offset : info.legal_mask_offset + info.num_actions] > 0.5
        moves = legal.any(axis=1)
        finite = np.isfinite(policy).all(axis=1)
        negative = (policy < 0).any(axis=1)
        total = policy.sum(axis=1, dtype=np.float64)
        illegal = np.where(legal, 0.0, policy).sum(axis=1, dtype=np.float64)
        faults = [
            (OBSERVATION_NUMBERS, ~np.isfinite(observation).all(axis=1)),
            (NO_LEGAL_MOVE, ~moves),
            (ACTION_ILLEGAL, moves & ~legal[np.arange(count), action]),
            (POLICY_NAN, ~finite),
            (POLICY_NEGATIVE, finite & negative),
            (POLICY_SUM, finite & ~(np.abs(total - 1.0) <= TOLERANCE)),
            (POLICY_ILLEGAL, finite & moves & ~one_hot & ~(np.abs(illegal) <= TOLERANCE)),
            (OUTCOME_RANGE, ~(np.abs(outcome) <= 1.0 + TOLERANCE)),
            (VALUE_RANGE, ~(np.abs(root_value) <= 1.0 + TOLERANCE)),
        ]
    where = np.array(readable, np.int64)
    return Examined(unreadable, where, observation, policy, outcome, root_value, legal, faults)


def make_targets(rows: Sequence[Transition], info: GameInfo) -> Targets:
    """The targets of `rows` of the game `info`.

    A missing policy, or one of the wrong length: one-hot of the action. No outcome: the search's value. A row is
    broken, and left out, when its observation has another length, values that are no numbers, or no legal move (as
    in a terminal position); when its action is not legal; when its policy has NaN or negative values, does not sum
    to 1, or moves illegally; when its outcome or value is no number in [-1, 1].
    """
    seen = examine(rows, info)
    why = dict(seen.unreadable)
    for what, where in seen.faults:
        for index in seen.readable[where]:
            why.setdefault(int(index), what)
    good = np.fromiter((int(index) not in why for index in seen.readable), np.bool_, len(seen.readable))
    kept = [rows[index] for index in seen.readable[good]]
    policy = seen.policy[good]
    # What little weight rounding left on illegal moves would be an infinite loss there.
    slanted = np.where(seen.legal[good], 0.0, policy).any(axis=1)
    policy = np.where(seen.legal[good], policy, np.float32(0.0))
    policy[slanted] /= policy[slanted].sum(axis=1, keepdims=True)
    return Targets(
        rows=kept,
        observation=seen.observation[good],
        policy=policy,
        outcome=np.clip(seen.outcome[good], -1.0, 1.0).astype(np.float32),
        root_value=np.clip(seen.root_value[good], -1.0, 1.0).astype(np.float32),
        ply=plies(kept, seen.observation[good], info),
        broken=[f"Row {rows[index].id[:200]}: {told(why[index], info)}." for index in sorted(why)],
    )


def told(fault: str, info: GameInfo) -> str:
    """The words of a fault, with the numbers of the game."""
    return fault.format(env_id=info.env_id, obs_size=info.obs_size, num_actions=info.num_actions)


def policy_bytes(row: Transition, info: GameInfo) -> bytes | None:
    """The stored policy; None for a missing one, and for one of the wrong length."""
    if row.policy_probs is None:
        return None
    stored = as_bytes(row.policy_probs)
    return stored if len(stored) == 4 * info.num_actions else None


def _stack(blobs: list[bytes], width: int) -> Floats:
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), width).astype(np.float32)
