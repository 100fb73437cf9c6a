"""The campaign: kills at random moments, then resume, until as many have landed as are asked for.

Each ends with one line of JSON: how many kills, what they hit, and whether each file equals the undisturbed run's.
CLEW_FAULTS_SEED repeats the moments of an earlier campaign, as far as a machine's pace can be repeated.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from small_runs import (
    clew_command,
    environment,
    flags,
    kill_processes_about,
    only_run,
    outcome,
    torchrun_command,
    write_corpus,
)

RECIPE = {
    "max_steps": 400,
    "evaluate_every": 8,
    "checkpoint_every": 2,
    "keep_checkpoints": 2,
    "sample_tokens": 4,
    "patience": 0,
}
COMPILED = RECIPE | {"compile": "yes", "precision": "bfloat16"}


class Campaign:
    """Runs of one recipe, undisturbed and killed, each as `command` starts it."""

    def __init__(self, folder: Path, command, recipe: dict):
        self.folder, self.command, self.recipe = folder, command, recipe
        self.corpus = write_corpus(folder / "corpus")
        self.environment = environment() | {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
        self.hits: Counter[str] = Counter()

    def start(self, runs_dir: Path) -> subprocess.Popen:
        """Start the run of `runs_dir`, or resume it where there is one."""
        begun = list(runs_dir.glob("*/run_manifest.json"))
        arguments = ["train", "next_token", *flags(**self.recipe, data_dir=self.corpus)]
        if begun:
            arguments = ["resume", begun[0].parent.name]
        with (self.folder / "said.txt").open("a") as said:
            return subprocess.Popen(
                self.command(*arguments, "--runs-dir", runs_dir), env=self.environment, stdout=said, stderr=said
            )

    def finish(self, runs_dir: Path) -> dict[str, bytes]:
        """Let the run of `runs_dir` go to its end; return the bytes it ends with."""
        assert self.start(runs_dir).wait(timeout=600) == 0, (self.folder / "said.txt").read_text()[-3000:]
        return outcome(only_run(runs_dir))

    def pace(self, runs_dir: Path) -> tuple[float, float, dict[str, bytes]]:
        """Seconds until the first step and seconds of the whole undisturbed run, and the bytes it ends with."""
        began = time.monotonic()
        process = self.start(runs_dir)
        while not list(runs_dir.glob("*/stats.json")) and process.poll() is None:
            time.sleep(0.01)
        first_step = time.monotonic() - began
        assert process.wait(timeout=600) == 0, (self.folder / "said.txt").read_text()[-3000:]
        return first_step, time.monotonic() - began, outcome(only_run(runs_dir))

    def kill_after(self, seconds: float, runs_dir: Path) -> bool:
        """Start or resume the run and kill all its processes after `seconds`; False where it had ended by then."""
        before = records(runs_dir)
        process = self.start(runs_dir)
        try:
            ended = process.wait(timeout=seconds) is not None
        except subprocess.TimeoutExpired:
            ended = False
        kill_processes_about(runs_dir)
        assert not ended or process.returncode == 0, (self.folder / "said.txt").read_text()[-3000:]
        process.wait()
        if not ended:
            self.hits["start-up" if records(runs_dir) == before else moment(runs_dir)] += 1
        return not ended


def records(runs_dir: Path) -> list[tuple[int, int]]:
    """Size and time of the records: as long as they stay, no step was taken."""
    return [(path.stat().st_size, path.stat().st_mtime_ns) for path in runs_dir.glob("*/timing.jsonl")]


def moment(runs_dir: Path) -> str:
    """What a kill hit after start-up, by what it left behind."""
    run = only_run(runs_dir)
    if any((run / "checkpoints").glob(".*.tmp")):
        return "a checkpoint being written"
    if any(run.glob(".*.tmp")):
        return "a record being written"
    if not (run / "checkpoints" / "latest.json").exists():
        return "before the first checkpoint"
    latest = json.loads((run / "checkpoints" / "latest.json").read_text())
    steps = [int(path.name[5:]) for path in (run / "checkpoints").glob("step_*")]
    if max(steps) > latest["step"]:
        return "between a checkpoint and its pointer"
    last = json.loads((run / "metrics.jsonl").read_text().split("\n")[-2])["step"]
    return "between steps" if last > latest["step"] else "right after a checkpoint"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command", "recipe", "kills"),
    [
        ("one process", clew_command, RECIPE, 20),
        ("two processes under torchrun", torchrun_command, RECIPE, 20),
        ("one process, compiled, bfloat16", clew_command, COMPILED, 5),
    ],
    ids=["one", "two", "compiled"],
)
def test_killed_at_random_moments_a_run_ends_with_the_same_bytes(tmp_path, capsys, name, command, recipe, kills):
    seed = int(os.environ.get("CLEW_FAULTS_SEED", time.time_ns() % 1_000_000))
    moments = random.Random(seed)
    campaign = Campaign(tmp_path, command, recipe)
    first_step, whole, undisturbed = campaign.pace(tmp_path / "undisturbed")

    def delay() -> float:
        """A moment of the start-up, one time in five; else of a sixth of the training, so that kills follow kills."""
        if moments.random() < 0.2:
            return moments.uniform(0.0, first_step)
        return first_step + moments.uniform(0.0, (whole - first_step) / 6)

    landed, runs = 0, 0
    equal = dict.fromkeys(undisturbed, True)
    while landed < kills:
        runs += 1
        runs_dir = tmp_path / f"killed-{runs}"
        while landed < kills and campaign.kill_after(delay(), runs_dir):
            landed += 1
        found = campaign.finish(runs_dir)
        equal = {file: equal[file] and found[file] == content for file, content in undisturbed.items()}
    summary = {
        "campaign": name,
        "kills": landed,
        "runs": runs,
        "hits": dict(campaign.hits),
        "equal": equal,
        "seconds_undisturbed": round(whole, 1),
        "seed": seed,
    }
    with capsys.disabled():
        print("\n" + json.dumps(summary))
    assert all(equal.values()), summary
