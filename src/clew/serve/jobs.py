"""Jobs: trainings and evaluations as child processes, one after the other, that outlive the server.

What is asked for stands in the database before it is answered. A server that starts finds what runs, says of what
died that it did, and goes on with the queue.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clew.core import files
from clew.core.errors import ClewError, UsageError
from clew.serve.processes import Process, Started
from clew.traces.evalset import Question, write_evalset
from clew.traces.moments import now
from clew.traces.records import Job
from clew.traces.schema import ConflictError
from clew.traces.store import TraceStore

WORKING = ("starting", "running", "cancelling")
OVER = ("completed", "failed", "cancelled")
LOG, ENDED, EVAL_SET = "log.txt", "ended.json", "evalset.jsonl"
_PATIENCE = 60.0
"""Seconds that a cancelled job has to save and end in."""
_LOOKS = 0.2
_TRIES_AGAIN = 5.0
_log = logging.getLogger("clew.serve")

Prepare = Callable[[Job], list[str]]
"""Writes what a job reads into its folder and gives the arguments of its `clew` command. Raises `ClewError`."""
Finished = Callable[[Job], None]
"""Takes what a job that is done has made. Raises `ClewError`, which fails the job."""


class Jobs:
    """The queue, and the one job that runs."""

    def __init__(self, store: TraceStore, folder: Path, prepare: Prepare, finished: Finished) -> None:
        """`folder`: where each job has a folder of its own, named by its id."""
        self._store, self._folder, self._prepare, self._finished = store, folder, prepare, finished
        self._started: dict[str, Started] = {}
        self._asked: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closing, self._news = False, False
        self._lock: int | None = None
        self._thread = threading.Thread(target=self._keep_looking, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to look after the jobs. Raises `UsageError` where another server does so in the same folder."""
        with files.sentences_for(self._folder, "make the folder"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise UsageError(
                f"Another server looks after the runs in {self._folder}. End it first, or choose another folder with "
                "--runs-dir."
            ) from None
        self._thread.start()

    def close(self) -> None:
        """Look after them no more. What runs goes on."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def folder_of(self, job: Job) -> Path:
        """Where the job keeps what it reads and its log."""
        return self._folder / job.id

    def log_of(self, job: Job) -> Path:
        """What the job says."""
        return self.folder_of(job) / LOG

    def submit(self, request: dict[str, Any], questions: Sequence[Question] | None = None) -> Job:
        """Put a job at the end of the queue. `questions` are laid into its folder."""
        job_id = str(uuid.uuid4())
        if questions:
            write_evalset(self._folder / job_id / EVAL_SET, questions)
        job = self._store.add_job(request, job_id=job_id, folder=str(self._folder / job_id))
        self._wake()
        return job

    def cancel(self, job_id: str) -> Job:
        """Have a job end: at once where it waits, soon where it runs. Raises `NotFoundError`, `ConflictError`."""
        job = (
            self._store.update_job(job_id, expected=["queued"], state="cancelled", ended_at=now())
            or self._store.update_job(job_id, expected=["starting", "running"], state="cancelling")
            or self._store.job(job_id)
        )
        if job.state in ("completed", "failed"):
            raise ConflictError(f"The run {job.id} is {job.state} already: there is nothing to cancel.")
        self._wake()
        return job

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify()

    def _keep_looking(self) -> None:
        while True:
            try:
                busy = self._look()
                pause = _LOOKS if busy else None
            except Exception as error:
                # A database that is gone comes back; nobody but this thread looks after the jobs.
                _log.error("jobs: %s", error, exc_info=not isinstance(error, ClewError))
                pause = _TRIES_AGAIN
            with self._changed:
                if not self._closing and not self._news:
                    self._changed.wait(pause)
                self._news = False
                if self._closing:
                    return

    def _look(self) -> bool:
        """Do what is due; whether a job runs now."""
        for job in self._store.jobs(states=WORKING):
            if not self._is_over(job):
                return True
        while (next_one := self._store.claim_job(working=WORKING)) is not None:
            if self._begin(next_one):
                return True
        return False

    def _begin(self, job: Job) -> bool:
        folder = self.folder_of(job)
        try:
            with files.sentences_for(folder, "make the folder"):
                folder.mkdir(parents=True, exist_ok=True)
            arguments = self._prepare(job)
            with files.sentences_for(folder, "write into"), (folder / LOG).open("ab") as log:
                (folder / ENDED).unlink(missing_ok=True)
                started = Started(arguments, folder / ENDED, log)
        except Exception as error:
            # Were it left as it is, it would be begun again and again.
            if not isinstance(error, ClewError):
                _log.exception("jobs: %s", job.id)
            told = (
                str(error) if isinstance(error, ClewError) else f"Clew itself failed: {type(error).__name__}: {error}."
            )
            self._close(job, "failed", error=told)
            return False
        self._started[job.id] = started
        process = {"pid": started.process.pid, "pid_started": started.process.begun, "started_at": now()}
        if not self._store.update_job(job.id, expected=["starting"], state="running", **process):
            self._store.update_job(job.id, expected=["cancelling"], **process)
        started.let_go()
        return True

    def _is_over(self, job: Job) -> bool:
        """Whether a job that was at work is no more, which is then written down."""
        started = self._started.get(job.id)
        if started is None and job.pid is None:
            # The server that began it ended before it had a process, or before that was written down.
            self._again(job)
            return True
        process = started.process if started else Process(job.pid or 0, job.pid_started or "")
        if started.poll() is None if started else process.running:
            if job.state == "cancelling":
                self._press(job, process)
            return False
        self._end(job, started.poll() if started else None)
        return True

    def _again(self, job: Job) -> None:
        """A job that did not begin after all waits once more, unless it was to end anyhow."""
        anew = {"pid": None, "pid_started": None, "started_at": None}
        if not self._store.update_job(job.id, expected=["starting", "running"], state="queued", **anew):
            self._close(job, "cancelled")

    def _close(self, job: Job, state: str, **fields: Any) -> None:
        """Write down how a job ended; one that was to be cancelled and did not come to its end was cancelled."""
        if not self._store.update_job(job.id, expected=["starting", "running"], state=state, ended_at=now(), **fields):
            state = "completed" if state == "completed" else "cancelled"
            fields.pop("error", None)
            self._store.update_job(job.id, expected=["cancelling"], state=state, ended_at=now(), **fields)

    def _press(self, job: Job, process: Process) -> None:
        """Ask once, and end what does not end in time."""
        if job.id not in self._asked:
            self._asked[job.id] = time.monotonic()
            process.ask_to_end()
        elif time.monotonic() - self._asked[job.id] > _PATIENCE:
            process.end()

    def _end(self, job: Job, polled: int | None) -> None:
        known, code = _exit_code(self.folder_of(job) / ENDED)
        if known and code is None:
            self._again(job)
        else:
            code = code if known else polled
            state, error = self._come_to(job, code)
            self._close(job, state, exit_code=code, error=error)
        self._started.pop(job.id, None)
        self._asked.pop(job.id, None)

    def _come_to(self, job: Job, code: int | None) -> tuple[str, str | None]:
        if code == 0:
            try:
                self._finished(job)
            except ClewError as error:
                return "failed", str(error)
            return "completed", None
        said = _last_error(self.log_of(job))
        if code is None:
            gone = "The process was found dead: it was killed, or the machine was restarted."
            return "failed", f"{gone} The last it said: {said}" if said else gone
        return "failed", said or f"It ended with the exit code {code}. Its log tells more."


def _exit_code(path: Path) -> tuple[bool, int | None]:
    """Whether the file is there, and the exit code in it."""
    if not files.is_file(path):
        return False, None
    code = files.read_json(path, what="how a job ended").get("exit_code")
    return True, code if isinstance(code, int) else None


def _last_error(log: Path) -> str | None:
    """The sentence that the command ended with."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2**16))
        for line in reversed(file.read().decode("utf-8", errors="replace").splitlines()):
            if line.startswith("clew: error: "):
                return line.removeprefix("clew: error: ")
    return None
