"""`clew tournament`: who plays, the ratings that follow, and what is written."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from clew.cli.games.tournament import evenly_spaced
from clew.cli.main import main
from tiny_nets import write_preferring_net, write_random_net

GOOD = [4, 0, 2, 6, 8, 1, 3, 5, 7]
"""Centre, corners, edges."""
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test meets a model of another."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def models(tmp_path):
    """A folder of a training: each net prefers its cells a little better than the one before."""
    for step in range(5):
        order = GOOD[:step] + sorted(GOOD[step:], reverse=True)
        write_preferring_net(tmp_path / "models" / f"model_step_{step * 100:06d}.onnx", "tictactoe", order)
    write_preferring_net(tmp_path / "models" / "latest.onnx", "tictactoe", GOOD)
    return tmp_path / "models"


def tournament(*arguments) -> int:
    return main(["tournament", *map(str, arguments)])


def refused(capsys, *arguments) -> str:
    code = tournament(*arguments)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert "Clew itself failed" not in said
    return said


def test_a_training_plays_every_pair_and_is_rated(models, tmp_path, capsys):
    assert (
        tournament(
            "--model-dir",
            models,
            "--include-random",
            "--include-mcts",
            60,
            "--games",
            20,
            "--output",
            tmp_path / "out",
            "--json",
        )
        == 0
    )
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert json.loads((tmp_path / "out" / "tournament.json").read_text()) == report
    assert (tmp_path / "out" / "tournament.md").read_text() in captured.err
    assert (tmp_path / "out" / "tournament.png").read_bytes().startswith(PNG)

    names = [f"model_step_{step:06d}.onnx" for step in range(0, 500, 100)] + ["random", "mcts:60"]
    assert {(match["one"], match["two"]) for match in report["matches"]} == set(itertools.combinations(names, 2))
    players = {player["name"]: player for player in report["players"]}
    assert [player["elo"] for player in report["players"]] == sorted(
        (player["elo"] for player in report["players"]), reverse=True
    )
    assert report["players"][0]["name"] == "mcts:60"
    assert players["model_step_000000.onnx"]["elo"] == players["model_step_000000.onnx"]["error"] == 0
    assert players["model_step_000400.onnx"]["elo"] > players["random"]["elo"]
    assert players["model_step_000300.onnx"]["step"] == 300
    for name, player in players.items():
        mine = [match["score"] for match in report["matches"] if match["one"] == name]
        mine += [1 - match["score"] for match in report["matches"] if match["two"] == name]
        assert player["games"] == 120
        assert player["score"] == pytest.approx(sum(mine) / 6)


def test_of_many_models_a_few_evenly_spaced_ones_play(models, capsys):
    assert tournament("--model-dir", models, "--at-most", 3, "--games", 2, "--json") == 0
    steps = sorted(player["step"] for player in json.loads(capsys.readouterr().out)["players"])
    assert steps == [0, 200, 400]
    paths = [Path(f"{number}") for number in range(100)]
    spaced = [int(str(path)) for path in evenly_spaced(paths, 12)]
    assert (spaced[0], spaced[-1], len(spaced)) == (0, 99, 12)
    assert {later - earlier for earlier, later in itertools.pairwise(spaced)} == {9}
    assert evenly_spaced(paths[:5], 12) == paths[:5]


def test_a_tournament_is_the_same_when_it_is_played_again(models, capsys):
    told = []
    for _ in range(2):
        assert tournament("--model-dir", models, "--at-most", 2, "--games", 6, "--temperature", 1, "--json") == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


def test_models_are_named_and_the_anchor_chosen(models, tmp_path, capsys):
    files = [models / "model_step_000100.onnx", models / "model_step_000400.onnx"]
    assert tournament(*files, "--include-perfect", "--anchor", "perfect", "--games", 4, "--output", tmp_path / "o") == 0
    page = capsys.readouterr().out
    assert "| perfect | +0 | anchor |" in page
    assert (tmp_path / "o" / "tournament.png").read_bytes().startswith(PNG)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, capsys):
    files = [write_random_net(tmp_path / folder / "latest.onnx", "tictactoe", seed) for seed, folder in enumerate("ab")]
    assert tournament(*files, "--games", 2, "--json") == 0
    assert {player["name"] for player in json.loads(capsys.readouterr().out)["players"]} == set(map(str, files))


def test_what_is_wrong_gets_a_sentence(models, tmp_path, capsys):
    model = models / "latest.onnx"
    assert "needs two players at least" in refused(capsys, model)
    assert "is named twice" in refused(capsys, model, model)
    assert "not both" in refused(capsys, model, "--model-dir", models)
    assert "There is no model_step_*.onnx in nowhere" in refused(capsys, "--model-dir", "nowhere")
    assert "cannot be played half from each seat" in refused(capsys, model, "--include-random", "--games", 5)
    assert "There is no player 'x' to be the anchor" in refused(capsys, model, "--include-random", "--anchor", "x")
    assert "is a model of another game" in refused(capsys, model, "--include-random", "--env-id", "connect4")
    assert "at least one" in refused(capsys, model, "--include-mcts", 0)
