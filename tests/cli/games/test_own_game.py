"""A user's file in place of a game's name: every command of games takes it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clew.cli.games import check as check_command
from clew.cli.main import main
from clew.games.replay import Replay
from clew.games.rules import known_game
from clew.recipes.alphazero import AlphaZeroRecipe
from clew.recipes.base import to_yaml, validate
from small_runs import environment
from tiny_nets import write_random_net

PAIRS = """
from clew.games import Game

ALL = 0b11111


def legal(first, second, player):
    return [cell for cell in range(5) if not (first | second) >> cell & 1]


def play(first, second, player, action):
    if (first | second) >> action & 1:
        raise ValueError("taken")
    first, second = (first | 1 << action, second) if player == 0 else (first, second | 1 << action)
    own = first if player == 0 else second
    if own & own >> 1:
        return first, second, player + 1
    return first, second, 3 if first | second == ALL else 0


GAME = Game("pairs", 5, 1, legal, play, title="Pairs", symmetry="mirror", max_plies=5)
"""


@pytest.fixture
def game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where a user works, with his game in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.py").write_text(PAIRS, encoding="utf-8")
    return Path("pairs.py")


def test_check_says_that_nothing_is_wrong(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_command.main(["check", str(game), "--games", "20", "--json"]) == 0
    *page, last = capsys.readouterr().out.splitlines()
    told = json.loads(last)
    assert page == [f"Pairs: nothing wrong in {told['positions']} positions of 20 random games."]
    assert (told["env_id"], told["games"], told["findings"]) == ("pairs", 20, [])


def test_check_prints_each_finding_and_fails(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    game.write_text(PAIRS.replace("return first, second, player + 1", "return first, second, 1"), encoding="utf-8")
    assert check_command.main(["check", str(game), "--json"]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    (found,) = json.loads(last)["findings"]
    assert first == f"winner: {found['sentence']}"
    assert "the second player moves" in found["sentence"]
    assert len(found["moves"]) >= 3


def test_an_actor_plays_the_file_and_the_database_knows_its_name(game: Path) -> None:
    assert main(["actor", "--env-id", str(game), "--db", "r.db", "--episodes", "12", "--lanes", "4"]) == 0
    with Replay.open("r.db") as replay:
        assert replay.metadata()["pairs"].board_width == 5
        rows, _ = replay.tail("pairs", None, 1000)
    assert len({row.episode_id for row in rows}) == 12
    made = known_game("pairs")
    assert made is not None
    for row in rows:
        after = made.play(made.from_blob(row.state)[None], [row.action])
        assert made.to_blob(after[0]) == row.next_state


def test_rows_of_the_file_s_game_are_checked_by_its_rules(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["actor", "--env-id", str(game), "--db", "r.db", "--episodes", "5", "--lanes", "4"]) == 0
    assert main(["replay", "check", "r.db"]) == 0
    assert main(["replay", "show", "r.db"]) == 0
    assert "0 | " in capsys.readouterr().out, "its boards are drawn"


def test_models_of_the_file_s_game_are_evaluated_and_rated(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_net(Path("net.onnx"), str(game))
    where = ["--env-id", str(game), "--games", "4"]
    assert main(["evaluate", "games", "--model", "net.onnx", "--db", "none.db", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["env_id"] == "pairs"
    against = ["--opponent", "mcts:20", "--simulations", "4"]
    assert main(["evaluate", "games", "--model", "net.onnx", "--db", "none.db", *where, *against]) == 0
    assert main(["tournament", "net.onnx", "--include-random", *where, "--opening-plies", "1"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "games", "--model", "net.onnx", "--db", "none.db", *where, "--opponent", "perfect"]) == 2
    assert "There is no solver for pairs. Games with one: tictactoe, connect4." in capsys.readouterr().err


def test_a_person_plays_the_file_s_game(
    game: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("9\n0,2\nquit\n"))
    assert main(["play", str(game), "--simulations", "30"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Pairs. ")
    assert "There is no 9: moves are numbered 0 to 4." in said
    assert "0 | . . X . ." in said or "X" in said


def test_a_database_that_knows_a_game_without_its_rules_says_to_name_the_file(
    game: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another process, which has not met the file."""
    assert main(["actor", "--env-id", str(game), "--db", "r.db", "--episodes", "2", "--lanes", "2"]) == 0
    write_random_net(Path("net.onnx"), str(game))
    command = [sys.executable, "-m", "clew.cli.main", "evaluate", "games", "--model", "net.onnx"]
    ended = subprocess.run(
        [*command, "--db", "r.db", "--env-id", "pairs"], capture_output=True, text=True, env=environment()
    )
    assert ended.returncode == 2
    assert "Where they are in a file, name that: --env-id my_game.py." in ended.stderr


def test_an_actor_takes_all_that_its_recipe_says(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = validate(
        AlphaZeroRecipe,
        {
            "objective": "alphazero",
            "name": "pairs",
            "seed": 7,
            "data": {"db": "from_recipe.db", "env_id": str(game)},
            "outputs": {"model_dir": "from_recipe"},
            "actor": {"lanes": 3, "opening_share": 1.0, "opening_plies": 1, "simulations": 5},
        },
        "here",
    )
    Path("recipe.yaml").write_text(to_yaml(recipe), encoding="utf-8")
    Path("from_recipe").mkdir()
    Path("from_recipe/latest.onnx").write_text("no model")
    assert main(["actor", "--recipe", "recipe.yaml", "--name", "a", "--episodes", "6", "--log-every", "60"]) == 0
    assert "from_recipe/latest.onnx" in capsys.readouterr().err
    with Replay.open("from_recipe.db") as replay:
        rows, _ = replay.tail("pairs", None, 1000)
    firsts = [row for row in rows if row.step_number == 0]
    assert len(firsts) == 6
    assert all(sum(map(bool, row.state[:5])) == 1 for row in firsts), "each begins after one random move"
    # A flag beside it goes before it.
    flags = ["--recipe", "recipe.yaml", "--db", "flag.db", "--opening-share", "0", "--episodes", "2"]
    assert main(["actor", *flags]) == 0
    with Replay.open("flag.db") as replay:
        rows, _ = replay.tail("pairs", None, 1000)
    assert not any(any(row.state[:5]) for row in rows if row.step_number == 0)


def test_an_actor_refuses_a_recipe_of_another_objective(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["actor", "--recipe", "tactics"]) == 2
    assert (
        "tactics is a recipe of the objective next_token: an actor takes one of alphazero." in capsys.readouterr().err
    )
    assert main(["actor", "--recipe", "nowhere.yaml"]) != 0


LOADED = """
import sys
from clew.cli.main import main

code = main(["actor", "--recipe", "tictactoe", "--db", sys.argv[1], "--episodes", "2", "--lanes", "2"])
print(code, *sorted({name for name in sys.modules if name in ("torch", "sqlalchemy.orm", "transformers")}))
"""


def test_an_actor_loads_no_torch_and_no_orm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED, str(tmp_path / "r.db")]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert ended.stdout.split() == ["0"], ended.stdout + ended.stderr
