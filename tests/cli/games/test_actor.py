"""`clew actor` where the database cannot take a game for a while, and where the model is no model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clew.cli.main import main
from clew.games.replay import Replay
from small_runs import environment

LIMITED_ACTOR = """
import resource, signal, sys
from clew.cli.games import actor
from clew.cli.main import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
say, db, patience = actor._say, *sys.argv[1:]


def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def heard(text):
    say(text)
    if "tried again" in text and patience != "0":
        limit(resource.RLIM_INFINITY)


actor._say = heard
limit(300_000)
sys.exit(main(["actor", "--db", db, "--env-id", "othello", "--episodes", "20", "--max-wait", patience]))
"""


@pytest.mark.parametrize("patience", [60, 0])
def test_a_game_that_finds_the_disk_full_is_kept_until_there_is_room(tmp_path, patience):
    db = tmp_path / "replay.db"
    Replay.open(db, create=True).close()
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED_ACTOR, str(db), str(patience)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert "Traceback" not in ended.stderr
    with Replay.open(db) as replay:
        rows, _ = replay.tail("othello", None, 100_000)
    written = [int(row.episode_id.split("-")[-2]) for row in rows if row.done]
    if patience:
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("The game is kept; writing it is tried again for 60 s") == 1
        assert "The database takes games again" in ended.stderr
        assert len(set(written)) == len(written) == 20
    else:
        assert ended.returncode == 1
        assert "the disk may be full" in ended.stderr
        assert 0 < len(written) < 20


def test_a_model_that_is_none_from_the_start_is_told_with_what_is_played_meanwhile(tmp_path, capsys):
    model = tmp_path / "latest.onnx"
    model.write_text("no model")
    database = str(tmp_path / "replay.db")
    arguments = ["--env-id", "tictactoe", "--db", database, "--model", str(model), "--episodes", "1"]
    assert main(["actor", *arguments]) == 0
    said = capsys.readouterr().err
    assert f"cannot load {model}" in said
    assert "Moves are random until it is whole." in said
    assert "stays in service" not in said
