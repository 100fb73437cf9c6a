"""A row of the replay database, and how positions in one are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clew.core.errors import EvidenceError, UsageError
from clew.games.rules import GameInfo

Floats = npt.NDArray[np.float32]
ROWS_AT_ONCE = 4096
"""Rows that are read at a time."""

UNREADABLE_ACTION = -1
"""`Transition.action` of a row whose stored action is not four bytes."""

Position = dict[str, Any]
"""Up to where a reader has read. Plain JSON; only the store that gave it understands it."""

TRAIL = 4
"""How many ends of episodes a position remembers, to find its place again after rows were deleted by hand."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a game: a row of the table `transitions`.

    Rows that are read have the stored bytes in `observation`, `next_observation` and `policy_probs` (little-endian
    float32; `as_floats` reads them), of whatever length they have; rows to be written may have arrays there.
    """

    id: str
    env_id: str
    episode_id: str
    step_number: int
    state: bytes
    action: int
    next_state: bytes
    observation: Floats | bytes
    next_observation: Floats | bytes
    reward: float
    """From the view of the player who has just moved: 1, -1 or 0 at the end, 0 before."""
    done: bool
    timestamp: int
    """Unix seconds; never used for order, since clocks are set back."""
    policy_probs: Floats | bytes | None
    """The search's own distribution over the actions."""
    mcts_value: float
    """Root value of the search, from the view of the player to move in `observation`."""
    game_outcome: float | None
    """Outcome of the game, from the view of the player to move in `observation`."""


def as_floats(blob: Floats | bytes | None) -> Floats | None:
    """float32 values of a stored blob; None for none, and for bytes that are no whole number of values."""
    if blob is None:
        return None
    if isinstance(blob, bytes):
        return np.frombuffer(blob, "<f4") if len(blob) % 4 == 0 else None
    return np.asarray(blob, np.float32)


def as_bytes(values: Floats | bytes) -> bytes:
    """Little-endian float32 bytes of an array; bytes stay as they are."""
    return values if isinstance(values, bytes) else np.ascontiguousarray(values, "<f4").tobytes()


def to_row(row: Transition) -> tuple[Any, ...]:
    """The values of `schema.COLUMNS` for a row: plain Python numbers, strings and bytes."""
    if not 0 <= int(row.action) < 2**32:
        raise UsageError(f"The action {row.action} of row {row.id} is no unsigned number of 32 bits.")
    return (
        row.id,
        row.env_id,
        row.episode_id,
        int(row.step_number),
        bytes(row.state),
        int(row.action).to_bytes(4, "little"),
        bytes(row.next_state),
        as_bytes(row.observation),
        as_bytes(row.next_observation),
        float(row.reward),
        int(row.done),
        int(row.timestamp),
        None if row.policy_probs is None else as_bytes(row.policy_probs),
        float(row.mcts_value),
        None if row.game_outcome is None else float(row.game_outcome),
    )


def from_row(values: Sequence[Any]) -> Transition:
    """A row from the values of `schema.COLUMNS`; what has another type becomes empty bytes, -1, NaN or False."""
    action = values[5]
    policy, value, outcome = values[12], values[13], values[14]
    return Transition(
        as_text(values[0]),
        as_text(values[1]),
        as_text(values[2]),
        _whole(values[3]),
        _blob(values[4]),
        int.from_bytes(action, "little") if isinstance(action, bytes) and len(action) == 4 else UNREADABLE_ACTION,
        _blob(values[6]),
        _blob(values[7]),
        _blob(values[8]),
        _number(values[9]),
        isinstance(values[10], int) and bool(values[10]),
        _whole(values[11]),
        None if policy is None else _blob(policy),
        0.0 if value is None else _number(value),
        None if outcome is None else _number(outcome),
    )


def as_text(value: Any) -> str:
    """An id as a text, whatever the cell holds; the same for the same cell."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _blob(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else -1


def check_episode(episode: Sequence[Transition]) -> None:
    """Raise `UsageError` unless the rows are of one episode of one game, and have ids of their own."""
    first = episode[0]
    for row in episode:
        if row.episode_id != first.episode_id or row.env_id != first.env_id:
            raise UsageError(f"Row {row.id} belongs to another episode than row {first.id}: append one at a time.")
    if len({row.id for row in episode}) < len(episode):
        raise UsageError(f"Two rows of episode {first.episode_id} have the same id.")


def same_rows(written: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> bool:
    """Whether the stored rows, values of `schema.COLUMNS`, are those that were to be written, whatever their order."""

    def simple(value: Any) -> Any:
        # Tables made by others may hold float32, and booleans; SQLite knows no negative zero.
        if isinstance(value, float):
            return float(np.float32(value)) + 0.0
        return int(value) if isinstance(value, bool) else value

    def comparable(rows: Sequence[Sequence[Any]]) -> list[str]:
        return sorted(repr([simple(each) for each in row]) for row in rows)

    return comparable(written) == comparable(wanted)


def clash(name: str, episode: Sequence[Transition]) -> EvidenceError:
    """What is said when other rows have the ids of an episode."""
    return EvidenceError(
        f"{name} holds other rows with ids of episode {episode[0].episode_id}, so it was not written. "
        f"Give each actor a name of its own."
    )


def follow_trail(trail: Sequence[Sequence[Any]], rows: Sequence[Transition], keys: Sequence[Any]) -> list[list[Any]]:
    """Newest first: key and id of the last row of each of the newest episodes, `trail` continued by rows read."""
    ends: list[list[Any]] = []
    for index in range(len(rows) - 1, -1, -1):
        if not ends or rows[index].episode_id != rows[index + 1].episode_id:
            ends.append([keys[index], rows[index].id])
            if len(ends) == TRAIL:
                return ends
    return [*ends, *map(list, trail)][:TRAIL]


class Source(Protocol):
    """Where rows come from: a replay database, as those who look through its rows see it."""

    name: str

    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """Up to `limit` rows of a game that were committed since `after`, and the position behind them."""

    def info(self, env_id: str) -> GameInfo:
        """What is known of a game."""

    def described(self, env_id: str) -> GameInfo | None:
        """What the database itself says of a game."""
