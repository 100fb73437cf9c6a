"""Games of one's own: the compiled search, self-play and players know them as they know those that ship."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from own_games import FILE, compiled_xo, legal, play, xo

from clew.core.errors import ClewError, UsageError
from clew.core.randomness import generator
from clew.games import Game
from clew.games.arena import play_match
from clew.games.own import GameError
from clew.games.players import mcts_player, random_player
from clew.games.rollouts import rollouts
from clew.games.rules import env_id_of, find_game, known_game
from clew.games.search import Search, SearchSettings, uniform
from clew.games.self_play import SelfPlay
from clew.games.symmetry import symmetries
from clew.recipes.alphazero import Actor
from small_runs import environment

OURS = find_game("tictactoe")


@pytest.fixture(scope="module", params=["plain", "compiled"])
def game(request: pytest.FixtureRequest) -> Game:
    """Tictactoe as a user writes it."""
    return compiled_xo() if request.param == "compiled" else xo()


def leaning(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An evaluator to which positions differ."""
    weights = np.random.default_rng(1).normal(size=(29, 9)).astype(np.float32)
    return seen @ weights, np.tanh(seen @ weights[:, 0] / 3)


def positions(count: int) -> np.ndarray:
    """Random positions of tictactoe, some of them terminal."""
    states = OURS.initial(count)
    for ply in range(9):
        going = np.flatnonzero((OURS.winner(states) == 0) & (np.arange(count) % 9 > ply))
        mask, draws = OURS.legal_mask(states[going]), generator(0, "own", ply).random((len(going), 9))
        states[going] = OURS.play(states[going], np.where(mask, draws, -1).argmax(axis=1))
    return states


def test_the_same_rules_give_the_same_positions_observations_and_blobs(game: Game) -> None:
    states = positions(500)
    assert set(np.unique(OURS.winner(states))) == {0, 1, 2, 3} - ({3} - set(np.unique(OURS.winner(states))))
    np.testing.assert_array_equal(game.initial(2), OURS.initial(2))
    np.testing.assert_array_equal(game.legal_mask(states), OURS.legal_mask(states))
    np.testing.assert_array_equal(game.observe(states), OURS.observe(states))
    np.testing.assert_array_equal(game.codec.to_blobs(states), OURS.codec.to_blobs(states))
    for state in states[:40]:
        np.testing.assert_array_equal(game.from_blob(game.to_blob(state)), state)
    going = states[OURS.winner(states) == 0]
    moves = OURS.legal_mask(going).argmax(axis=1)
    np.testing.assert_array_equal(game.play(going, moves), OURS.play(going, moves))
    assert vars(game)["num_actions"] == OURS.num_actions
    assert (game.obs_size, game.legal_mask_offset, game.state_bytes) == (29, 18, 11)


