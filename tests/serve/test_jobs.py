"""Jobs: one after the other, cancelled, found again by the next server, and told when they died."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from clew.core.errors import ClewError, UsageError
from clew.serve import processes
from clew.serve.jobs import Jobs
from clew.serve.processes import Process, begun
from clew.traces.schema import ConflictError
from clew.traces.store import TraceStore

CHILD = """
    import json, os, signal, sys, time
    ended, *arguments = sys.argv[1:]
    go = sys.stdin.buffer.readline() == b"go\\n"
    if not go:
        open(ended, "w").write('{"exit_code": null}')
        sys.exit(1)
    def stop(*_):
        print("saved", flush=True)
        open(ended, "w").write('{"exit_code": 130}')
        os._exit(130)
    if arguments[0] != "deaf":
        signal.signal(signal.SIGTERM, stop)
    print("began", *arguments, flush=True)
    while arguments[0] in ("waits", "deaf") and not os.path.exists(arguments[1]):
        time.sleep(0.02)
    if arguments[0] == "fails":
        print("clew: error: No good.")
    code = 1 if arguments[0] == "fails" else 0
    open(ended, "w").write(json.dumps({"exit_code": code}))
    sys.exit(code)
"""
"""Stands for a `clew` command that a server starts: it waits for leave, and for a file before it ends."""


@pytest.fixture(autouse=True)
def child(tmp_path, monkeypatch):
    path = tmp_path / "child.py"
    path.write_text(textwrap.dedent(CHILD), encoding="utf-8")
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-S", str(path)))


@pytest.fixture
def store(tmp_path):
    with TraceStore.open(tmp_path / "traces.db") as opened:
        yield opened


@pytest.fixture
def serve(store, tmp_path):
    """Makes a `Jobs` that looks after the queue; what still runs at the end of the test is killed."""
    made: list[Jobs] = []

    def prepare(job):
        if "refused" in job.request:
            raise ClewError(job.request["refused"])
        return list(job.request["arguments"])

    def finished(job):
        if "spoils" in job.request:
            raise ClewError("What it made cannot be read.")

    def start():
        jobs = Jobs(store, tmp_path / "jobs", prepare, finished)
        made.append(jobs)
        jobs.start()
        return jobs

    yield start
    for jobs in made:
        jobs.close()
    for job in store.jobs(states=["running", "cancelling"]):
        Process(job.pid, job.pid_started).end()


def until(condition, seconds=15.0):
    """Wait for what is to come true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found


def ended(store, job):
    return until(lambda: (now := store.job(job.id)) and now.ended_at and now)


def running(store, job):
    return until(lambda: (now := store.job(job.id)).state == "running" and began(now) and now)


def began(job):
    log = Path(job.folder, "log.txt")
    return log.exists() and "began" in log.read_text(encoding="utf-8")


def request(*arguments, **more):
    return {"kind": "train", "arguments": list(map(str, arguments)), **more}


def test_jobs_run_one_after_the_other_in_the_order_in_which_they_came(serve, store, tmp_path):
    jobs = serve()
    first = jobs.submit(request("waits", tmp_path / "go"))
    others = [jobs.submit(request("ends")) for _ in range(2)]
    running(store, first)
    assert [store.job(each.id).state for each in others] == ["queued", "queued"]
    (tmp_path / "go").touch()
    done = [ended(store, each) for each in (first, *others)]
    assert [each.state for each in done] == ["completed"] * 3
    assert [each.exit_code for each in done] == [0, 0, 0]
    assert all(one.ended_at <= two.started_at for one, two in itertools.pairwise(done))


def test_why_a_job_failed_is_told(serve, store):
    jobs = serve()
    said = ended(store, jobs.submit(request("fails")))
    assert (said.state, said.exit_code, said.error) == ("failed", 1, "No good.")
    refused = ended(store, jobs.submit(request("ends", refused="The dataset is gone.")))
    assert (refused.state, refused.exit_code, refused.error) == ("failed", None, "The dataset is gone.")
    spoiled = ended(store, jobs.submit(request("ends", spoils=True)))
    assert (spoiled.state, spoiled.error) == ("failed", "What it made cannot be read.")
    assert ended(store, jobs.submit(request("ends"))).state == "completed"


def test_a_job_that_waits_is_cancelled_at_once(serve, store, tmp_path):
    jobs = serve()
    first = jobs.submit(request("waits", tmp_path / "go"))
    second = jobs.submit(request("ends"))
    running(store, first)
    assert jobs.cancel(second.id).state == "cancelled"
    (tmp_path / "go").touch()
    assert ended(store, first).state == "completed"
    assert store.job(second.id).started_at is None
    assert not Path(second.folder, "log.txt").exists()


