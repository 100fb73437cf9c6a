"""Reflections: a position and its image have the same rules, image by image."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.games.rules import GameInfo, find_game
from clew.games.symmetry import symmetries


@pytest.mark.parametrize(("env_id", "count"), [("tictactoe", 8), ("connect4", 2), ("othello", 8)])
def test_playing_the_image_of_a_move_gives_the_image_of_the_position(env_id, count):
    """From equal images on, game and image game are played side by side by the rules; every observation agrees."""
    game = find_game(env_id)
    found = symmetries(game, "auto")
    assert len(found) == count
    random = generator(0, "symmetry", env_id)
    compared = 0
    for number in range(count):
        if not np.array_equal(
            game.observe(game.initial())[0][found.observations[number]], game.observe(game.initial())[0]
        ):
            continue  # othello's first position is not its own image in four of the eight
        states, images = game.initial(), game.initial()
        while not game.winner(states)[0]:
            image_action = int(random.choice(np.flatnonzero(game.legal_mask(images)[0])))
            images = game.play(images, [image_action])
            states = game.play(states, [found.actions[number][image_action]])
            np.testing.assert_array_equal(game.observe(states)[0][found.observations[number]], game.observe(images)[0])
            compared += 1
    assert compared > 5 * count / 2


def test_connect4_mirrors_its_columns():
    found = symmetries(find_game("connect4"), "mirror")
    assert found.actions[1].tolist() == [6, 5, 4, 3, 2, 1, 0]
    # The leftmost cell of the bottom row is seen where the rightmost was; the player to move stays.
    assert found.observations[1][:7].tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert found.observations[1][91:].tolist() == [91, 92]


def test_a_game_of_unknown_rules_is_not_turned_unless_it_is_asked_for():
    info = GameInfo("hex", "Hex", 5, 5, 25, 77, 50)
    assert len(symmetries(info, "auto")) == 1
    assert len(symmetries(info, "all")) == 8


def test_what_a_board_does_not_allow_is_told():
    with pytest.raises(UsageError, match="7 x 6: it has not the symmetries of a square"):
        symmetries(find_game("connect4"), "all")
    with pytest.raises(UsageError, match="--symmetry none"):
        symmetries(GameInfo("odd", "Odd", 5, 5, 11, 63, 50), "mirror")