@pytest.mark.parametrize("method", ["gumbel", "puct"])
@pytest.mark.parametrize("evaluator", ["uniform", "net", "playouts"])
def test_the_same_rules_give_the_same_search_bit_for_bit(game: Game, method: str, evaluator: str) -> None:
    states = positions(24)
    seeds = np.arange(24, dtype=np.uint64)

    def searched(which: Game) -> list[np.ndarray]:
        evaluate = {"uniform": uniform(which), "net": leaning, "playouts": rollouts(which, 3)}[evaluator]
        search = Search(which, 24, SearchSettings(simulations=40, method=method, foresight=evaluator == "net"))
        found = search.run(states, evaluate, seeds=seeds, noise=True)
        return [found.visits, found.policy, found.value, found.action_values, found.action]

    for mine, theirs in zip(searched(game), searched(OURS), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_same_rules_give_the_same_episodes(game: Game) -> None:
    def episodes(which: Game) -> list[list[tuple[object, ...]]]:
        player = SelfPlay(which, Actor(lanes=6, simulations=8), actor="a", began=1, seed=5)
        ended = [rows for _ in range(14) for rows in player.step(leaning, timestamp=2)]
        return [
            [(row.id, row.state, row.next_state, row.action, row.reward, row.game_outcome) for row in rows]
            for rows in ended
        ]

    mine = episodes(game)
    assert mine == episodes(OURS)
    assert len(mine) > 4


def test_a_search_without_a_net_beats_random_play_in_a_game_of_one_s_own(game: Game) -> None:
    result = play_match(game, mcts_player(game, 30), random_player(game), 40, seed=1)
    assert result.score > 0.85


def passing_legal(first, second, player, extra):
    """A stone on one of three cells, or a pass."""
    return (0b111 & ~(first | second)) | 0b1000


def passing_play(first, second, player, action, extra):
    """Two passes in a row, or a full board, end it; how many passed in a row is remembered, far apart in two bytes."""
    if not passing_legal(first, second, player, extra) >> action & 1:
        raise ValueError("taken")
    if action == 3:
        return first, second, 3 if extra else 0, 1000
    if player == 0:
        first |= 1 << action
    else:
        second |= 1 << action
    return first, second, 3 if first | second == 0b111 else 0, 0


def test_what_the_rules_remember_beside_the_board_is_stored_and_asked_for() -> None:
    made = Game("passing", 3, 1, passing_legal, passing_play, actions=4, extra_bytes=2)
    once = made.play(made.initial(), [3])
    assert made.to_blob(once[0]) == bytes([0, 0, 0, 2, 0]) + (1000).to_bytes(2, "little")
    np.testing.assert_array_equal(made.from_blob(made.to_blob(once[0])), once[0])
    assert made.winner(made.play(once, [3]))[0] == 3
    assert made.winner(made.play(made.play(once, [0]), [3]))[0] == 0
    found = Search(made, 1, SearchSettings(simulations=20)).run(once, uniform(made), seeds=np.zeros(1, np.uint64))
    assert found.visits[0].sum() > 0


def fails_late(first, second, player, action):
    """An error of the user's own, once five stones are there."""
    if (first | second) & 0b111110000 == 0b111110000:
        raise IndexError("no such line")
    return play(first, second, player, action)


def lies_late(first, second, player):
    """Nothing is offered once five of the cells are taken."""
    free = legal(first, second, player)
    return 0 if free & 0b111110000 == 0 else free


play_too, legal_too = njit(play), njit(legal)


@njit
def fails_late_too(first, second, player, action):
    if (first | second) & 0b111110000 == 0b111110000:
        raise IndexError("no such line")
    return play_too(first, second, player, action)


@njit
def lies_late_too(first, second, player):
    free = legal_too(first, second, player)
    return 0 if free & 0b111110000 == 0 else free


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (xo(play=fails_late), r"test_own_games\.py:\d+: xo: fails_late\(\) raised IndexError: no such line for action"),
        (xo(legal=lies_late), r"test_own_games\.py:\d+: xo: lies_late\(\) offers no move, though the game goes on"),
        (
            xo(play=fails_late_too, legal=legal_too),
            r"test_own_games\.py:\d+: xo: fails_late_too\(\) raised IndexError: no such line for action",
        ),
        (xo(legal=lies_late_too, play=play_too), r"test_own_games\.py:\d+: xo: lies_late_too\(\) offers no move"),
    ],
    ids=["plain play", "plain legal", "compiled play", "compiled legal"],
)
@pytest.mark.parametrize("evaluator", ["uniform", "net", "playouts"])
def test_an_error_inside_a_search_is_a_sentence_with_file_line_and_position(made, said, evaluator) -> None:
    evaluate = {"uniform": uniform(made), "net": leaning, "playouts": rollouts(made, 3)}[evaluator]
    search = Search(made, 4, SearchSettings(simulations=4000, proofs=False))
    with pytest.raises(GameError, match=said) as caught:
        search.run(made.initial(4), evaluate, seeds=np.arange(4, dtype=np.uint64))
    assert "to move" in str(caught.value)
    assert (made.legal_mask(made.initial()) == 1).all(), "and it is forgotten once it is told"


def test_the_line_of_an_error_is_where_it_was_raised() -> None:
    made = xo(play=fails_late)
    full = made.from_blob(bytes([0, 0, 0, 0, 1, 2, 1, 2, 1, 1, 0]))
    line = fails_late.__code__.co_firstlineno + 3
    with pytest.raises(GameError, match=rf"\.py:{line}: .*in the position \.\.\./\.XO/XOX with X to move"):
        made.play(full[None], [0])


