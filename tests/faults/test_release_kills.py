"""Killed at any point, `clew release` and `clew curriculum seed` leave the old or the whole new, nothing between.

First at every point in turn: the process kills itself before its n-th call that touches a file, for each n. Then, in
the campaign, real processes at random moments, which also hits what lies between two such calls.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clew.cli.main import main
from clew.runs.released import verify
from small_releases import tree, write_bundle, write_checkpoint, write_run
from small_runs import clew_command, environment

TASK = "task {name} (xs: list) -> list\nexample [3, 1] -> [1, 3]\nreference sort (take {number} xs)\n"
WATCHED = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.scandir", "shutil.rmtree")


def killed_before_call(number: int, *words: object) -> bool:
    """Run `clew` in a fork that kills itself before its `number`-th call that touches a file; whether it did."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        left = number

        def count(event: str, _: tuple[object, ...]) -> None:
            nonlocal left
            if event in WATCHED:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            os.dup2(devnull, 2)
            sys.addaudithook(count)
            code = main([str(word) for word in words])
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def write_tasks(folder: Path, count: int, changed: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"task_{number}.dsl").write_text(TASK.format(name=f"task_{number}", number=number + changed))
    return folder


class Exports:
    """A root of checkpoints and the folder of its releases, watched over kills."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self.step = folder, size, 10
        self.root, self.output = folder / "checkpoints", folder / "exports"
        self.run = write_run(self.root / "supervised", self.step, size=size)
        write_bundle(self.root / "guide")
        self.words = ("release", "--root", self.root, "--output", self.output)
        assert main([str(word) for word in self.words]) == 0
        self.kept = {path.name: tree(path) for path in self.exports()}

    def exports(self) -> list[Path]:
        return sorted(self.output.glob("export_*"))

    def leftovers(self) -> set[Path]:
        return set(self.output.glob(".export_*.tmp"))

    def train_on(self) -> None:
        """A newer checkpoint, so that each release has other content."""
        self.step += 10
        write_checkpoint(self.run.checkpoints, self.step, self.size)

    def check(self) -> str:
        """Hold what a kill left against what was there; what the kill hit."""
        pointed = json.loads((self.output / "latest.json").read_text())["export"]
        hit = "before the export"
        if self.leftovers():
            hit = "an export being written"
        for path in self.exports():
            assert verify(path).good, verify(path).faults
            if path.name in self.kept:
                assert tree(path) == self.kept[path.name]
            else:
                self.kept[path.name] = tree(path)
                hit = "after the export" if path.name == pointed else "between the export and its pointer"
        assert pointed in self.kept
        assert verify(self.output).good
        return hit


def test_a_release_killed_before_any_of_its_calls_leaves_old_or_new(tmp_path):
    exports = Exports(tmp_path, size=100)
    exports.train_on()
    hits: Counter[str] = Counter()
    number = 1
    while killed_before_call(number, *exports.words):
        hits[exports.check()] += 1
        number += 1
    assert exports.check() == "after the export"
    assert {"before the export", "an export being written", "between the export and its pointer"} <= hits.keys(), hits
    assert [path.name for path in exports.output.iterdir() if path.name.startswith(".export")] == []


def test_a_curriculum_killed_before_any_of_its_calls_is_the_old_or_the_new(tmp_path):
    old, new = (write_tasks(tmp_path / name, 4, changed) for name, changed in (("old", 0), ("new", 1)))
    words = {each: ("curriculum", "seed", "--source", each, "--output", tmp_path / "place/out") for each in (old, new)}
    whole = {}
    for each in (new, old):
        assert main([str(word) for word in words[each]]) == 0
        whole[each] = tree(tmp_path / "place/out")
    hits: Counter[str] = Counter()
    number = 1
    while killed_before_call(number, *words[new]):
        left = tree(tmp_path / "place/out")
        assert left in (whole[old], whole[new])
        hits["old" if left == whole[old] else "new"] += 1
        if left == whole[new]:  # so that the next kill meets the old one again
            assert main([str(word) for word in words[old]]) == 0
        number += 1
    assert tree(tmp_path / "place/out") == whole[new]
    assert hits["old"] > 10
    assert hits["new"] >= 1
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["out"]


Leftovers = Callable[[], set[Path]]
"""The temporary folders that are there: of a process that writes, or of one that was killed."""


def killed(words: tuple[object, ...], leftovers: Leftovers | None, seconds: float) -> bool:
    """Start a `clew` process and kill it `seconds` after it began to write (None: after it began); False where it had
    ended by then."""
    earlier = leftovers() if leftovers else set()
    process = subprocess.Popen(
        clew_command(*words), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while leftovers and not leftovers() - earlier and process.poll() is None:
        time.sleep(0.0005)
    try:
        said = process.communicate(timeout=seconds)[1]
        assert process.returncode == 0, said
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def campaign(name, words, check, leftovers, next_try, kills, capsys):
    """Kill until `kills` have landed, one in four anywhere and the others while it writes; print what they hit."""
    writing = 0.4
    seed = int(os.environ.get("CLEW_FAULTS_SEED", time.time_ns() % 1_000_000))
    moments = random.Random(seed)
    began = time.monotonic()
    assert not killed(words(), None, 600)
    whole = time.monotonic() - began
    check()
    next_try()
    hits: Counter[str] = Counter()
    tries = 0
    while sum(hits.values()) < kills:
        tries += 1
        assert tries < 20 * kills, "the kills come too late"
        anywhere = moments.random() < 0.25
        if anywhere:
            landed = killed(words(), None, moments.uniform(0.0, whole))
        else:
            landed = killed(words(), leftovers, moments.uniform(0.0, 1.0) * writing)
        hit = check()
        if landed:
            hits[hit] += 1
        else:
            next_try()
    summary = {"campaign": name, "kills": sum(hits.values()), "tries": tries, "hits": dict(hits), "seed": seed}
    with capsys.disabled():
        print("\n" + json.dumps(summary))


@pytest.mark.slow
def test_a_release_killed_at_random_moments_leaves_old_or_new(tmp_path, capsys):
    exports = Exports(tmp_path, size=20_000_000)

    campaign("clew release", lambda: exports.words, exports.check, exports.leftovers, exports.train_on, 20, capsys)


@pytest.mark.slow
def test_a_curriculum_killed_at_random_moments_is_the_old_or_the_new(tmp_path, capsys):
    out = tmp_path / "place/out"
    sources = [write_tasks(tmp_path / str(changed), 300, changed) for changed in (0, 1)]
    whole = []
    for source in sources:
        assert main(["curriculum", "seed", "--source", str(source), "--output", str(out)]) == 0
        whole.append(tree(out))
    turn = 0

    def words() -> tuple[object, ...]:
        return ("curriculum", "seed", "--source", sources[turn % 2], "--output", out)

    def check() -> str:
        nonlocal turn
        left = tree(out)
        assert left in whole
        if left != whole[turn % 2]:
            return "the new one being written" if leftovers() else "before the new one"
        turn += 1
        return "after the new one"

    def leftovers() -> set[Path]:
        return set((tmp_path / "place").glob(".out.*.tmp"))

    campaign("clew curriculum seed", words, check, leftovers, lambda: None, 20, capsys)
