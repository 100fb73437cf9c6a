"""A private PostgreSQL server in a temporary folder, started from the binaries that the system has."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "s3cret/ täg@1"
"""With signs that a URL must escape."""
QUOTED_PASSWORD = "s3cret%2F%20t%C3%A4g%401"


class NoPostgresError(Exception):
    """The system has no PostgreSQL binaries."""


def binaries() -> Path:
    """The folder of initdb and postgres, the newest. Raises `NoPostgresError`."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    for name in ("initdb",):
        if which := shutil.which(name):
            found.append(Path(which).resolve().parent)
    if not found:
        raise NoPostgresError(
            "PostgreSQL is not installed: neither /usr/lib/postgresql/*/bin/initdb nor initdb on the PATH. Install it, "
            "on Debian and Ubuntu with `apt-get install postgresql`, on a Mac with `brew install postgresql`."
        )
    return max(found, key=lambda path: [int(part) for part in path.parent.name.split(".") if part.isdigit()])


class Server:
    """A server on a free port of this machine; `url(database)` names a database in it."""

    def __init__(self) -> None:
        self._binaries = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="clew-postgres-"))
        # The server refuses to run as root, so there it runs as a user who owns nothing else.
        self._user = _plain_user() if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        if self._user is not None:
            shutil.chown(password, self._user)
        self._run(
            "initdb", "--no-sync", "--username=clew", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256",
            f"--pwfile={password}", str(self._folder / "data"),
        )  # fmt: skip
        self.port = _free_port()
        self._places = 0
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            user=self._user, cwd=self._folder, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout[-1000:]} {done.stderr[-1000:]}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F -c shared_buffers=32MB -c max_connections=50"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-o", settings, "-l", log, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is what a crash does."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", mode, "stop")

    def url(self, database: str) -> str:
        """The URL of a database, with the password."""
        return f"postgresql://clew:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a place of its own, empty: a schema, since databases are megabytes each."""
        import psycopg

        self._places += 1
        name = f"replay{self._places}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}?options=-csearch_path%3D{name}"

    def close(self) -> None:
        """Stop it and remove its folder."""
        with contextlib.suppress(RuntimeError):
            self.stop("immediate")
        for _ in range(50):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                return
            time.sleep(0.1)


def _plain_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NoPostgresError("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
