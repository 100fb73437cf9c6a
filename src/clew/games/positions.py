"""The positions that strength is measured on: what they are made of, and the exact score of every move in them.

tictactoe: every position that can be reached. connect4: positions of playouts made for this purpose, so that no
training game is among them, of `FIRST_PLY` stones and more: earlier ones are few, stand in any training data, and take
minutes to solve. They should look like what games contain, good ones and bad ones: each playout has its own rate of
random moves; its other moves are careful ones (win, or do not lose at once) and, from `EXACT_FROM` stones on, moves
that keep the value of the position. A playout gives one position, so that positions do not depend on each other.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from clew.core.errors import EvidenceError, UsageError
from clew.core.files import canonical_json, exists, sentences_for, sha256_of, write_bytes
from clew.core.randomness import generator
from clew.games.game import Game
from clew.games.perfect import Scores, Solver, decisive, optimal_moves, reachable_layers, values_of
from clew.games.perfect.scores import Careful
from clew.games.rules import find_game
from clew.games.states import ONGOING, States

PHASES = ("opening", "middle", "end")
FIRST_PLY = 7
"""Stones of the earliest positions of a connect4 set."""
FULL_FROM = 10
"""Stones from which each ply has its full share; of the earlier, which take longest to solve, a third."""
RANDOM_RATES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""The share of random moves of a playout; each rate is as frequent as the others."""
EXACT_FROM = 20
"""Stones from which playouts ask the solver: before, it takes longer than a playout is worth."""
DEFAULT_SIZE = 1000
_LEAST_PLAYOUTS_A_ROUND = 64
_FRUITLESS_ROUNDS = 3
_FORMAT = 1

Progress = Callable[[int, int], None]
"""Told how many positions are solved, and of how many."""


@dataclass(frozen=True, eq=False)
class PositionSet:
    """Ongoing positions of a game with the exact score of every move."""

    env_id: str
    seed: int
    states: States
    """uint64[count, 3]."""
    scores: Scores
    """int8[count, actions]: see `clew.games.perfect.scores`."""
    dropped: int = 0
    """How many were taken out because they stand in the training data."""

    def __len__(self) -> int:
        return len(self.states)

    @property
    def ply(self) -> NDArray[np.int64]:
        """Stones on the board, int64[count]."""
        return _stones(self.states)

    @property
    def value(self) -> NDArray[np.int8]:
        """1, 0 or -1: what the player to move can reach, int8[count]."""
        return values_of(self.scores)

    @property
    def decisive(self) -> NDArray[np.bool_]:
        """bool[count]: where some legal move gives away the value."""
        return decisive(self.scores)

    @property
    def seat(self) -> NDArray[np.int64]:
        """Who is to move, int64[count]: 0 the first player, 1 the second."""
        return find_game(self.env_id).mover(self.states)

    @property
    def phase(self) -> NDArray[np.int64]:
        """Index into `PHASES`, int64[count]."""
        last_of_phases = find_game(self.env_id).phases or (0, 0)
        return np.searchsorted(last_of_phases, self.ply).astype(np.int64)

    def exclude(self, seen: States) -> PositionSet:
        """Without the positions that are among `seen`, uint64[count, 3], as they are or in the mirror.

        Every one that stands in the training data goes, early ones too: those are in any data, and a net that knows
        them by heart has not shown that it understands them. How many went is in `dropped`.
        """
        keys = find_game(self.env_id).position_keys
        kept = ~np.isin(keys(self.states), keys(seen))
        return replace(
            self,
            states=self.states[kept],
            scores=self.scores[kept],
            dropped=self.dropped + int(np.count_nonzero(~kept)),
        )

    def digest(self) -> str:
        """SHA-256 of the game, the seed, the positions and their scores."""
        about = {"format": _FORMAT, "env_id": self.env_id, "seed": self.seed, "dropped": self.dropped}
        return sha256_of(
            canonical_json(about).encode()
            + self.states.astype("<u8").tobytes()
            + np.ascontiguousarray(self.scores).tobytes()
        )


def position_set(
    game: Game,
    *,
    seed: int = 0,
    size: int = DEFAULT_SIZE,
    solver: Solver | None = None,
    progress: Progress | None = None,
) -> PositionSet:
    """About `size` positions, as many of each ply but the first, no two alike or mirrored; in tictactoe all there are.

    The same seed and size give the same set. Raises `UsageError` for a game without a solver.
    """
    own = game.solver()
    solver = solver or own
    if game.lists_positions:
        states = np.concatenate(reachable_layers(game))
        states = states[game.winner(states) == ONGOING]
        return PositionSet(game.env_id, seed, states, solver.scores(states))
    if size < 1:
        raise UsageError(f"A set of {size} positions is none. Give a size of at least 1.")
    states = _played_out(game, seed, size, solver, cast(Careful, own))
    scores = np.empty((len(states), game.num_actions), np.int8)
    # From the end to the beginning: what the later positions left in the table shortens the earlier ones.
    order = np.argsort(-_stones(states), kind="stable")
    for done, index in enumerate(order, start=1):
        scores[index] = solver.scores(states[index : index + 1])[0]
        if progress is not None:
            progress(done, len(states))
    return PositionSet(game.env_id, seed, states, scores)


