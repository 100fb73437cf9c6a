"""Paths that a system takes for none, names that are no UTF-8, a closed standard input: a sentence each."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3

import pytest
from sandbox import Case, run_case

from clew.cli.main import run
from clew.core.errors import UsageError
from clew.games import evidence
from clew.recipes.alphazero import AlphaZeroRecipe, Outputs, ReplayData

for _module in ("actor", "evaluate", "play", "replay", "tournament"):
    importlib.import_module(f"clew.cli.games.{_module}")
for _module in (
    "games.self_play",
    "games.search",
    "games.arena",
    "bundle.policy_value",
    "bundle.load",
    "proofs.corpus",
):
    importlib.import_module(f"clew.{_module}")  # what is loaded here need not be loaded in each fork


def tried(tmp_path, *argv, **case):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "notes.txt").write_text("a file\n")
    return run_case(Case(folder, list(argv), **case), run, limit=60, memory=4 << 30)


@pytest.mark.parametrize(
    "path", ["a" * 300, "\udcff\udcfe", "notes.txt/x"], ids=["too long", "no UTF-8", "through a file"]
)
@pytest.mark.parametrize(
    "words",
    [
        *("runs list --runs-dir", "doctor --runs-dir", "proofs stats", "suggest bundle --prompt", "replay check"),
        *("train", "evaluate games --model", "evaluate games --db", "play tictactoe --model", "tournament --model-dir"),
        *("actor --episodes 1 --max-wait 0.1 --lanes 1 --simulations 1 --db", "actor --env-id"),
    ],
)
def test_a_path_that_is_none_gets_a_sentence(tmp_path, words, path):
    outcome = tried(tmp_path, *words.split(), path, findings=words.startswith("doctor"))
    assert (outcome.trace, outcome.hung, outcome.harmed) == (None, False, [])


def test_play_with_a_closed_standard_input_leaves_the_game(tmp_path):
    outcome = tried(tmp_path, "play", "tictactoe", "--without-model", "--simulations", "1", stdin=None)
    assert (outcome.trace, outcome.code) == (None, 0)
    assert "The game is left as it stands." in outcome.out


@pytest.mark.parametrize("content", ["a database", '{"other": 1}'])
def test_statistics_replace_no_other_file(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text(content)
    recipe = AlphaZeroRecipe(data=ReplayData(db="none.db", max_wait=0.01), outputs=Outputs(stats="kept"))
    with pytest.raises(UsageError, match="kept is there and is not the statistics of a self-play run"):
        evidence.prepare(recipe)


def test_statistics_replace_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stats.json").write_text(json.dumps({"step": 1, "total_steps": 2}))
    recipe = AlphaZeroRecipe(data=ReplayData(db="none.db", max_wait=0.01), outputs=Outputs(stats="stats.json"))
    with pytest.raises(evidence.GaveUpWaitingError):
        evidence.prepare(recipe)


def test_a_database_whose_name_is_no_utf8_is_written(tmp_path):
    words = "actor --episodes 1 --lanes 1 --simulations 1 --db"
    outcome = tried(tmp_path, *words.split(), "\udcff.db")
    assert (outcome.trace, outcome.code) == (None, 0)
    connection = sqlite3.connect(b"file:" + os.fsencode(tmp_path) + b"/work/%FF.db?mode=ro", uri=True)
    assert connection.execute("SELECT COUNT(*) FROM transitions").fetchone()[0] >= 5
