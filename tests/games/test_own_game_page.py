"""The game of docs/own-game.md is Hex: open_spiel's, move by move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyspiel
import pytest

from clew.core.randomness import generator
from clew.games import Game, check
from clew.games.rules import find_game
from pages import files_of

PAGE = Path(__file__).parents[2] / "docs/own-game.md"


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Game:
    """The game in the file of the page."""
    ((name, text),) = files_of(PAGE).items()
    path = tmp_path_factory.mktemp("page") / name
    path.write_text(text, encoding="utf-8")
    return find_game(str(path))


def test_the_file_is_about_as_long_as_the_page_says(game: Game) -> None:
    (text,) = files_of(PAGE).values()
    assert len([line for line in text.splitlines() if line.strip()]) <= 45


def test_check_finds_nothing_wrong_with_it(game: Game) -> None:
    assert check(game, games=10) == []


def test_its_games_are_those_of_open_spiel(game: Game) -> None:
    """Legal moves and the winner of random games; open_spiel's first player too joins the top to the bottom."""
    spiel = pyspiel.load_game("hex", {"num_cols": 5, "num_rows": 5})
    winners = set()
    for number in range(200):
        random, theirs, ours = generator(number, "hex"), spiel.new_initial_state(), game.initial()
        while not theirs.is_terminal():
            legal = theirs.legal_actions()
            assert np.flatnonzero(game.legal_mask(ours)[0]).tolist() == legal
            action = int(random.choice(legal))
            theirs.apply_action(action)
            ours = game.play(ours, [action])
        won_by = int(game.winner(ours)[0])
        assert theirs.returns() == ([1.0, -1.0] if won_by == 1 else [-1.0, 1.0])
        winners.add(won_by)
    assert winners == {1, 2}
