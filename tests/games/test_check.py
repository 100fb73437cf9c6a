"""`check` finds what breaks the protocol: a game for each kind of fault, and none in the games that ship."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from numba import njit
from own_games import EVERY_CELL, LINES, compiled_xo, legal, play, xo

from clew.core.errors import UsageError
from clew.games import Game, check
from clew.games.board import signs
from clew.games.checking import check as of_its_room
from clew.games.rules import GAMES


def place(first, second, player, action):
    """A stone, wherever it goes."""
    return (first | 1 << action, second) if player == 0 else (first, second | 1 << action)


@pytest.mark.parametrize("name", list(GAMES))
def test_the_games_that_ship_keep_to_the_protocol(name: str) -> None:
    assert check(name, games=20) == []


def test_a_game_of_one_s_own_that_keeps_to_it_has_no_findings() -> None:
    assert check(xo()) == []
    assert check(compiled_xo()) == []
    assert of_its_room is check


def takes_anything(first, second, player, action):
    first, second = place(first, second, player, action)
    own = first if player == 0 else second
    won = any(own & line == line for line in LINES)
    return first & ~second, second, player + 1 if won else 3 if first | second == EVERY_CELL else 0


def always_offers_everything(first, second, player):
    return EVERY_CELL


def hides_the_last_moves(first, second, player):
    return legal(first, second, player) if (first | second).bit_count() < 6 else 0


def offers_more_than_there_is(first, second, player):
    return legal(first, second, player) | 1 << 9


def says_one_for_whoever_moved(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    return first, second, 1 if winner in (1, 2) else winner


def says_one_for_whoever_won_and_may_lose(first, second, player, action):
    return says_one_for_whoever_moved(first, second, player, action)


def gives_away(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    free = EVERY_CELL & ~(first | second)
    return (first, second | (free & -free), winner) if player == 0 else (first, second, winner)


def leaves_the_board(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    return first | 1 << 20, second, winner


def puts_two_on_one(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    return first, second | 1 << action, winner


def returns_two(first, second, player, action):
    return play(first, second, player, action)[:2]


def fails_on_the_corner(first, second, player, action):
    if action == 8:
        return [][action]
    return play(first, second, player, action)


def draws_lots(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    return first, second, winner or random.choice((0, 0, 0, 3))


def remembers_too_much(first, second, player, action, extra):
    return *play(first, second, player, action), extra + 100


def with_extra(first, second, player, extra):
    return legal(first, second, player)


def only_rows_win(first, second, player, action):
    first, second, winner = play(first, second, player, action)
    own = first if player == 0 else second
    rows = any(own & line == line for line in LINES[:3])
    full = first | second == EVERY_CELL
    return first, second, (player + 1 if rows else 3 if full else 0) if winner else 0


def endless_legal(first, second, player):
    return EVERY_CELL if player else EVERY_CELL & ~first


def endless(first, second, player, action):
    """The second player takes a stone of the first's away, or does nothing."""
    if not endless_legal(first, second, player) >> action & 1:
        raise ValueError("taken")
    return (first | 1 << action, 0, 0) if player == 0 else (first & ~(1 << action), 0, 0)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"play": takes_anything}, "illegal move", "is not offered, and play takes it"),
        ({"legal": always_offers_everything}, "mask", "is offered, and play refuses it: "),
        ({"legal": hides_the_last_moves}, "mask", "offers no move, though the game goes on"),
        ({"legal": offers_more_than_there_is}, "fails", "offers an action beyond 0 to 8"),
        ({"play": says_one_for_whoever_moved}, "winner", "the first is said to have won"),
        (
            {"play": says_one_for_whoever_won_and_may_lose, "mover_may_lose": True},
            "winner",
            "the second player has won none of",
        ),
        ({"play": gives_away}, "cells", "puts a stone of the other on row"),
        ({"play": leaves_the_board}, "fails", "puts a stone beside the board of 9 cells"),
        ({"play": puts_two_on_one}, "fails", "puts stones of both players on cell"),
        ({"play": returns_two}, "fails", r"where \(first, second, winner\) are due"),
        ({"play": fails_on_the_corner}, "mask", r"test_check\.py:\d+: xo: fails_on_the_corner\(\) raised IndexError"),
        ({"play": draws_lots}, "not a function", "answers otherwise when it is asked again|one answer to Python"),
        (
            {"play": remembers_too_much, "legal": with_extra, "extra_bytes": 1},
            "round trip",
            "which 1 bytes do not hold",
        ),
        ({"play": only_rows_win}, "symmetry", "are not images of one another"),
        ({"legal": endless_legal, "play": endless, "symmetry": "none"}, "endless", "goes on after 9 moves"),
    ],
)
def test_each_fault_is_found_with_the_moves_that_lead_there(changes, kind, said) -> None:
    findings = {finding.kind: finding for finding in check(xo(**changes))}
    assert kind in findings, findings
    assert findings[kind].sentence.startswith(("After ", "In the first position: ", "In all games together: "))
    import re

    assert re.search(said, findings[kind].sentence), findings[kind].sentence


def test_the_moves_of_a_finding_lead_to_where_it_is() -> None:
    game = xo(legal=hides_the_last_moves)
    (finding,) = check(game)
    sound, state = xo(), xo().initial()
    for move in finding.moves:
        state = sound.play(state, [move])
    assert int(np.bitwise_count(state[0, 0] | state[0, 1])) == 6
    assert finding.sentence.startswith(f"After {' '.join(game.move_name(move) for move in finding.moves)}: ")


def test_what_is_kept_outside_of_the_position_shows() -> None:
    counted = itertools.count()

    def every_other(first, second, player):
        free = legal(first, second, player)
        return free if next(counted) % 1000 < 500 or free & (free - 1) == 0 else free & (free - 1)

    assert {finding.kind for finding in check(xo(legal=every_other, symmetry="none"))} & {"not a function", "mask"}


def test_a_drawing_that_hides_stones_and_a_move_that_is_read_as_another_are_found() -> None:
    class Hides(Game):
        def draw(self, state):
            return "".join(signs(self, state)[:3])

    class Misreads(Game):
        def move_name(self, action):
            return str(action)

        def parse_move(self, state, text):
            return (int(text) + 1) % 9

    for kind, said in ((Hides, "drawn as another one"), (Misreads, "is written '")):
        (finding,) = check(kind("xo", 3, 3, legal, play, max_plies=9))
        assert finding.kind == "board"
        assert said in finding.sentence


def signed_legal(first, second, player):
    return ~(first | second) & -1


def signed_play(first, second, player, action):
    """Wins where the stone beside it, of whoever, is there: by a shift that brings the sign in."""
    if (first | second) >> action & 1:
        raise ValueError("taken")
    if player == 0:
        first |= 1 << action
    else:
        second |= 1 << action
    if (first | second) >> 63 > 0:
        return first, second, player + 1
    return first, second, 3 if first | second == -1 or first | second == 2**64 - 1 else 0


def test_compiled_rules_that_are_caught_by_the_sign_of_cell_63_are_found() -> None:
    """`word >> 63` is 1 in plain Python and -1 in compiled code: what both say is compared."""
    game = Game("wide", 8, 8, njit(signed_legal), njit(signed_play), max_plies=64)
    state = game.initial()
    for move in (0, 63):
        state = game.play(state, [move])
    assert game.to_blob(state[0])[:64] == bytes([1] + 62 * [0] + [2])
    assert game.winner(state)[0] == 0, "a compiled shift brings the sign in"


def test_a_name_without_a_game_is_an_error_and_no_finding() -> None:
    with pytest.raises(UsageError, match="There is no game 'hexx'"):
        check("hexx")
