"""`clew play`: a scripted person against nets and search."""

from __future__ import annotations

import io
import re

import pytest

from clew.cli.main import main
from tiny_nets import write_preferring_net, write_random_net


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test meets a model of another."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def play(monkeypatch, capsys):
    """Plays with these lines typed; gives what was printed."""

    def played(typed: str | bytes, *arguments: object) -> str:
        raw = typed if isinstance(typed, bytes) else typed.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        assert main(["play", *map(str, arguments)]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return played


def test_a_person_wins_against_a_net_that_does_not_look(play, tmp_path):
    net = write_preferring_net(tmp_path / "net.onnx", "tictactoe", [8, 7, 5, 4, 2, 1, 0, 3, 6])
    said = play("0\n3\n6\n", "tictactoe", "--model", net, "--simulations", 0)
    assert f"You play against {net}, by its policy alone." in said
    assert "You are X." in said
    assert "Clew plays 8" in said
    assert " X | 1 | 2\n---+---+---\n X | 4 | 5\n---+---+---\n X | O | O\n" in said
    assert said.rstrip().endswith("You win!")


def test_the_search_wins_where_it_can_and_shows_what_it_thinks(play, tmp_path):
    net = write_preferring_net(tmp_path / "net.onnx", "connect4", [3, 2, 4, 1, 5, 0, 6])
    said = play("0\n6\n0\n", "connect4", "--second", "--model", net, "--simulations", 60)
    assert "You are O." in said
    assert said.rstrip().endswith("Clew wins.")
    last = said[said.rindex("Clew plays") :]
    assert "(value +1.00)" in last
    assert re.search(r"move +visits +value +prior\n +\d +\d+ +\+1\.00 +[\d.]+%", last)
    assert re.search(r"expected: \d", last)


def test_without_a_model_the_search_plays_by_random_playouts_and_says_so(play):
    said = play("quit\n", "connect4", "--second", "--simulations", 80)
    assert "There is no model data/models/latest.onnx. You play against a search without a model" in said
    visits = [int(found) for found in re.findall(r"^ +\d +(\d+) +[+-]", said, re.MULTILINE)]
    assert 40 < sum(visits) <= 80


def test_the_default_model_plays_when_it_is_there(play, tmp_path):
    write_random_net(tmp_path / "data" / "models" / "latest.onnx", "tictactoe")
    assert "You play against data/models/latest.onnx, with 20 simulations" in play(
        "q\n", "tictactoe", "--simulations", 20
    )
    assert "a search without a model" in play("q\n", "tictactoe", "--simulations", 20, "--without-model")


def test_wrong_input_gets_a_sentence_and_another_try(play):
    said = play("9\nx\n\n0,9\n4\n4\nquit\n", "tictactoe", "--second", "--simulations", 10)
    for sentence in ("There is no 9", "'x' is no move", "Write a move, or: undo", "There is no cell 0,9"):
        assert sentence in said
    assert said.count("Your move: ") == 7


def test_bytes_that_are_no_text_are_no_move(play):
    assert "is no move" in play(b"\xff\xfe\n\x00\n4\n", "tictactoe", "--simulations", 10)


def test_the_end_of_input_ends_the_game_politely(play):
    assert play("", "othello", "--simulations", 4).rstrip().endswith("The game is left as it stands. Until next time!")
    assert "Until next time!" in play("4", "tictactoe", "--simulations", 10)


def test_moves_are_taken_back_to_the_persons_last_turn(play, tmp_path):
    net = write_preferring_net(tmp_path / "net.onnx", "tictactoe", [8, 7, 5, 4, 2, 1, 0, 3, 6])
    said = play("undo\n0\n1\nundo\nboard\nundo\nboard\n3\n", "tictactoe", "--model", net, "--simulations", 0)
    assert said.count("There is no move of yours to take back.") == 1
    boards = re.findall(r"^ .+\n---.+\n .+\n---.+\n .+$", said, re.MULTILINE)
    empty = " 0 | 1 | 2\n---+---+---\n 3 | 4 | 5\n---+---+---\n 6 | 7 | 8"
    assert boards[0] == boards[-2] == boards[-3] == empty
    assert "X | 1 | 2" in boards[3]
    assert boards[3] == boards[4] == boards[1]
    assert boards[-1].startswith(" 0 | 1 | 2\n---+---+---\n X |")


def test_a_second_player_takes_back_to_after_the_models_first_move(play, tmp_path):
    net = write_preferring_net(tmp_path / "net.onnx", "tictactoe", [8, 7, 5, 4, 2, 1, 0, 3, 6])
    said = play("undo\n0\nundo\n", "tictactoe", "--second", "--model", net, "--simulations", 0)
    assert said.count("There is no move of yours to take back.") == 1
    boards = re.findall(r"^ .+\n---.+\n .+\n---.+\n .+$", said, re.MULTILINE)
    assert boards[0] == boards[-1] != boards[1]


def test_hints_say_what_wins(play):
    said = play("0\nhint\n", "tictactoe", "--simulations", 200)
    assert said.count("The search would play") == 1
    assert play("0\n", "tictactoe", "--simulations", 20, "--hints").count("The search would play") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chess"], "There is no game 'chess'"),
        (["tictactoe", "--first", "--second"], "You cannot have both seats"),
        (["tictactoe", "--model", "absent.onnx"], "There is no model absent.onnx"),
        (["tictactoe", "--simulations", "0"], "nothing to play by but a search"),
        (["tictactoe", "--model", "a.onnx", "--without-model"], "contradict each other"),
    ],
)
def test_what_cannot_be_played_gets_a_sentence(capsys, arguments, said):
    assert main(["play", *arguments]) in (1, 2)
    assert said in capsys.readouterr().err


def test_a_model_of_another_game_or_broken_is_told(capsys, tmp_path):
    net = write_random_net(tmp_path / "net.onnx", "tictactoe")
    assert main(["play", "connect4", "--model", str(net)]) == 1
    assert "is a model of another game" in capsys.readouterr().err
    net.write_bytes(net.read_bytes()[:200])
    assert main(["play", "tictactoe", "--model", str(net)]) == 1
    assert "cut short" in capsys.readouterr().err
