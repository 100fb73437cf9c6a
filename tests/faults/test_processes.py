"""Two processes, as torchrun starts them: the losses of one, and sentences when one of them cannot go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from clew.cli.main import main
from small_runs import (
    environment,
    flags,
    losses,
    metrics,
    only_run,
    processes_about,
    torchrun_command,
    two_clews,
    write_corpus,
)


def together(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `clew` in two processes behind torchrun."""
    command = torchrun_command(*arguments)
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)


def own_words(said: str) -> list[str]:
    """What Clew itself said, of all that torchrun prints."""
    return [line for line in said.splitlines() if line.startswith(("clew: ", "clew (process "))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("evidence") / "corpus")


def test_two_processes_have_the_losses_of_one(corpus, tmp_path):
    changed = {"data_dir": corpus, "dropout": 0.3, "max_steps": 8, "evaluate_every": 4}
    assert main(["train", "next_token", *flags(**changed, runs_dir=tmp_path / "one")]) == 0
    both = two_clews("train", "next_token", *flags(**changed, runs_dir=tmp_path / "two"), "--json")
    assert [ended.returncode for ended in both] == [0, 0], both
    one, two = (only_run(tmp_path / name) for name in ("one", "two"))
    assert len(losses(one)) == 8
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    scores = [
        [row["evaluation"]["validation_bits_per_byte"] for row in metrics(run) if "evaluation" in row]
        for run in (one, two)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    documents = [line for ended in both for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(documents) == 1, "one process speaks"
    assert json.loads(documents[0])["status"] == "finished"
    assert json.loads((two / "run_manifest.json").read_text())["device"]["processes"] == 2


def test_what_is_wrong_with_the_call_is_said_without_a_traceback(corpus, tmp_path):
    both = two_clews("train", "next_token", *flags(data_dir=corpus, batch_size=3, runs_dir=tmp_path / "runs"))
    for rank, ended in enumerate(both):
        assert ended.returncode == 2
        (line,) = own_words(ended.stderr)
        assert line.startswith(f"clew: error (process {rank}): The batch size 3 cannot be split over 2 processes")
        assert line.count("clew: error") == 1, "each process has a line of its own"
        assert "Traceback" not in ended.stderr


def test_when_the_leader_cannot_write_both_end_with_a_sentence(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    began = time.monotonic()
    ended = together("train", "next_token", *flags(data_dir=corpus, runs_dir=tmp_path / "file" / "runs"))
    assert ended.returncode != 0
    assert time.monotonic() - began < 120, "the other process does not wait for the leader in vain"
    said = own_words(ended.stderr)
    assert any("(process 0): Could not write the folder" in line for line in said), ended.stderr
    assert not any("Clew itself failed" in line for line in said), ended.stderr
    # torchrun shows a traceback of its own; none of ours is in it.
    assert "clew/cli" not in ended.stderr


def test_ctrl_c_saves_and_the_run_goes_on_from_there(corpus, tmp_path):
    changed = {"data_dir": corpus, "max_steps": 100_000, "evaluate_every": 100_000, "checkpoint_every": 100_000}
    command = torchrun_command("train", "next_token", *flags(**changed, runs_dir=tmp_path))
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/metrics.jsonl")) or len(losses_so_far(tmp_path)) < 3:
        time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
    # As a terminal does: every process is told, and torchrun passes it on besides.
    for pid in processes_about(tmp_path):
        os.kill(pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert any("Stopped at step" in line for line in own_words(said)), said
    run = only_run(tmp_path)
    latest = json.loads((run / "checkpoints" / "latest.json").read_text())
    assert latest["step"] == metrics(run)[-1]["step"] >= 3
    assert json.loads((run / "run_manifest.json").read_text())["status"] == "interrupted"


def losses_so_far(runs_dir: Path) -> list[str]:
    """The whole lines of metrics."""
    return (only_run(runs_dir) / "metrics.jsonl").read_text().split("\n")[:-1]