def test_a_job_that_runs_is_asked_to_end_and_saves(serve, store, tmp_path):
    jobs = serve()
    job = running(store, jobs.submit(request("waits", tmp_path / "never")))
    assert jobs.cancel(job.id).state == "cancelling"
    done = ended(store, job)
    assert (done.state, done.exit_code, done.error) == ("cancelled", 130, None)
    assert Path(job.folder, "log.txt").read_text(encoding="utf-8").endswith("saved\n")
    assert jobs.cancel(job.id).state == "cancelled"


def test_a_job_that_does_not_listen_is_killed(serve, store, tmp_path, monkeypatch):
    monkeypatch.setattr("clew.serve.jobs._PATIENCE", 0.3)
    jobs = serve()
    job = running(store, jobs.submit(request("deaf", tmp_path / "never")))
    jobs.cancel(job.id)
    assert ended(store, job).state == "cancelled"
    assert begun(job.pid) != job.pid_started


def test_what_is_over_cannot_be_cancelled(serve, store):
    jobs = serve()
    for kind in ("ends", "fails"):
        job = ended(store, jobs.submit(request(kind)))
        with pytest.raises(ConflictError, match="already"):
            jobs.cancel(job.id)


def test_a_job_outlives_the_server_and_the_next_one_finds_it(serve, store, tmp_path):
    first = serve()
    job = running(store, first.submit(request("waits", tmp_path / "go")))
    waits = first.submit(request("ends"))
    first.close()
    assert begun(job.pid) == job.pid_started
    second = serve()
    time.sleep(0.3)
    assert store.job(job.id).state == "running"
    (tmp_path / "go").touch()
    assert (ended(store, job).state, store.job(job.id).exit_code) == ("completed", 0)
    assert ended(store, waits).state == "completed"
    second.close()


def test_a_job_that_ended_while_no_server_was_there_is_told_by_what_it_left(serve, store, tmp_path):
    for kind, state in (("waits", "completed"), ("waits", "failed")):
        jobs = serve()
        go = tmp_path / f"go-{state}"
        job = running(store, jobs.submit(request(kind, go)))
        jobs.close()
        if state == "completed":
            go.touch()
        else:
            os.kill(job.pid, signal.SIGKILL)
        until(lambda pid=job.pid, then=job.pid_started: begun(pid) != then)
        jobs = serve()
        done = ended(store, job)
        assert done.state == state
        assert (done.error is None) == (state == "completed")
        if state == "failed":
            assert done.error.startswith("The process was found dead")
        jobs.close()


def test_a_cancelled_job_is_cancelled_by_the_next_server_too(serve, store, tmp_path):
    first = serve()
    job = running(store, first.submit(request("waits", tmp_path / "never")))
    first.close()
    assert first.cancel(job.id).state == "cancelling"
    serve()
    assert ended(store, job).state == "cancelled"


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it(serve, store):
    jobs = serve()
    jobs.close()
    job = store.add_job(request("ends"), state="running", folder=str(jobs._folder / "x"))
    store.update_job(job.id, pid=os.getpid(), pid_started="another boot:1")
    serve()
    assert ended(store, job).error.startswith("The process was found dead")


def test_a_job_that_had_no_leave_when_its_server_was_killed_begins_anew(serve, store, tmp_path, monkeypatch):
    first = serve()
    # The server is killed between the note of the process and the leave to go.
    monkeypatch.setattr(processes.Started, "let_go", lambda self: self._popen.stdin.close())
    job = first.submit(request("ends"))
    until(lambda: store.job(job.id).pid)
    first.close()
    monkeypatch.undo()
    assert not began(job)
    # Before there was a process at all.
    bare = store.add_job(request("ends"), state="starting", folder=str(tmp_path / "jobs" / "bare"))
    store.update_job(bare.id, folder=str(tmp_path / "jobs" / bare.id))
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-S", str(tmp_path / "child.py")))
    serve()
    for each in (job, bare):
        assert ended(store, each).state == "completed"


def test_two_servers_do_not_look_after_the_same_runs(serve):
    serve()
    with pytest.raises(UsageError, match="Another server"):
        serve()


def test_a_database_that_is_away_for_a_while_costs_no_job(serve, store, monkeypatch):
    monkeypatch.setattr("clew.serve.jobs._TRIES_AGAIN", 0.1)
    jobs = serve()
    true = TraceStore.claim_job

    def fails(self, **_):
        raise ClewError("The database does not answer.")

    monkeypatch.setattr(TraceStore, "claim_job", fails)
    job = jobs.submit(request("ends"))
    time.sleep(0.3)
    assert store.job(job.id).state == "queued"
    monkeypatch.setattr(TraceStore, "claim_job", true)
    assert ended(store, job).state == "completed"
