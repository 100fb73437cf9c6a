"""`clew evaluate games`: what it prints and writes, and what it says when it cannot play."""

from __future__ import annotations

import json
import re
import sqlite3

import numpy as np
import pytest

from clew.cli.main import main
from clew.games.arena import play_games, play_match, verdict
from clew.games.players import net_player, random_player
from clew.games.replay import Replay, Transition
from clew.games.rules import GameInfo, find_game
from clew.games.strength import PositionSet, save_positions
from tiny_nets import write_linear_net, write_preferring_net, write_random_net


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test meets a database or model of another."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def net(tmp_path):
    """A net of tictactoe: centre, corners, edges."""
    return write_preferring_net(tmp_path / "model_step_000300.onnx", "tictactoe", [4, 0, 2, 6, 8, 1, 3, 5, 7])


def evaluate(*arguments) -> int:
    return main(["evaluate", "games", *map(str, arguments)])


def refused(capsys, *arguments) -> str:
    """The sentence that `arguments` get."""
    code = evaluate(*arguments)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert "Clew itself failed" not in said
    return said


def test_the_report_is_printed_and_written_with_the_contracts_figures(net, tmp_path, capsys):
    assert evaluate("--model", net, "--games", 40, "--output", tmp_path / "report", "--json") == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out.splitlines()[-1])
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report
    page = (tmp_path / "report" / "report.md").read_text()
    assert page in captured.err

    game = find_game("tictactoe")
    weights = np.array([9 - [4, 0, 2, 6, 8, 1, 3, 5, 7].index(action) for action in range(9)], np.float32)
    one = net_player(game, lambda seen: (np.tile(weights, (len(seen), 1)), np.zeros(len(seen), np.float32)))
    expected = play_match(game, one, random_player(game), 40, seed=42)
    assert report["games"] == 40
    assert report["wins"] == {
        "all": expected.wins,
        "as_first": expected.as_first.wins,
        "as_second": expected.as_second.wins,
    }
    assert report["losses"]["all"] == expected.losses
    assert report["draws"]["all"] == expected.draws
    assert report["record"] | {"timestamp": 0} == expected.record(step=300, timestamp=0)
    assert f"| wins | {expected.wins} | {expected.as_first.wins} | {expected.as_second.wins} |" in page
    assert f"Average length: {expected.average_length:.1f} plies." in page
    assert f"Verdict: **{verdict(expected.win_rate)}**." in page


def test_the_games_can_be_printed(net, capsys):
    assert evaluate("--model", net, "--games", 60, "--verbose") == 0
    said = capsys.readouterr().out
    lines = re.findall(r"game (\d+), as (first|second): (won|lost|drawn) after (\d) plies: ([\d ]+)", said)
    assert [seat for _, seat, *_ in lines] == ["first"] * 30 + ["second"] * 30
    assert all(moves.split()[0] == "4" for _, seat, _, _, moves in lines if seat == "first")
    assert all(len(moves.split()) == int(plies) for *_, plies, moves in lines)
    for ending, row in (("won", "wins"), ("lost", "losses"), ("drawn", "draws")):
        counts = [sum(seat == which and end == ending for _, seat, end, *_ in lines) for which in ("first", "second")]
        assert f"| {row} | {sum(counts)} | {counts[0]} | {counts[1]} |" in said


def test_players_without_chance_are_told_apart_by_openings_or_said_to_repeat_themselves(net, tmp_path, capsys):
    other = write_random_net(tmp_path / "other.onnx", "tictactoe")
    assert evaluate("--model", net, "--opponent", other, "--games", 40) == 0
    assert "Each game began with 2 random moves, the same from both seats." in capsys.readouterr().out
    assert evaluate("--model", net, "--opponent", other, "--games", 40, "--opening-plies", 0) == 0
    page = capsys.readouterr().out
    assert "Only 2 of the 40 games differ from one another." in page
    assert "intervals are too narrow" in page
    assert evaluate("--model", net, "--opponent", other, "--games", 40, "--temperature", 5.0) == 0
    assert "intervals are too narrow" not in capsys.readouterr().out


