"""Games as users write them, out of a few parts that tests replace: tictactoe once more, plain and compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

from clew.games import Game

EVERY_CELL = 0b111_111_111
LINES = (0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124)


def legal(first, second, player):
    """Empty cells."""
    return EVERY_CELL & ~(first | second)


def play(first, second, player, action):
    """A stone on an empty cell; three in a line win."""
    if not legal_here(first, second, player) >> action & 1:
        raise ValueError("taken")
    if player == 0:
        first |= 1 << action
    else:
        second |= 1 << action
    own = first if player == 0 else second
    for line in LINES:
        if own & line == line:
            return first, second, player + 1
    return first, second, 3 if first | second == EVERY_CELL else 0


legal_here = njit(legal)


def xo(**changes: Any) -> Game:
    """Tictactoe of one's own; `changes` replace what `Game` is given."""
    given = {"name": "xo", "width": 3, "height": 3, "legal": legal, "play": play, "symmetry": "all", "max_plies": 9}
    return Game(**(given | changes))


def compiled_xo(**changes: Any) -> Game:
    """The same, compiled."""
    return xo(legal=njit(legal), play=njit(play), **changes)


FILE = '''
"""Two stones side by side win, on a row of five."""

from clew.games import Game

ALL = 0b11111


def legal(first, second, player):
    return ALL & ~(first | second)


def play(first, second, player, action):
    if not legal(first, second, player) >> action & 1:
        raise ValueError("taken")
    if player == 0:
        first |= 1 << action
    else:
        second |= 1 << action
    own = first if player == 0 else second
    if own & own >> 1:
        return first, second, player + 1
    return first, second, 3 if first | second == ALL else 0


GAME = Game("pairs", 5, 1, legal, play, title="Pairs", symmetry="mirror", max_plies=5)
'''
"""A file of a user's."""
