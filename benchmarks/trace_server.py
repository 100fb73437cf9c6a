"""`clew serve` under load, on loopback: what is lost, how long answers take, how much memory an export needs.

    python benchmarks/trace_server.py           # a minute or two: 10 s of clients, 100,000 traces exported, 5 kills
    python benchmarks/trace_server.py --full    # 60 s of clients, 1,000,000 traces exported, 20 kills

A hundred clients, half of them writing, each on a connection of its own; whatever was answered with 201 is looked up
in the database afterwards, by id and by hash. The clients are one process that waits on all of them, so that what is
measured is the server, as far as two cores allow.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import emit, figure, say

from clew.core.files import canonical_json, sha256_of
from clew.traces.datasets import BuildRequest, build
from clew.traces.generators import find_generator
from clew.traces.schema import Trace
from clew.traces.store import TraceStore

CLIENTS = 100
BATCH = 1_000


class Server:
    """`clew serve` on a free port, over `folder/traces.db`."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "traces.db"
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", "serve", "--port", "0", "--db", str(self.db), "--runs-dir",
             str(folder / "runs")],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        found = re.search(r"http://127.0.0.1:(\d+)", said)
        if found is None:
            raise SystemExit(f"the server did not start: {said}{self.process.stderr.read()}")
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.005)
        self.start_seconds = time.perf_counter() - begun

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Resident memory now, or at its highest ("VmHWM")."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def forget_peak(self) -> None:
        """Let the highest memory be counted from now on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait."""
        self.process.send_signal(number)
        self.process.wait(timeout=60)
        assert self.process.stderr is not None
        self.process.stderr.close()


def traces(count: int, seed: int) -> list[dict[str, Any]]:
    """Traces as a client writes them, no two alike."""
    made = find_generator("arithmetic").traces(min(count, 20_000), seed)
    kinds = [each.model_dump(mode="json") for each in made]
    return [
        {**kinds[number % len(kinds)], "meta": {**kinds[number % len(kinds)]["meta"], "number": number, "run": seed}}
        for number in range(count)
    ]


def hash_of(trace: dict[str, Any]) -> str:
    """As the store has it."""
    return sha256_of(canonical_json(Trace.model_validate(trace).model_dump()))


class Client:
    """One connection, one request at a time (HTTP/1.1, kept open)."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and content of an answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        head_said = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", head_said)
        assert length is not None, head_said
        return int(head_said.split()[1]), await self._reader.readexactly(int(length[1]))


async def load(port: int, seconds: float) -> tuple[dict[str, str], list[float], list[float], int]:
    """A hundred clients for so long: id -> hash of what was answered as written, latencies (writes, reads), errors."""
    written: dict[str, str] = {}
    writes: list[float] = []
    reads: list[float] = []
    errors = 0
    kinds = traces(2_000, seed=1)
    ends = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal errors
        count = 0
        async with Client(port) as connection:
            while time.perf_counter() < ends:
                count += 1
                if number % 2 == 0:
                    trace = dict(kinds[(number * 7919 + count) % len(kinds)])
                    trace["meta"] = {**trace["meta"], "client": number, "count": count}
                    body = json.dumps(trace).encode()
                    begun = time.perf_counter()
                    status, content = await connection.ask("POST", "/api/traces", body)
                    writes.append(time.perf_counter() - begun)
                    if status == 201:
                        written[json.loads(content)["id"]] = hash_of(trace)
                else:
                    known = next(reversed(written), None)
                    path = f"/api/traces/{known}" if known and count % 2 else "/api/traces?limit=20"
                    begun = time.perf_counter()
                    status, content = await connection.ask("GET", path)
                    reads.append(time.perf_counter() - begun)
                errors += status not in (200, 201)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return written, writes, reads, errors


def kept(db: Path) -> Iterator[tuple[str, str]]:
    """Id and hash of what the database holds, the hash of what stands there now."""
    with TraceStore.open(db, create=False) as store:
        for each in store.iterate():
            yield each.id, sha256_of(each.content)


def lost(written: dict[str, str], db: Path) -> int:
    """How many traces that were answered as written are not there, or are others."""
    there = dict(kept(db))
    return sum(there.get(trace_id) != sha256 for trace_id, sha256 in written.items())


def at(share: float, values: list[float]) -> float:
    """A quantile, in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def post(url: str, value: Any) -> Any:
    """What is answered to JSON."""
    wanted = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(wanted, timeout=120) as answer:
        return json.load(answer)


