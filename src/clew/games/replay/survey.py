"""One reading of all rows of a game: what is wrong with them, and the figures of its episodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.games.replay import targets
from clew.games.replay.seats import rules_of, seats
from clew.games.replay.transitions import ROWS_AT_ONCE, Floats, Source, Transition, as_bytes
from clew.games.rules import Game, GameInfo, known_game

EXAMPLES = 3

STATE_LENGTH = "its state or next_state has another length than the game's {state_bytes} bytes"
STATE_VALUES = "its state or next_state holds a cell, player or winner that is none"
STATE_OBSERVATION = "its observation is not what its state looks like"
NEXT_OBSERVATION_LENGTH = "its next_observation is not {obs_size} float32 long"
NEXT_STATE = "its next_state is not what its action leads to"
POLICY_LENGTH = "its policy has the wrong length (its action is trained on in its place)"
TWICE = "its step is in its episode twice"
GAP = "steps of its episode are missing before it"
DONE_EARLY = "its episode goes on after it said done"
NOT_DONE = "its episode ends without done"
REWARD_EARLY = "it has a reward before the end of its episode"
REWARD_RANGE = "its reward is no number from -1 to 1"
SIGN = "its game_outcome is not final reward * (-1)^(last step - step)"
DESCRIPTION = "game_metadata says {column} = {says} of their game, whose rules here have {due}"
BOARD = "game_metadata gives their game a board of {width} x {height} cells, and an observation of {obs_size} numbers"

OTHER_GAME = "rows are described in other sizes than the game known here by that name: no rules were compared"
NO_POLICY = "rows have no policy: their action is trained on in its place"
NO_OUTCOME = "rows have no game_outcome: their mcts_value is trained on in its place"
CLOCK = "rows are older than their actor's rows before them: its clock was set back (order does not depend on it)"
COPIES = "episodes have the very moves, policies and values of an earlier one under another name"


@dataclass
class Finding:
    """How many rows something is true of, and the ids of the first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Survey:
    """What a reading of all rows found. Arrays have an entry a row, by episode and step."""

    info: GameInfo
    rows: int = 0
    faults: dict[str, Finding] = field(default_factory=dict)
    """What makes rows broken."""
    notices: dict[str, Finding] = field(default_factory=dict)
    """What is worth knowing and breaks nothing."""
    episodes: list[str] = field(default_factory=list)
    """Their ids, in the order of their first commits."""
    episode: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64[rows]: number of the row's episode."""
    step: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64[rows]."""
    seat: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64[rows]: the player to move, 0 the first; -1 where the row does not tell."""
    done: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """bool[rows]."""
    reward: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64[rows]."""
    outcome: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64[rows]: NaN where there is none."""
    timestamp: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64[rows], unix seconds."""
    entropy: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64[rows], of the stored policy, in nats; NaN where there is none that is sound."""

    def is_last(self) -> npt.NDArray[np.bool_]:
        """bool[rows]: whether the row is the last of its episode."""
        return np.append(self.episode[1:] != self.episode[:-1], True)[: self.rows]

    def add(self, what: str, identifiers: Sequence[str], *, notice: bool = False) -> None:
        """Count rows that `what` is true of."""
        if identifiers:
            finding = (self.notices if notice else self.faults).setdefault(what, Finding())
            finding.count += len(identifiers)
            finding.examples += identifiers[: EXAMPLES - len(finding.examples)]


def survey(replay: Source, info: GameInfo) -> Survey:
    """Read all rows of the game `info`, look at each row and then at each episode."""
    found = Survey(info)
    numbers: dict[str, int] = {}
    columns: list[list[npt.NDArray[Any]]] = []
    prints: dict[int, bytes] = {}
    clocks: dict[str, int] = {}
    for rows in _pieces(replay, info.env_id):
        found.rows += len(rows)
        entropy = _look_at_rows(found, rows)
        for row in rows:
            number = numbers.setdefault(row.episode_id, len(numbers))
            policy = b"" if row.policy_probs is None else as_bytes(row.policy_probs)
            value = repr((row.step_number, row.action, row.mcts_value)).encode()
            prints[number] = hashlib.blake2b(prints.get(number, b"") + value + policy, digest_size=16).digest()
        back = []
        for row in rows:
            actor = row.episode_id.rpartition("-ep-")[0]
            if row.timestamp < clocks.get(actor, row.timestamp):
                back.append(row.id)
            clocks[actor] = row.timestamp
        found.add(CLOCK, back, notice=True)
        columns.append(
            [
                np.array([numbers[row.episode_id] for row in rows], np.int64),
                np.array([row.step_number for row in rows], np.int64),
                np.array([row.done for row in rows], np.bool_),
                np.array([row.reward for row in rows], np.float64),
                np.array([np.nan if row.game_outcome is None else row.game_outcome for row in rows], np.float64),
                np.array([row.timestamp for row in rows], np.int64),
                entropy,
                seats(rows, info),
            ]
        )
    found.episodes = list(numbers)
    if columns:
        together = [np.concatenate(column) for column in zip(*columns, strict=True)]
        order = np.lexsort((together[1], together[0]))
        together = [column[order] for column in together]
        found.episode, found.step, found.done, found.reward = together[:4]
        found.outcome, found.timestamp, found.entropy, found.seat = together[4:]
        _look_at_episodes(found)
    seen: set[bytes] = set()
    copies = []
    for number, each in sorted(prints.items()):
        if each in seen:
            copies.append(found.episodes[number])
        seen.add(each)
    found.add(COPIES, copies, notice=True)
    _look_at_description(found)
    return found


