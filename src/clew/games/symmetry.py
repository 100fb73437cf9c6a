"""Reflections and rotations of a board: how an observation and a policy look in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clew.core.errors import UsageError
from clew.games.rules import Game, known_game
from clew.games.states import GameInfo

Which = Literal["auto", "none", "mirror", "turn", "all"]


@dataclass(frozen=True)
class Symmetries:
    """`observation[:, observations[k]]` and `policy[:, actions[k]]` are a row in symmetry k; 0 is none."""

    observations: npt.NDArray[np.int64]
    """int64[count, obs_size]."""
    actions: npt.NDArray[np.int64]
    """int64[count, num_actions]."""

    def __len__(self) -> int:
        return len(self.actions)


def symmetries(info: GameInfo, which: Which) -> Symmetries:
    """The symmetries `which` of a game: mirror (left and right), turn (half a turn), all (eight), auto, none.

    Auto: those of the games known here, none for any other. Raises `UsageError` where the board or the actions of
    the game do not allow them.
    """
    if which == "auto":
        game = info if isinstance(info, Game) else known_game(info.env_id)
        which = "none" if game is None else game.symmetry
    height, width, cells = info.board_height, info.board_width, info.board_height * info.board_width
    board = np.arange(cells).reshape(height, width)
    boards = [board]
    if which == "turn":
        boards.append(board[::-1, ::-1])
    elif which != "none":
        boards.append(board[:, ::-1])
    if which == "all":
        if height != width:
            raise UsageError(
                f"The board of {info.env_id} is {width} x {height}: it has not the symmetries of a square."
            )
        boards = [np.rot90(face, turns) for face in (board, board[:, ::-1]) for turns in range(4)]
    observations, actions = [], []
    for face in boards:
        action = _actions(info, face, which)
        observation = np.arange(info.obs_size)
        for start in range(0, info.legal_mask_offset - cells + 1, cells):
            observation[start : start + cells] = start + face.reshape(-1)
        observation[info.legal_mask_offset : info.legal_mask_offset + info.num_actions] = (
            info.legal_mask_offset + action
        )
        observations.append(observation)
        actions.append(action)
    return Symmetries(np.stack(observations), np.stack(actions))


def _actions(info: GameInfo, face: npt.NDArray[np.int64], which: Which) -> npt.NDArray[np.int64]:
    """Where each action comes from: actions are cells (what is beyond them, a pass, stays), or columns."""
    cells = face.size
    actions = np.arange(info.num_actions)
    if info.num_actions >= cells:
        actions[:cells] = face.reshape(-1)
    elif info.num_actions == info.board_width and which == "mirror":
        actions = face[0] - face[0].min()
    elif which != "none":
        raise UsageError(
            f"The {info.num_actions} actions of {info.env_id} are neither its cells nor its columns, so how they look "
            "in a mirror is not known. Use --symmetry none."
        )
    return actions
