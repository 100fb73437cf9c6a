"""Actor, learner and loop, killed at any moment: no committed episode is lost, and what is resumed is the same run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from forks import Forked
from small_runs import clew, kill_processes_about, metrics, only_run, processes_about, start_clew

SMALL_NET = "--width 16 --threads 1 --compile no --precision float32 --eval-games 4 --batch-size 16 --log-every 1"
LOOP = (
    f"{SMALL_NET} --steps 8 --lanes 8 --simulations 4 --actors 1 --evaluation-games 2 --max-reuse 4 --max-wait 60"
).split()


def start(folder: Path, *arguments: object) -> Forked:
    """A `clew` process whose words go to said.txt."""
    with (folder / "said.txt").open("a") as said:
        return start_clew(*arguments, stdout=said, stderr=said, cwd=folder)


def episodes(db: Path) -> dict[str, int]:
    """Rows of each episode. Every episode must be whole: steps from 0 on, done at the last alone."""
    with contextlib.closing(sqlite3.connect(db, timeout=30)) as database:
        rows = database.execute("SELECT episode_id, step_number, done FROM transitions ORDER BY rowid").fetchall()
    found: dict[str, list[tuple[int, int]]] = {}
    for episode, step, done in rows:
        found.setdefault(episode, []).append((step, done))
    for episode, steps in found.items():
        assert [step for step, _ in steps] == list(range(len(steps))), episode
        assert [done for _, done in steps] == [0] * (len(steps) - 1) + [1], episode
    return {episode: len(steps) for episode, steps in found.items()}


def wait_for(true, *, seconds: float = 120.0, what: str = "it") -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


def rows_in(db: Path) -> int:
    if not db.is_file():
        return 0
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(db, timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM transitions").fetchone()[0])
    return 0


def kill_actors(folder: Path, times: int, draw: random.Random) -> dict[str, int]:
    """Kill an actor `times` times at random moments; every episode that was there stays."""
    db = folder / "replay.db"
    before: dict[str, int] = {}
    for _ in range(times):
        process = start(folder, "actor", "--env-id", "tictactoe", "--db", db, "--lanes", "16")
        began = rows_in(db)
        wait_for(lambda began=began: rows_in(db) > began, what="the first episode")
        time.sleep(draw.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = episodes(db)
        assert after.items() >= before.items(), "an episode that was committed is gone"
        before = after
    return before


def test_an_actor_that_is_killed_leaves_whole_episodes_alone(tmp_path):
    found = kill_actors(tmp_path, 2, random.Random(1))
    assert len(found) > 20
    ended = clew("replay", "check", tmp_path / "replay.db")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def finished(folder: Path) -> bool:
    return json.loads((only_run(folder / "data/runs") / "run_manifest.json").read_text())["status"] == "finished"


def kill_loop(folder: Path, moments: list[int], *, steps: int, iterations: int) -> Path:
    """Kill the loop -9 when its learner has come to each of these steps, then let it end; return the run."""
    db = folder / "data/replay.db"
    arguments = ["loop", "tictactoe", "--folder", "data", "--iterations", iterations, *LOOP]
    before: dict[str, int] = {}
    for moment in moments:
        process = start(folder, *arguments)

        def reached(moment: int = moment, process: Forked = process) -> bool:
            assert process.poll() is None, (folder / "said.txt").read_text()[-2000:]
            found = list((folder / "data/runs").glob("*/metrics.jsonl"))
            lines = found[0].read_text().split("\n")[:-1] if found else []
            return bool(lines) and json.loads(lines[-1])["step"] >= moment

        wait_for(reached, what=f"step {moment}")
        children = [pid for pid in processes_about(folder / "x") if pid != process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not children
        # The lifeline: the actors and the learner end by themselves when the loop is gone.
        wait_for(lambda pid=process.pid: not descendants(folder), seconds=60, what="the end of the children")
        after = episodes(db)
        assert after.items() >= before.items(), "an episode that was committed is gone"
        before = after
    ended = clew(*arguments, cwd=folder)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert episodes(db).items() >= before.items()
    run = only_run(folder / "data/runs")
    logged = [row["step"] for row in metrics(run) if "loss" in row]
    assert logged == list(range(1, steps + 1)), "each step once, none twice, none left out"
    return run


def descendants(folder: Path) -> list[int]:
    """`clew` processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and b"clew" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_a_loop_that_is_killed_goes_on_with_the_same_run_and_its_children_end_with_it(tmp_path):
    run = kill_loop(tmp_path, [10], steps=24, iterations=3)
    assert finished(tmp_path)
    models = sorted(path.name for path in (tmp_path / "data/models").glob("*.onnx"))
    assert {"latest.onnx", "model_step_000024.onnx"} <= set(models)
    stats = json.loads((tmp_path / "data/stats.json").read_text())
    assert stats["step"] == 24
    assert [point["step"] for point in stats["history"]] == list(range(1, 25))
    assert run.is_dir()


