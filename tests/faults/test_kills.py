"""Killed at any moment and resumed, a run ends with the bytes of one that was never killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest

from clew.cli.main import main
from small_runs import clew, flags, metrics, only_run, outcome, start_clew, write_corpus

STEPS = 30
RECIPE = {"max_steps": STEPS, "evaluate_every": 5, "checkpoint_every": 3, "keep_checkpoints": 2}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Corpus and run folder of a run that nobody touched."""
    folder = tmp_path_factory.mktemp("undisturbed")
    corpus = write_corpus(folder / "corpus")
    assert main(["train", "next_token", *flags(**RECIPE, data_dir=corpus, runs_dir=folder / "runs")]) == 0
    return corpus, only_run(folder / "runs")


def last_step(run):
    """The newest step that metrics.jsonl tells of; a line that is being written does not count."""
    lines = (run / "metrics.jsonl").read_text().split("\n")[:-1] if (run / "metrics.jsonl").exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def killed_after(step, arguments, runs_dir):
    """Start `clew`, kill it as soon as the metrics tell of `step`, and return the run's folder."""
    process = start_clew(*arguments, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if list(runs_dir.glob("*/run_manifest.json")) and last_step(only_run(runs_dir)) >= step:
            break
        time.sleep(0.001)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    return only_run(runs_dir)


def test_a_run_killed_three_times_ends_with_the_same_bytes(undisturbed, tmp_path):
    corpus, reference = undisturbed
    runs = tmp_path / "runs"
    # Before the first checkpoint, between two, and after an evaluation.
    run = killed_after(2, ["train", "next_token", *flags(**RECIPE, data_dir=corpus, runs_dir=runs)], runs)
    assert not (run / "checkpoints" / "latest.json").exists() or last_step(run) >= 3
    killed_after(14, ["resume", run], runs)
    killed_after(25, ["resume", run], runs)
    assert json.loads((run / "run_manifest.json").read_text())["status"] == "running"
    ended = clew("resume", run, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "finished"
    assert outcome(run) == outcome(reference)
    assert [path.name for path in run.rglob("*.tmp")] == []


def test_metrics_of_a_run_killed_before_its_first_checkpoint_are_written_once(undisturbed, tmp_path):
    corpus, reference = undisturbed
    runs = tmp_path / "runs"
    arguments = flags(**RECIPE | {"checkpoint_every": 1000, "evaluate_every": 1000}, data_dir=corpus, runs_dir=runs)
    run = killed_after(3, ["train", "next_token", *arguments], runs)
    assert not (run / "checkpoints" / "latest.json").exists()
    assert main(["resume", str(run)]) == 0
    steps = [row["step"] for row in metrics(run) if "loss" in row]
    assert steps == list(range(1, STEPS + 1))
    assert metrics(run)[:4] == metrics(reference)[:4]


def resumed(run, tmp_path, *arguments):
    """A copy of `run`, resumed to its end."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    assert main(["resume", str(copy), *arguments]) == 0
    return copy


def test_from_an_older_checkpoint_the_rest_is_computed_again(undisturbed, tmp_path):
    _, reference = undisturbed
    older = sorted((reference / "checkpoints").glob("step_*"))[0]
    assert older.name != f"step_{STEPS:08d}"
    copy = resumed(reference, tmp_path, "--checkpoint", str(int(older.name[5:])))
    assert outcome(copy) == outcome(reference)


def test_a_kill_while_older_work_is_redone_does_not_confuse_the_next_resume(undisturbed, tmp_path):
    _, reference = undisturbed
    older = int(sorted((reference / "checkpoints").glob("step_*"))[0].name[5:])
    run = tmp_path / "runs" / reference.name
    shutil.copytree(reference, run)
    killed_after_rewind = start_clew("resume", run, "--checkpoint", older, stderr=subprocess.DEVNULL)
    while last_step(run) > older:
        time.sleep(0.001)
    killed_after_rewind.send_signal(signal.SIGKILL)
    killed_after_rewind.wait()
    assert main(["resume", str(run)]) == 0
    assert outcome(run) == outcome(reference)


def test_a_torn_line_at_the_end_of_the_records_is_dropped(undisturbed, tmp_path):
    _, reference = undisturbed
    older = sorted((reference / "checkpoints").glob("step_*"))[0]
    torn = tmp_path / "torn" / reference.name
    shutil.copytree(reference, torn)
    for name in ("metrics.jsonl", "timing.jsonl"):
        with (torn / name).open("a") as file:
            file.write('{"step": 31, "lo')
    copy = resumed(torn, tmp_path, "--checkpoint", str(int(older.name[5:])))
    assert outcome(copy) == outcome(reference)
    timing = [json.loads(line) for line in (copy / "timing.jsonl").read_text().splitlines()]
    assert [row["elapsed"] for row in timing] == sorted(row["elapsed"] for row in timing)


def test_a_best_pointer_that_a_kill_left_behind_is_set_right(undisturbed, tmp_path):
    _, reference = undisturbed
    best = json.loads((reference / "checkpoints" / "best.json").read_text())
    older = sorted((reference / "checkpoints").glob("step_*"))[0]
    left_behind = tmp_path / "left" / reference.name
    shutil.copytree(reference, left_behind)
    (left_behind / "checkpoints" / "best.json").unlink()
    copy = resumed(left_behind, tmp_path, "--checkpoint", str(int(older.name[5:])))
    assert json.loads((copy / "checkpoints" / "best.json").read_text()) == best
