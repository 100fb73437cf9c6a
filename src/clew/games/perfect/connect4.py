"""An exact Connect Four solver: null-window alpha-beta over bitboards, with a table of bounds.

A position is two words, the stones of the player to move (`own`) and all stones (`occupied`), in the layout of
`clew.games.bitboards.connect4`. The search asks "does the player to move score more than alpha?" and gives a bound that
answers it; the exact score is found by halving the range of scores. A board has one table entry, wherever it was
reached, and scores do not depend on what was solved before, so the table stays warm from one position to the next.

Ideas: bitboards and the empty row (J. Tromp); null windows, ordering by threats and moves that do not lose at once as
in P. Pons' public lectures on solving Connect Four; following up, or "claimeven" (V. Allis, 1988).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from clew.games.bitboards.connect4 import ALL_CELLS, BOTTOM, COLUMNS, has_four, mirrored
from clew.games.perfect.hardware import count_bits, prefetch
from clew.games.perfect.scores import ILLEGAL, Scores
from clew.games.states import States, mover, winner

CELLS = 42
_ONE = np.uint64(1)
_NONE = np.uint64(0)
_COLUMN = np.uint64(0x3F)
_ODD_ROWS = np.uint64(sum(0b010101 << (7 * column) for column in range(COLUMNS)))
"""Rows 1, 3 and 5 as players count them: those that the first player gets where the second follows up."""
_EVEN_ROWS = np.uint64(sum(0b101010 << (7 * column) for column in range(COLUMNS)))

_MIRRORED_BEFORE = 14
"""Boards of fewer stones share an entry with their mirror image; later few are met twice."""
_STORED_BEFORE = 36
"""Boards of more stones are searched again sooner than looked up."""
_LOOKED_AHEAD_BEFORE = 26
"""Boards of fewer stones look whether a reply that is known settles them, before any is searched."""
_LARGEST = 21
"""Scores lie within plus and minus this."""


@njit(cache=True, inline="always")
def _completing(stones: np.uint64, occupied: np.uint64) -> np.uint64:
    """Empty cells that would complete four in a line for `stones`, whether they can be reached now or not."""
    found = (stones << np.uint64(1)) & (stones << np.uint64(2)) & (stones << np.uint64(3))
    for step in (np.uint64(6), np.uint64(7), np.uint64(8)):
        two, three = np.uint64(2) * step, np.uint64(3) * step
        pair = (stones << step) & (stones << two)
        found |= pair & ((stones << three) | (stones >> step))
        pair = (stones >> step) & (stones >> two)
        found |= pair & ((stones >> three) | (stones << step))
    return found & (ALL_CELLS ^ occupied)


@njit(cache=True, inline="always")
def _safe_moves(threats: np.uint64, occupied: np.uint64) -> np.uint64:
    """Cells that may be played without losing to the opponent's next move; `threats` complete a line of his."""
    playable = (occupied + BOTTOM) & ALL_CELLS
    forced = playable & threats
    if forced != _NONE:
        if forced & (forced - _ONE) != _NONE:
            return _NONE
        playable = forced
    return playable & ~(threats >> _ONE)


@njit(cache=True, inline="always")
def _key(own: np.uint64, occupied: np.uint64, stones: int) -> np.uint64:
    """49 bits that name the board, and its mirror image where it has few stones; never zero."""
    key = own + occupied + BOTTOM
    if stones < _MIRRORED_BEFORE:
        key = min(key, mirrored(key))
    return key


@njit(cache=True, inline="always")
def _slot(key: np.uint64, shift: np.uint64) -> int:
    """Where the two entries of `key` begin."""
    return int(np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> shift)) << 1