def test_ctrl_c_ends_the_loop_with_a_checkpoint_and_the_same_command_goes_on(tmp_path):
    arguments = ["loop", "tictactoe", "--folder", "data", "--iterations", "4", *LOOP]
    process = start(tmp_path, *arguments)
    wait_for(lambda: list((tmp_path / "data/runs").glob("*/checkpoints/latest.json")), what="a checkpoint")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=90) == 130
    assert not descendants(tmp_path)
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    assert "clew: error" not in said
    assert "clew: Stopped at step" in said
    assert "go on with the same command" in said
    ended = clew(*arguments, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert finished(tmp_path)
    assert "resumes at" in ended.stderr


def test_a_database_that_is_deleted_while_the_loop_runs_is_told_and_made_anew(tmp_path):
    arguments = ["loop", "tictactoe", "--folder", "data", "--iterations", "3", *LOOP]
    process = start(tmp_path, *arguments)
    db = tmp_path / "data/replay.db"
    wait_for(lambda: rows_in(db) > 100, what="rows")
    for path in tmp_path.glob("data/replay.db*"):
        path.unlink(missing_ok=True)
    assert process.wait(timeout=180) == 0, (tmp_path / "said.txt").read_text()[-3000:]
    assert finished(tmp_path)
    assert episodes(db), "the actors went on writing"
    assert "Traceback" not in (tmp_path / "said.txt").read_text()


@pytest.mark.slow
def test_campaign_of_actors(tmp_path):
    seed = int(os.environ.get("CLEW_FAULTS_SEED", "1"))
    found = kill_actors(tmp_path, 20, random.Random(seed))
    print(json.dumps({"campaign": "actor", "seed": seed, "kills": 20, "episodes": len(found), "lost": 0}))


@pytest.mark.slow
def test_campaign_of_loops(tmp_path):
    seed = int(os.environ.get("CLEW_FAULTS_SEED", "1"))
    draw = random.Random(seed)
    moments = sorted(draw.randint(1, 190) for _ in range(10))
    kill_loop(tmp_path, moments, steps=200, iterations=25)
    print(json.dumps({"campaign": "loop", "seed": seed, "kills": len(moments), "moments": moments, "lost": 0}))


@pytest.mark.slow
def test_campaign_of_learners(tmp_path):
    """Twenty kills of a learner on a database that stays: weights, optimiser and metrics are those of no kill."""
    from small_runs import outcome

    seed = int(os.environ.get("CLEW_FAULTS_SEED", "1"))
    draw = random.Random(seed)
    db = tmp_path / "replay.db"
    assert clew("actor", "--env-id", "tictactoe", "--db", db, "--episodes", "200").returncode == 0
    recipe = f"train alphazero --db {db} {SMALL_NET} --steps 400 --checkpoint-interval 4 --eval-interval 40".split()
    whole = [*recipe, "--model-dir", tmp_path / "m1", "--stats", tmp_path / "s1.json", "--runs-dir", tmp_path / "whole"]
    assert clew(*whole).returncode == 0
    kills, runs = 0, tmp_path / "killed"
    where = ["--model-dir", tmp_path / "m2", "--stats", tmp_path / "s2.json", "--runs-dir", runs]
    while kills < 20:
        begun = list(runs.glob("*/run_manifest.json"))
        command = ["resume", begun[0].parent, "--runs-dir", runs] if begun else [*recipe, *where]
        process = start(tmp_path, *command)
        wait_for(
            lambda process=process: bool(list(runs.glob("*/metrics.jsonl"))) or process.poll() is not None,
            what="the run",
        )
        time.sleep(draw.uniform(1.5, 3.2))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    kill_processes_about(runs)
    assert clew("resume", only_run(runs), "--runs-dir", runs).returncode == 0
    assert outcome(only_run(runs)) == outcome(only_run(tmp_path / "whole"))
    print(json.dumps({"campaign": "learner", "seed": seed, "kills": kills, "equal": True}))