def test_ctrl_c_in_rules_of_plain_python_ends_the_search() -> None:
    def interrupted(first, second, player, action):
        if first:
            raise KeyboardInterrupt
        return play(first, second, player, action)

    made = xo(play=interrupted)
    with pytest.raises(KeyboardInterrupt):
        Search(made, 2, SearchSettings(simulations=300)).run(
            made.initial(2), uniform(made), seeds=np.zeros(2, np.uint64)
        )


def back_and_forth_legal(first, second, player):
    return 0b11


def back_and_forth(first, second, player, action):
    return (first ^ 1, second, 0) if player == 0 else (first, second ^ 2, 0)


def test_a_game_that_never_ends_is_told_and_not_waited_for() -> None:
    made = Game("endless", 2, 1, back_and_forth_legal, back_and_forth, max_plies=30)
    assert rollouts(made, 1)(made.observe(made.initial(3)))[1].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(GameError, match="goes on after 30 moves"):
        play_match(made, random_player(made), random_player(made), 4, seed=0)
    player = SelfPlay(made, Actor(lanes=2, simulations=4), actor="a", began=1, seed=5)
    for _ in range(29):
        assert player.step(None, timestamp=1) == []
    with pytest.raises(GameError, match="goes on after 30 moves"):
        player.step(None, timestamp=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 9, "height": 8}, "it has 9 x 8 cells, where 1 to 64 fit"),
        ({"width": 0}, "it has 0 x 3 cells"),
        ({"actions": 80}, "it has 80 actions, where 1 to 64 fit"),
        ({"actions": 65}, "it has 65 actions, where 1 to 64 fit"),
        ({"start": (1, 1)}, "two on one cell"),
        ({"start": (0, 1 << 9)}, "stones beside the board"),
        ({"extra_bytes": 5}, "it remembers 5 bytes, where 0 to 4 fit"),
        ({"symmetry": "diagonal"}, "where none, mirror, turn and all are known"),
        ({"width": 1, "height": 9}, "has not the symmetries of a square"),
        ({"move_names": ["a", "b"]}, "its move_names are not 9 different ones"),
        ({"name": "my game"}, "'my game' is none"),
        ({"play": lambda first, second: 0}, r"is called with 4 arguments: first, second, player, action"),
        ({"extra_bytes": 1}, r"is called with 4 arguments: first, second, player, extra"),
        ({"legal": 3}, "the rules are functions, and 3 is none"),
    ],
)
def test_what_does_not_fit_is_told_with_a_sentence(changes, said) -> None:
    with pytest.raises(UsageError, match=said):
        xo(**changes)


@njit
def adds_a_list(first, second, player):
    return {"a": first}["b"] + [player]


@njit
def returns_a_list(first, second, player):
    return [first, second]


@njit
def returns_two(first, second, player, action):
    return first, second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"legal": adds_a_list}, r"numba cannot compile adds_a_list\(\): No implementation of function .*add"),
        ({"legal": returns_a_list}, "it returns .*list.* where one whole number, the bits of the actions, is due"),
        ({"play": returns_two}, "it returns .* where 3 whole numbers are due"),
    ],
)
def test_rules_that_numba_cannot_compile_are_told_with_their_line(changes, said) -> None:
    made = xo(**({"legal": legal_too, "play": play_too} | changes))
    (function,) = changes.values()
    line = function.py_func.__code__.co_firstlineno
    with pytest.raises(UsageError, match=rf"test_own_games\.py:({line}|{line + 2}): xo: .*{said}") as caught:
        made.legal_mask(made.initial())
    assert len(str(caught.value)) < 600


def test_move_names_are_written_and_read() -> None:
    names = [f"{letter}{digit}" for digit in "123" for letter in "abc"]
    made = xo(move_names=names)
    assert made.move_name(4) == "b2"
    assert made.parse_move(made.initial()[0], " B2 ") == 4
    with pytest.raises(UsageError, match="'d4' is no move: write the name of a move, such as a1"):
        made.parse_move(made.initial()[0], "d4")
    with pytest.raises(UsageError, match="b2 is not allowed in this position"):
        made.parse_move(made.play(made.initial(), [4])[0], "b2")


