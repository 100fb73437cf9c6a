"""A row of the replay database, what every store of rows can do, and how positions in one are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from clew.core.errors import EvidenceError, UsageError, nearest
from clew.games.rules import GameInfo, env_id_of, known_game

Floats = npt.NDArray[np.float32]

COLUMNS = (
    "id",
    "env_id",
    "episode_id",
    "step_number",
    "state",
    "action",
    "next_state",
    "observation",
    "next_observation",
    "reward",
    "done",
    "timestamp",
    "policy_probs",
    "mcts_value",
    "game_outcome",
)
"""Columns of the table `transitions` that are written and read; `created_at` is the database's own."""

METADATA = (
    "env_id",
    "display_name",
    "board_width",
    "board_height",
    "num_actions",
    "obs_size",
    "legal_mask_offset",
    "player_count",
)
"""Columns of the table `game_metadata`; `updated_at` stands beside them."""

METADATA_TABLE = """
CREATE TABLE IF NOT EXISTS game_metadata (
    env_id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    board_width INTEGER NOT NULL,
    board_height INTEGER NOT NULL,
    num_actions INTEGER NOT NULL,
    obs_size INTEGER NOT NULL,
    legal_mask_offset INTEGER NOT NULL,
    player_count INTEGER NOT NULL,
    updated_at {moment} DEFAULT CURRENT_TIMESTAMP
);
"""
"""The table `game_metadata`; `moment` is the database's type for a time."""

UNREADABLE_ACTION = -1
"""`Transition.action` of a row whose stored action is not four bytes."""

Position = dict[str, Any]
"""Up to where a reader has read. Plain JSON; only the store that gave it understands it."""

TRAIL = 4
"""How many ends of episodes a position remembers, to find its place again after rows were deleted by hand."""


class ReplayUnavailableError(EvidenceError):
    """The database is gone, locked or full, or its server does not answer; what was asked for may succeed later."""


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


class Replay(Protocol):
    """A replay database: SQLite or PostgreSQL."""

    @property
    def name(self) -> str:
        """The database as messages call it: a path, or a URL without its password."""
        ...

    def upsert_metadata(self, info: GameInfo) -> None:
        """Write or renew the row of `game_metadata` that describes a game; the table is made where it is absent."""
        ...

    def metadata(self) -> dict[str, GameInfo]:
        """The games that the database describes, by env_id; none where the table `game_metadata` is absent."""
        ...

    def env_ids(self) -> dict[str, int]:
        """Rows of each env_id that has any."""
        ...

    def append(self, episode: Sequence[Transition]) -> None:
        """Write one episode in one transaction. Written before to the last bit, it is left as it is.

        Raises `EvidenceError` where other rows have its ids, and a sentence where it could not be written: then
        nothing of it was, and it can be tried again.
        """
        ...

    def count(self, env_id: str) -> int:
        """Rows of a game."""
        ...

    def tail(self, env_id: str, after: Position | None, limit: int) -> tuple[list[Transition], Position]:
        """Up to `limit` rows of a game that were committed since `after` (None: from the first), in commit order.

        Whoever goes on from the position returned sees each row once, none left out. Fewer than `limit` rows: there
        are no more at this moment. Raises `ReplayUnavailableError` while the database is gone.
        """
        ...

    def episode(self, env_id: str, episode_id: str | None = None) -> list[Transition]:
        """The rows of an episode by step; None: the newest. Empty where there is none."""
        ...

    def delete_older(self, env_id: str, keep: int) -> int:
        """Delete episodes that lie wholly before the newest `keep` rows in commit order; return the rows deleted."""
        ...

    def clear(self, env_id: str) -> int:
        """Delete all rows of a game; return how many there were."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


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
    """The values of `COLUMNS` for a row: plain Python numbers, strings and bytes."""
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
    """A row from the values of `COLUMNS`. What has another type than it should becomes empty bytes, -1 or NaN."""
    action = values[5]
    policy, value, outcome = values[12], values[13], values[14]
    return Transition(
        str(values[0]),
        str(values[1]),
        str(values[2]),
        _whole(values[3]),
        _blob(values[4]),
        int.from_bytes(action, "little") if isinstance(action, bytes) and len(action) == 4 else UNREADABLE_ACTION,
        _blob(values[6]),
        _blob(values[7]),
        _blob(values[8]),
        _number(values[9]),
        bool(values[10]),
        _whole(values[11]),
        None if policy is None else _blob(policy),
        0.0 if value is None else _number(value),
        None if outcome is None else _number(outcome),
    )


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
    """Whether the stored rows, values of `COLUMNS` each, are those that were to be written, whatever their order."""

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


def find_info(replay: Replay, env_id: str) -> GameInfo:
    """What a trainer needs to know of a game, named or in a file: from the database, or else from the rules here.

    Raises `EvidenceError` where neither knows the game.
    """
    env_id = env_id_of(env_id)
    described = replay.metadata()
    if env_id in described:
        return described[env_id]
    game = known_game(env_id)
    if game is not None:
        return game
    held = list({*described, *replay.env_ids()})
    told = f" It holds: {', '.join(sorted(held))}." if held else " It holds no game yet."
    if env_id in held:
        told = " Let its actor write the game's row there when it starts, or add the row by hand."
    raise EvidenceError(
        f"{replay.name} does not describe the game '{env_id}' (no row of game_metadata), and its rules are not known "
        f"here.{nearest(env_id, [each for each in held if each != env_id])}{told}"
    )


def make_info(name: str, values: Sequence[Any]) -> GameInfo:
    """The game of a row of `METADATA`. Raises `EvidenceError` naming the column whose value cannot be."""
    row = dict(zip(METADATA, values, strict=True))
    for column in METADATA[2:]:
        if not isinstance(row[column], int) or row[column] < (0 if column == "legal_mask_offset" else 1):
            raise EvidenceError(
                f"{name}: game_metadata says {column} = {row[column]!r} for '{row['env_id']}', which cannot be. "
                "Correct the row."
            )
    if row["legal_mask_offset"] + row["num_actions"] > row["obs_size"]:
        raise EvidenceError(
            f"{name}: game_metadata of '{row['env_id']}' places {row['num_actions']} legal moves at "
            f"legal_mask_offset {row['legal_mask_offset']} of an observation of obs_size {row['obs_size']}: they do "
            "not fit. Correct the row."
        )
    return GameInfo(*(row[column] for column in METADATA))
