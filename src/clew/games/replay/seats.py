"""Who moves in a row, and how many moves were made before it: from what the row holds, since a game may have begun
with moves that its episode leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clew.games.replay.transitions import Floats, Transition, as_bytes
from clew.games.rules import Game, GameInfo, known_game

UNKNOWN = -1


def rules_of(info: GameInfo) -> Game | None:
    """The rules here of the game that a database describes; None for a game that has only the name of one."""
    game = known_game(info.env_id)
    sizes = (info.obs_size, info.num_actions, info.legal_mask_offset)
    return game if game and sizes == (game.obs_size, game.num_actions, game.legal_mask_offset) else None


def seats(rows: Sequence[Transition], info: GameInfo) -> npt.NDArray[np.int64]:
    """int64[rows]: the player to move in each row, 0 the first; `UNKNOWN` where the row does not tell.

    An observation tells it that ends, behind the legal moves, with a one-hot of the players. So do those of all games
    with rules here, and where such a row has a broken one, its state does.
    """
    found = np.full(len(rows), UNKNOWN, np.int64)
    begin, players = info.legal_mask_offset + info.num_actions, info.player_count
    if info.obs_size - begin == players:
        blobs = [as_bytes(row.observation) for row in rows]
        fits = np.array([len(blob) == 4 * info.obs_size for blob in blobs], np.bool_)
        ends = b"".join(blob[4 * begin :] for blob, whole in zip(blobs, fits, strict=True) if whole)
        tails = np.frombuffer(ends, "<f4").reshape(-1, players)
        hot = ((tails == 0) | (tails == 1)).all(axis=1) & (tails.sum(axis=1) == 1)
        found[np.flatnonzero(fits)[hot]] = tails[hot].argmax(axis=1)
    game = rules_of(info)
    if game is not None:
        for index, row in enumerate(rows):
            state = row.state
            if found[index] == UNKNOWN and len(state) == game.state_bytes and state[game.cells] in (1, 2):
                found[index] = state[game.cells] - 1
    return found


def plies(rows: Sequence[Transition], observation: Floats, info: GameInfo) -> npt.NDArray[np.int32]:
    """int32[rows]: moves made before each row; `observation`, float32[rows, obs_size], is theirs.

    In the games with rules here each move but a pass adds a stone, and the players take turns. So the board tells the
    moves of an opening, up to pairs of passes after one. Of other games nothing but the step is known.
    """
    steps = np.fromiter((row.step_number for row in rows), np.int32, len(rows))
    game = rules_of(info)
    if game is None or not len(rows):
        return steps
    stones = (observation[:, : 2 * game.cells] == 1).sum(axis=1)
    made = stones - int(game.observe(game.initial())[0, : 2 * game.cells].sum())
    made = np.maximum(steps, made)
    taking_turns: npt.NDArray[np.int32] = (made + (made + (observation[:, -1] == 1)) % 2).astype(np.int32)
    return taking_turns