def test_half_a_turn_is_a_symmetry() -> None:
    found = symmetries(xo(symmetry="turn"), "auto")
    assert found.actions[1].tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert found.observations[1][:9].tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert len(symmetries(xo(), "auto")) == 8


def write(path: Path, text: str = FILE) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_is_a_game_by_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs_game.py")
    game = find_game(path)
    assert (game.env_id, game.display_name) == ("pairs", "Pairs")
    assert find_game(path) is game
    assert known_game("pairs") is game, "rows and models name it so"
    assert (env_id_of(path), env_id_of("tictactoe"), env_id_of("who knows")) == ("pairs", "tictactoe", "who knows")
    assert known_game("who knows") is None
    write(tmp_path / "pairs_game.py", FILE.replace('"Pairs"', '"Other pairs"') + "\n# changed\n")
    assert find_game(path).display_name == "Other pairs"


def test_what_lies_beside_a_file_can_be_imported_by_it(tmp_path: Path) -> None:
    write(tmp_path / "rules_of_pairs.py", FILE.replace("GAME = Game", "def nothing():\n    pass\n\n\nGAME = Game"))
    path = write(tmp_path / "beside.py", "from rules_of_pairs import GAME\n")
    before = list(sys.path)
    assert find_game(path).env_id == "pairs"
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no file .*game.py with a game"),
        ("x = 1\n", "holds no game: write GAME = Game"),
        ("x = 1\ny = (\n", r"game\.py:2: SyntaxError: "),
        ("x = 1\n\nx.nothing\n", r"game\.py:3: AttributeError: "),
        ("import sys\nsys.exit(3)\n", r"game\.py:2: SystemExit: 3"),
        (FILE + "OTHER = Game('other', 5, 1, legal, play)\nGAME, MINE = 1, GAME\n", "holds 2 games"),
        (FILE.replace('"pairs"', '"othello"'), "The game 'othello' ships with Clew: give yours another name"),
        (FILE.replace("5, 1,", "50, 10,"), "it has 50 x 10 cells"),
    ],
)
def test_a_file_that_is_no_game_is_told_with_its_line(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "game.py"
    if text is not None:
        write(path, text)
    with pytest.raises(UsageError, match=said):
        find_game(str(path))


def test_a_file_that_is_named_without_its_ending_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pairs_here.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"Its file is named with its ending: pairs_here\.py"):
        find_game("pairs_here")
    assert find_game("pairs_here.py").env_id == "pairs"


def test_an_installed_package_names_its_games_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pairs_package.py", FILE.replace('"pairs"', '"installed_pairs"'))
    about = tmp_path / "pairs_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pairs-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[clew.games]\ninstalled_pairs = pairs_package:GAME\nby_module = pairs_package\nbroken = pairs_package:NONE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert find_game("installed_pairs").env_id == "installed_pairs"
    assert find_game("by_module") is find_game("installed_pairs")
    with pytest.raises(UsageError, match=r"'broken' of an installed package \(pairs_package:NONE\) cannot be loaded"):
        find_game("broken")
    with pytest.raises(UsageError, match="Games with rules here: tictactoe, connect4, othello, installed_pairs"):
        find_game("installed_pair")


def test_a_game_without_rules_says_so() -> None:
    with pytest.raises(ClewError, match="'bare' has no rules: give it the functions legal and play"):
        Game("bare", 3, 3).legal_mask(np.zeros((1, 3), np.uint64))


SEARCHES = """
import sys
import numpy as np
from clew.games.rules import find_game
from clew.games.search import Search, SearchSettings, kernels, uniform

game = find_game(sys.argv[1])
Search(game, 1, SearchSettings()).run(game.initial(), uniform(game), seeds=np.zeros(1, np.uint64))
stats = kernels.search_uniform.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_the_search_is_not_compiled_anew_for_a_game_of_one_s_own(tmp_path: Path) -> None:
    """What numba keeps on disk serves every game: the first process may have compiled, the next one does not."""
    path = write(tmp_path / "pairs_game.py")
    said = ""
    for name in ("tictactoe", path):
        command = [sys.executable, "-c", SEARCHES, name]
        said = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stdout
    assert said.split() == ["1", "0"]