def _pieces(replay: Source, env_id: str) -> Iterator[list[Transition]]:
    position = None
    while True:
        rows, position = replay.tail(env_id, position, ROWS_AT_ONCE)
        if rows:
            yield rows
        if len(rows) < ROWS_AT_ONCE:
            return


def _look_at_rows(found: Survey, rows: list[Transition]) -> npt.NDArray[np.float64]:
    """Find what is wrong with single rows; return the entropy of each row's policy."""
    info = found.info
    seen = targets.examine(rows, info)
    for what in dict.fromkeys(seen.unreadable.values()):
        found.add(targets.told(what, info), [rows[index].id for index, why in seen.unreadable.items() if why == what])
    sound = np.ones(len(seen.readable), np.bool_)
    for what, where in seen.faults:
        found.add(what, [rows[index].id for index in seen.readable[where]])
        sound &= ~where
    missing = np.array([row.policy_probs is None for row in rows], np.bool_)
    wrong = np.array([targets.policy_bytes(row, info) is None for row in rows], np.bool_) & ~missing
    found.add(POLICY_LENGTH, [rows[index].id for index in np.flatnonzero(wrong)])
    found.add(NO_POLICY, [rows[index].id for index in np.flatnonzero(missing)], notice=True)
    found.add(NO_OUTCOME, [row.id for row in rows if row.game_outcome is None], notice=True)
    found.add(
        NEXT_OBSERVATION_LENGTH.format(obs_size=info.obs_size),
        [row.id for row in rows if len(as_bytes(row.next_observation)) != 4 * info.obs_size],
    )
    found.add(REWARD_RANGE, [row.id for row in rows if not abs(row.reward) <= 1 + targets.TOLERANCE])
    game = rules_of(info)
    if game is not None:
        readable = seen.readable[sound]
        _look_at_rules(found, game, [rows[index] for index in readable], seen.observation[sound])
    entropy = np.full(len(rows), np.nan)
    policy = seen.policy[sound]
    logs = np.log(policy, where=policy > 0, out=np.zeros_like(policy))
    entropy[seen.readable[sound]] = 0.0 - (policy * logs).sum(axis=1)
    entropy[missing | wrong] = np.nan
    return entropy


def _look_at_rules(found: Survey, game: Game, rows: list[Transition], observation: Floats) -> None:
    """Compare states, observations and moves with the rules."""
    whole = [len(row.state) == len(row.next_state) == game.state_bytes for row in rows]
    found.add(
        STATE_LENGTH.format(state_bytes=game.state_bytes),
        [row.id for row, fits in zip(rows, whole, strict=True) if not fits],
    )
    rows = [row for row, fits in zip(rows, whole, strict=True) if fits]
    observation = observation[np.array(whole, np.bool_)]
    before = np.frombuffer(b"".join(row.state for row in rows), np.uint8).reshape(len(rows), game.state_bytes)
    after = np.frombuffer(b"".join(row.next_state for row in rows), np.uint8).reshape(len(rows), game.state_bytes)
    sound = game.codec.are_states(before) & game.codec.are_states(after)
    found.add(STATE_VALUES, [rows[index].id for index in np.flatnonzero(~sound)])
    places = np.flatnonzero(sound)
    states = game.codec.to_states(before[sound])
    looks = (game.observe(states) == observation[sound]).all(axis=1)
    found.add(STATE_OBSERVATION, [rows[index].id for index in places[~looks]])
    places, states = places[looks], states[looks]
    led = game.codec.to_blobs(game.play(states, [rows[index].action for index in places])) == after[places]
    found.add(NEXT_STATE, [rows[index].id for index in places[~led.all(axis=1)]])


def _look_at_description(found: Survey) -> None:
    """Compare what the database says of the game with itself, and with the rules that have its name here."""
    info, known = found.info, known_game(found.info.env_id)
    names = [f"{each}-step-{found.step[index]}" for index, each in enumerate(found.episodes[:1])]
    if known is not None and rules_of(info) is None:
        found.notices[OTHER_GAME] = Finding(found.rows, names)
    elif known is not None:
        for column in ("board_width", "board_height", "player_count"):
            says, due = getattr(info, column), getattr(known, column)
            if says != due:
                found.faults[DESCRIPTION.format(column=column, says=says, due=due)] = Finding(found.rows, names)
    elif info.board_width * info.board_height > info.obs_size:
        what = BOARD.format(width=info.board_width, height=info.board_height, obs_size=info.obs_size)
        found.faults[what] = Finding(found.rows, names)


def _look_at_episodes(found: Survey) -> None:
    """Compare the rows of each episode, which are in order, with one another."""
    last = found.is_last()
    begins = np.append(True, last[:-1])
    step, done, reward = found.step, found.done, found.reward

    def names(where: npt.NDArray[np.bool_]) -> list[str]:
        return [f"{found.episodes[found.episode[index]]}-step-{step[index]}" for index in np.flatnonzero(where)]

    before = np.append(-1, step[:-1])
    before[begins] = -1
    found.add(TWICE, names((step == before) & ~begins))
    found.add(GAP, names(step > before + 1))
    found.add(DONE_EARLY, names(done & ~last))
    found.add(NOT_DONE, names(last & ~done))
    found.add(REWARD_EARLY, names(~done & ~last & (np.abs(reward) > 0)))
    if found.info.player_count == 2:
        ends = np.flatnonzero(last)
        end = ends[np.searchsorted(ends, np.arange(found.rows))]
        sign = np.where((step[end] - step) % 2 == 0, 1.0, -1.0)
        due = reward[end] * sign
        with np.errstate(invalid="ignore"):
            off = np.abs(found.outcome - due) > targets.TOLERANCE
        found.add(SIGN, names(off & done[end] & (np.abs(due) <= 1 + targets.TOLERANCE)))