@njit(cache=True)
def _search(
    table: npt.NDArray[np.uint64],
    replies: npt.NDArray[np.uint64],
    counter: npt.NDArray[np.int64],
    shift: np.uint64,
    own: np.uint64,
    occupied: np.uint64,
    stones: int,
    moves: np.uint64,
    alpha: int,
) -> int:
    """A bound of the score: above `alpha` the score is at least this, otherwise at most.

    `moves` are the safe moves, at least one; fewer than 40 stones; the player to move has no win at once.
    `replies`, uint64[42, 7], holds the safe moves of the positions one move on, from here to the leaf.
    """
    counter[0] += 1
    least = -((40 - stones) // 2)
    if least > alpha:
        return least
    most = (41 - stones) // 2
    if most <= alpha:
        return most
    other = own ^ occupied
    empty = ALL_CELLS ^ occupied
    if not has_four((own if alpha >= 0 else other) | empty):
        return 0
    # Where all columns are even the first player moves. The second, following up in every column, keeps all even rows
    # for himself: the first gets odd ones only.
    evenly = (occupied + BOTTOM) & _EVEN_ROWS == _NONE
    if evenly and alpha >= -1 and not has_four(own | (empty & _ODD_ROWS)):
        if alpha >= 0:
            return 0
        if has_four(other | (empty & _EVEN_ROWS)):
            return -1

    low, high = -_LARGEST, _LARGEST
    key, slot = _NONE, 0
    if stones < _STORED_BEFORE:
        key = _key(own, occupied, stones)
        slot = _slot(key, shift)
        for entry in (table[slot], table[slot + 1]):
            if entry >> np.uint64(12) == key:
                low = int(np.int64((entry >> np.uint64(6)) & np.uint64(63))) - _LARGEST
                high = int(np.int64(entry & np.uint64(63))) - _LARGEST
                if low > alpha:
                    return low
                if high <= alpha:
                    return high
                break

    # Sorted by threats made, from the centre where equal: a byte a move, threats above the column.
    order, count, best = _NONE, 0, -_LARGEST
    for index in range(COLUMNS):
        column = 3 + ((index + 1) // 2 if index % 2 == 0 else -((index + 1) // 2))
        move = moves & (_COLUMN << np.uint64(7 * column))
        if move == _NONE:
            continue
        threats = _completing(own | move, occupied | move)
        safe = _safe_moves(threats, occupied | move)
        if safe == _NONE:
            return most
        if stones == CELLS - 3:
            # Nobody can win with the last two stones, but another move here may still win.
            best = 0
            continue
        replies[stones, column] = safe
        if stones + 1 < _STORED_BEFORE:
            prefetch(table, _slot(_key(other, occupied | move, stones + 1), shift))
        made = np.uint64(count_bits(threats))
        place = 0
        while place < count and ((order >> np.uint64(8 * place)) & np.uint64(0xFF)) >> np.uint64(3) >= made:
            place += 1
        before = (_ONE << np.uint64(8 * place)) - _ONE
        order = (
            (order & before)
            | (((made << np.uint64(3)) | np.uint64(column)) << np.uint64(8 * place))
            | ((order & ~before) << np.uint64(8))
        )
        count += 1

    if stones < _LOOKED_AHEAD_BEFORE:
        for place in range(count):
            column = int(np.int64((order >> np.uint64(8 * place)) & np.uint64(7)))
            move = moves & (_COLUMN << np.uint64(7 * column))
            after = _key(other, occupied | move, stones + 1)
            slot_after = _slot(after, shift)
            for entry in (table[slot_after], table[slot_after + 1]):
                if entry >> np.uint64(12) == after:
                    score = _LARGEST - int(np.int64(entry & np.uint64(63)))
                    if score > alpha:
                        return score

    for place in range(count):
        column = int(np.int64((order >> np.uint64(8 * place)) & np.uint64(7)))
        move = moves & (_COLUMN << np.uint64(7 * column))
        score = -_search(
            table, replies, counter, shift, other, occupied | move, stones + 1, replies[stones, column], -alpha - 1
        )
        best = max(best, score)
        if best > alpha:
            break

    if stones < _STORED_BEFORE:
        if best > alpha:
            low = max(low, best)
        else:
            high = min(high, best)
        # The newest entry stands first; it pushes out the one that has not been written for longer.
        if table[slot] >> np.uint64(12) != key:
            table[slot + 1] = table[slot]
        table[slot] = (key << np.uint64(12)) | (np.uint64(low + _LARGEST) << np.uint64(6)) | np.uint64(high + _LARGEST)
    return best


@njit(cache=True)
def _score(
    table: npt.NDArray[np.uint64],
    replies: npt.NDArray[np.uint64],
    counter: npt.NDArray[np.int64],
    shift: np.uint64,
    own: np.uint64,
    occupied: np.uint64,
    stones: int,
    least: int,
    most: int,
) -> int:
    """The score of an ongoing position, or the nearer end of [least, most] where it lies outside."""
    if _completing(own, occupied) & (occupied + BOTTOM) != _NONE:
        return (CELLS + 1 - stones) // 2
    moves = _safe_moves(_completing(own ^ occupied, occupied), occupied)
    if moves == _NONE:
        return -((CELLS - stones) // 2)
    if stones >= CELLS - 2:
        return 0
    low, high = max(least, -((CELLS - 2 - stones) // 2)), min(most, (CELLS - 1 - stones) // 2)
    while low < high:
        # Near zero first: whether there is a win at all decides most, and a bound there cuts soonest.
        middle = low + (high - low) // 2
        if middle <= 0 and -(-low // 2) < middle:
            middle = -(-low // 2)
        elif middle >= 0 and high // 2 > middle:
            middle = high // 2
        middle = min(middle, high - 1)
        bound = _search(table, replies, counter, shift, own, occupied, stones, moves, middle)
        if bound <= middle:
            high = max(bound, low)
        else:
            low = min(bound, high)
    return low


@njit(cache=True)
def _score_moves(
    table: npt.NDArray[np.uint64],
    replies: npt.NDArray[np.uint64],
    counter: npt.NDArray[np.int64],
    shift: np.uint64,
    state: npt.NDArray[np.uint64],
    largest: int,
    out: npt.NDArray[np.int8],
) -> None:
    out[:] = ILLEGAL
    if winner(state[2]) != 0:
        return
    occupied = state[0] | state[1]
    own = state[mover(state[2])]
    stones = count_bits(occupied)
    for column in range(COLUMNS):
        move = (occupied + BOTTOM) & (_COLUMN << np.uint64(7 * column))
        if move == _NONE:
            continue
        if has_four(own | move):
            score = (CELLS + 1 - stones) // 2
        elif stones == CELLS - 1:
            score = 0
        else:
            score = -_score(
                table, replies, counter, shift, own ^ occupied, occupied | move, stones + 1, -largest, largest
            )
        out[column] = min(max(score, -largest), largest)


class ConnectFourSolver:
    """Exact scores of Connect Four moves.

    Positions of eight stones and more take seconds at the most, of fourteen and more milliseconds; the first few
    moves of a game take minutes. One solver serves one thread.
    """

    def __init__(self, *, table_bits: int = 23) -> None:
        """A table of 2**table_bits places of two entries, 16 bytes a place (23: 128 MiB, taken as it fills)."""
        self._table = np.zeros(2 << table_bits, np.uint64)
        self._shift = np.uint64(64 - table_bits)
        self._replies = np.zeros((CELLS, COLUMNS), np.uint64)
        self._counter = np.zeros(1, np.int64)

    @property
    def nodes(self) -> int:
        """Positions searched so far."""
        return int(self._counter[0])

    def clear(self) -> None:
        """Forget every position and the count of nodes."""
        self._table[:] = 0
        self._counter[0] = 0

    def scores(self, states: States) -> Scores:
        """The exact score of every move (see `clew.games.perfect.scores`), int8[count, 7]."""
        return self._solve(states, _LARGEST)

    def outcomes(self, states: States) -> Scores:
        """Win, draw or loss of every move, int8[count, 7] of 1, 0, -1 and `ILLEGAL`. Much quicker than the scores."""
        return self._solve(states, 1)

    def careful_moves(self, states: States) -> npt.NDArray[np.bool_]:
        """See the function `careful_moves`."""
        return careful_moves(states)

    def _solve(self, states: States, largest: int) -> Scores:
        out = np.empty((len(states), COLUMNS), np.int8)
        for state, row in zip(states, out, strict=True):
            _score_moves(self._table, self._replies, self._counter, self._shift, state, largest, row)
        return out


@njit(cache=True)
def _fill_careful(states: States, out: npt.NDArray[np.bool_]) -> None:
    for index in range(len(states)):
        occupied = states[index, 0] | states[index, 1]
        own = states[index, mover(states[index, 2])]
        playable = (occupied + BOTTOM) & ALL_CELLS
        careful = playable & _completing(own, occupied)
        if careful == _NONE:
            careful = _safe_moves(_completing(own ^ occupied, occupied), occupied)
        if careful == _NONE:
            careful = playable
        for column in range(COLUMNS):
            out[index, column] = careful & (_COLUMN << np.uint64(7 * column)) != _NONE


def careful_moves(states: States) -> npt.NDArray[np.bool_]:
    """bool[count, 7]: moves that win at once; without one, those that do not lose to the next; else every move."""
    careful = np.empty((len(states), COLUMNS), np.bool_)
    _fill_careful(states, careful)
    return careful