@pytest.mark.parametrize("opponent", ["perfect", "mcts:30", "itself"])
def test_every_kind_of_opponent_plays(net, capsys, opponent):
    named = net if opponent == "itself" else opponent
    assert evaluate("--model", net, "--opponent", named, "--simulations", 8, "--games", 10, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["player"] == f"{net.name} with 8 simulations"
    assert report["opponent"] == (f"{net.name} with 8 simulations" if opponent == "itself" else opponent)
    assert report["games"] == 10


@pytest.mark.parametrize(
    ("env_id", "opponent", "temperature", "plies"),
    [
        ("tictactoe", "random", 0, 0),
        ("tictactoe", "perfect", 0, 0),
        ("tictactoe", "mcts:8", 0, 2),
        ("tictactoe", "mcts:8", 1, 0),
        ("connect4", "mcts:8", 0, 4),
        ("connect4", "perfect", 1, 8),
        ("othello", "mcts:8", 0, 4),
    ],
)
def test_games_are_opened_at_random_where_chance_has_no_part_or_perfect_play_takes_long(
    tmp_path, capsys, env_id, opponent, temperature, plies
):
    model = write_random_net(tmp_path / "net.onnx", env_id)
    arguments = ("--env-id", env_id, "--model", model, "--opponent", opponent, "--temperature", temperature)
    assert evaluate(*arguments, "--games", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["opening_plies"] == plies


def test_search_makes_the_net_stronger(net, capsys):
    scores = []
    for simulations in (0, 100):
        assert evaluate("--model", net, "--opponent", "perfect", "--simulations", simulations, "--json") == 0
        scores.append(json.loads(capsys.readouterr().out)["score"])
    assert scores[1] > scores[0]


def test_the_solver_says_how_many_moves_keep_the_value(net, capsys):
    assert evaluate("--model", net, "--games", 2, "--solver", "--solver-simulations", 16, "--json") == 0
    captured = capsys.readouterr()
    strength = json.loads(captured.out)["strength"]
    raw, searched = strength["raw"]["rows"][0], strength["searched"]["rows"][0]
    assert (raw["phase"], raw["seat"], raw["value_optimal"]["cases"]) == ("all", "both", 4520)
    assert raw["value_optimal"]["value"] < searched["value_optimal"]["value"] <= 1
    assert strength["every_game"]["value_optimal"] == raw["value_optimal"]["successes"]
    assert strength["every_game"]["never_loses"] is False
    assert "| raw net | all | both |" in captured.err
    assert "| 16 simulations | all | both |" in captured.err


def test_positions_that_stand_in_the_database_are_not_measured_on(tmp_path, capsys):
    game = find_game("connect4")
    played = play_games(game, random_player(game), random_player(game), 40, seed=8, opening_plies=24)
    states = game.initial(40)
    for ply in range(24):
        states = game.play(states, played.actions[:, ply])
    states = np.unique(states, axis=0)
    few = PositionSet("connect4", 1, states, find_game("connect4").solver().scores(states))
    save_positions(tmp_path / "positions.npz", few)
    model = write_random_net(tmp_path / "net.onnx", "connect4")
    seen = np.zeros(game.obs_size, np.float32)
    with Replay.open(tmp_path / "replay.db", create=True) as replay:
        replay.append(
            [
                Transition(
                    f"e-{step}",
                    "connect4",
                    "e",
                    step,
                    game.to_blob(state),
                    0,
                    b"",
                    seen,
                    seen,
                    0.0,
                    False,
                    1,
                    None,
                    0.0,
                    None,
                )
                for step, state in enumerate(few.states[:4])
            ]
        )
    arguments = ("--env-id", "connect4", "--model", model, "--games", 2, "--solver", "--solver-simulations", 4)
    for database, dropped in (("replay.db", 4), ("none.db", 0)):
        assert evaluate(*arguments, "--position-set", "positions.npz", "--db", database, "--json") == 0
        raw = json.loads(capsys.readouterr().out)["strength"]["raw"]
        assert (raw["positions"], raw["dropped"]) == (len(few) - dropped, dropped)


def test_a_game_that_nobody_solves_is_refused_before_any_game(tmp_path, capsys):
    model = write_random_net(tmp_path / "net.onnx", "othello")
    assert "no solver for othello" in refused(capsys, "--env-id", "othello", "--model", model, "--solver")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--games", 7], "7 games cannot be played half from each seat"),
        (["--env-id", "conect4"], "Did you mean 'connect4'?"),
        (["--opponent", "randm"], "There is no opponent 'randm'"),
        (["--opponent", "mcts:"], "does not say how many simulations"),
        (["--opponent", "mcts:0"], "does not say how many simulations"),
        (["--opponent", "absent.onnx"], "There is no model absent.onnx"),
        (["--opening-plies", 9], "9 random moves end a game"),
        (["--opponnent", "random"], "--opponent"),
    ],
)
def test_wrong_flags_get_a_sentence(net, capsys, flags, said):
    assert said in refused(capsys, "--model", net, *flags)


def test_models_that_cannot_play_get_a_sentence(net, tmp_path, capsys):
    assert "There is no model data/models/latest.onnx" in refused(capsys)
    assert "is a model of another game" in refused(capsys, "--model", net, "--env-id", "connect4")
    foreign = write_random_net(tmp_path / "c4.onnx", "connect4")
    assert "is a model of another game" in refused(capsys, "--model", net, "--opponent", foreign)
    half = tmp_path / "half.onnx"
    half.write_bytes(net.read_bytes()[: net.stat().st_size // 2])
    assert "cut short" in refused(capsys, "--model", half)
    broken = write_linear_net(tmp_path / "broken.onnx", np.full((29, 9), np.nan, np.float32))
    for simulations in (0, 4):
        assert "broken.onnx" in refused(capsys, "--model", broken, "--simulations", simulations)


def test_the_database_must_describe_the_same_game(net, capsys):
    with Replay.open("replay.db", create=True) as replay:
        replay.upsert_metadata(find_game("tictactoe"))
        replay.upsert_metadata(GameInfo("hex", "Hex", 5, 5, 25, 77, 50))
    assert evaluate("--model", net, "--games", 2, "--db", "replay.db") == 0
    capsys.readouterr()
    said = refused(capsys, "--model", net, "--db", "replay.db", "--env-id", "hex")
    assert "replay.db describes the game 'hex', but its rules are not known here" in said
    with sqlite3.connect("replay.db") as connection:
        connection.execute("UPDATE game_metadata SET obs_size = 31 WHERE env_id = 'tictactoe'")
    assert "observations of 31 numbers" in refused(capsys, "--model", net, "--db", "replay.db")


def test_a_database_that_is_none_is_told(net, tmp_path, capsys):
    (tmp_path / "replay.db").write_bytes(b"no database" * 500)
    assert "replay.db" in refused(capsys, "--model", net, "--db", "replay.db")