def _played_out(game: Game, seed: int, size: int, solver: Solver, careful: Careful) -> States:
    """Positions of playouts, sorted by ply, in each ply in the order they were found."""
    share = np.zeros(game.cells)
    share[FIRST_PLY:FULL_FROM], share[FULL_FROM:-1] = 1 / 3, 1
    quota = np.ceil(share * size / share.sum()).astype(np.int64)
    found: list[list[NDArray[np.uint64]]] = [[] for _ in quota]
    seen: set[int] = set()
    fruitless = np.zeros(len(quota), np.int64)
    for attempt in range(1000):
        before = np.array([len(each) for each in found])
        wanted = np.flatnonzero((before < quota) & (fruitless < _FRUITLESS_ROUNDS))
        if len(wanted) == 0:
            break
        # About half of the playouts get to where they should.
        playouts = 2 * int((quota - before)[wanted].sum())
        targets = np.resize(wanted, max(_LEAST_PLAYOUTS_A_ROUND, playouts))
        reached = _playouts(game, targets, generator(seed, "positions", game.env_id, attempt), solver, careful)
        for state, key, ply in zip(reached, game.position_keys(reached), _stones(reached), strict=True):
            if len(found[ply]) < quota[ply] and int(key) not in seen:
                seen.add(int(key))
                found[ply].append(state)
        fruitless += np.array([len(each) for each in found]) == before
    every = [state for each in found for state in each]
    # The rounding up of the quotas is taken back evenly.
    keep = np.unique(np.linspace(0, len(every) - 1, min(size, len(every))).round().astype(np.int64))
    return np.asarray(np.stack(every)[keep], np.uint64)


def _playouts(
    game: Game, targets: NDArray[np.int64], random: np.random.Generator, solver: Solver, careful: Careful
) -> States:
    """The position of each playout when it has `targets` stones, of those that get so far and go on."""
    states = game.initial(len(targets))
    rates = np.resize(RANDOM_RATES, len(targets))[random.permutation(len(targets))]
    centred = 1.0 + np.minimum(np.arange(game.num_actions), np.arange(game.num_actions)[::-1])
    for ply in range(int(targets.max(initial=0))):
        drawn = random.random((len(targets), game.num_actions))
        at_random = random.random(len(targets)) < rates
        going = np.flatnonzero((game.winner(states) == ONGOING) & (ply < targets))
        board = states[going]
        legal = game.legal_mask(board)
        sound = careful.careful_moves(board)
        if ply >= EXACT_FROM:
            asked = np.flatnonzero(~at_random[going])
            sound[asked] &= optimal_moves(solver.outcomes(board[asked]))
        sound = np.where(sound.any(axis=1, keepdims=True), sound, legal)
        chosen = np.where(at_random[going, None], legal, sound)
        # The largest of u ** (1 / weight) falls on each choice in proportion to its weight.
        weighted = np.where(chosen, drawn[going] ** np.where(at_random[going, None], 1.0, 1.0 / centred), -1.0)
        states[going] = game.play(board, weighted.argmax(axis=1))
    arrived = (game.winner(states) == ONGOING) & (_stones(states) == targets)
    return np.asarray(states[arrived], np.uint64)


def save_positions(path: Path, positions: PositionSet) -> None:
    """Write a solved set as an .npz, whole or not at all. Raises `ClewError`."""
    about = {
        "format": _FORMAT,
        "env_id": positions.env_id,
        "seed": positions.seed,
        "dropped": positions.dropped,
        "sha256": positions.digest(),
    }
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        "about": np.frombuffer(canonical_json(about).encode(), np.uint8),
        "states": positions.states,
        "scores": positions.scores,
    }
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())


def load_positions(path: Path, game: Game) -> PositionSet:
    """Read a set that `save_positions` wrote for `game`.

    Raises `EvidenceError` for a file that is cut short, altered, of another kind or of another game.
    """
    with sentences_for(path, "read the position set"):
        content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            positions = PositionSet(
                about["env_id"], about["seed"], file["states"], file["scores"], dropped=about["dropped"]
            )
            intact = about["format"] == _FORMAT and positions.digest() == about["sha256"]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise EvidenceError(
            f"{path} is not a set of solved positions, or is cut short. Remove it to have it made anew."
        ) from error
    if not intact:
        raise EvidenceError(f"{path} is altered: its hash does not fit its content. Remove it to have it made anew.")
    if positions.env_id != game.env_id:
        raise EvidenceError(f"{path} holds positions of {positions.env_id}, not of {game.env_id}.")
    return positions


def open_positions(
    path: Path | None,
    game: Game,
    *,
    seed: int = 0,
    size: int = DEFAULT_SIZE,
    progress: Progress | None = None,
) -> PositionSet:
    """The set in the file `path` where there is one, whatever its seed and size; otherwise a new one, saved there.

    Without a path it is made and not saved. Raises what `load_positions` and `position_set` raise.
    """
    if path is not None and exists(path):
        return load_positions(path, game)
    positions = position_set(game, seed=seed, size=size, progress=progress)
    if path is not None:
        save_positions(path, positions)
    return positions


def _stones(states: States) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_count(states[:, 0] | states[:, 1]), np.int64)