def killed(folder: Path, times: int) -> int:
    """Kill the server during writes, so often; how many answered writes are not there."""
    written: dict[str, str] = {}
    kinds = traces(500, seed=2)
    for number in range(times):
        server = Server(folder)

        def write(number: int = number, server: Server = server) -> None:
            count = 0
            while True:
                count += 1
                batch = [{**each, "meta": {"kill": number, "count": count}} for each in kinds[count % 400 :][:20]]
                try:
                    made = post(f"{server.url}/api/traces/batch", batch)
                except (OSError, ValueError, http.client.HTTPException):
                    return  # the server was killed: nothing was answered
                answered = zip(made["traces"], batch, strict=True)
                written.update((each["id"], hash_of(trace)) for each, trace in answered)

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        time.sleep(0.2 + 0.05 * (number % 7))
        server.end(signal.SIGKILL)
        for writer in writers:
            writer.join()
    say(f"killed {times} times with {len(written):,} traces answered")
    return lost(written, folder / "traces.db")


def export(server: Server, key: str, expected: int) -> tuple[float, float]:
    """Seconds of an export over HTTP, and the highest memory of the server meanwhile, in MB."""
    server.forget_peak()
    begun = time.perf_counter()
    lines = 0
    with urllib.request.urlopen(f"{server.url}/api/datasets/{key}/export.jsonl?format=tunix_sft", timeout=600) as rows:
        while piece := rows.read(2**20):
            lines += piece.count(b"\n")
    seconds = time.perf_counter() - begun
    if lines != expected:
        raise SystemExit(f"the export has {lines:,} lines of {expected:,}")
    return seconds, server.memory_mb("VmHWM")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="a minute of clients, a million traces, twenty kills")
    full = parser.parse_args().full
    seconds, rows, kills = (60.0, 1_000_000, 20) if full else (10.0, 100_000, 5)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        server = Server(folder)
        starts = []
        for _ in range(3):
            server.end()
            server = Server(folder)
            starts.append(server.start_seconds)
        say(f"starts: {', '.join(f'{each:.2f} s' for each in starts)}")
        time.sleep(1.0)
        before, begun = server.cpu_seconds(), time.perf_counter()
        time.sleep(5.0)
        idle_cpu = 100 * (server.cpu_seconds() - before) / (time.perf_counter() - begun)
        idle_mb = server.memory_mb()

        say(f"{CLIENTS} clients for {seconds:g} s, half of them writing")
        written, writes, reads, errors = asyncio.run(load(server.port, seconds))
        missing = lost(written, server.db)
        both = writes + reads
        say(f"{len(writes):,} writes (median {at(0.5, writes):.1f} ms), {len(reads):,} reads ({at(0.5, reads):.1f} ms)")

        batches = [json.dumps(part).encode() for part in _parts(traces(50_000, seed=3), BATCH)]
        say("50,000 traces in batches of 1,000")
        begun = time.perf_counter()
        for body in batches:
            wanted = urllib.request.Request(
                f"{server.url}/api/traces/batch", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(wanted, timeout=120) as answer:
                answer.read()
        import_seconds = time.perf_counter() - begun

        say(f"{rows:,} traces exported")
        with TraceStore.open(server.db) as store:
            missing_rows = rows - store.count()
            for start in range(0, missing_rows, 20_000):
                part = traces(min(20_000, missing_rows - start), seed=4)
                store.add([Trace.model_validate(each) for each in part])
            build(store, BuildRequest(dataset_name="all", dataset_version="1"), limit=rows)
        export_seconds, export_mb = export(server, "all-1", rows)
        server.end()

    with tempfile.TemporaryDirectory() as place:
        kills_lost = killed(Path(place), kills)

    emit(
        "trace_server",
        {
            "lost": figure(missing, "traces", target=0, better="lower"),
            "errors": figure(errors, "answers", target=0, better="lower"),
            "requests_per_second": figure(len(both) / seconds, "requests/s"),
            "writes_per_second": figure(len(writes) / seconds, "writes/s"),
            "p50_ms": figure(at(0.5, both), "ms", better="lower"),
            "p99_ms": figure(at(0.99, both), "ms", better="lower"),
            "import_seconds": figure(import_seconds, "s", target=10, better="lower"),
            "exported": figure(rows, "traces"),
            "export_seconds": figure(export_seconds, "s", better="lower"),
            "export_peak_mb": figure(export_mb, "MB", target=300, better="lower"),
            "start_seconds": figure(min(starts), "s", target=2, better="lower"),
            "idle_mb": figure(idle_mb, "MB", better="lower"),
            "idle_cpu": figure(idle_cpu, "% of a core", better="lower"),
            "kills": figure(kills, "kills"),
            "kills_lost": figure(kills_lost, "traces", target=0, better="lower"),
        },
    )


def _parts(values: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


if __name__ == "__main__":
    main()
