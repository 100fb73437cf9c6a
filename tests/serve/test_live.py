"""`clew serve` as a process: clients that hang up, a server that is killed, how it starts and ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from clew.cli.main import main
from clew.traces.store import TraceStore
from live_server import LiveServer

pytest_plugins = ("serving",)

TRACE = {"trace_version": "1", "prompt": "p", "final_answer": "a", "steps": [{"i": 0, "type": "t", "content": "c"}]}


def call(url, value=None, headers=None):
    """The JSON that a server answers."""
    data = None if value is None else json.dumps(value).encode()
    wanted = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(wanted, timeout=30) as answer:
        return json.load(answer)


def count(server):
    with TraceStore.open(server.folder / "data" / "traces.db", create=False) as store:
        return store.count()


def hung_up(server, path, content_type, body, length):
    """Send a part of a body that is told to be longer, and go away."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = [
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        time.sleep(0.05)


def test_a_client_that_hangs_up_leaves_nothing_half_done(live):
    call(f"{live.url}/api/traces", TRACE)
    before = count(live)
    line = json.dumps(TRACE) + "\n"
    form = ('--b\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n' + line * 5000).encode()
    hung_up(live, "/api/datasets/ingest", "multipart/form-data; boundary=b", form, 10 * len(form))
    # All lines are there, and the end of the form is not.
    hung_up(live, "/api/datasets/ingest", "multipart/form-data; boundary=b", form, len(form) + 5)
    batch = json.dumps([TRACE] * 500).encode()
    hung_up(live, "/api/traces/batch", "application/json", batch[:-1], len(batch))
    hung_up(live, "/api/traces", "application/json", b'{"trace', 100)
    time.sleep(0.3)
    assert count(live) == before
    assert call(f"{live.url}/api/traces", TRACE)["trace_version"] == "1"
    assert count(live) == before + 1


def test_a_client_that_leaves_an_export_or_a_log_holds_nothing_up(live):
    call(f"{live.url}/api/traces/batch", [TRACE] * 1000)
    call(f"{live.url}/api/datasets/build", {"dataset_name": "left", "dataset_version": "1", "limit": 1000})
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
            connection.sendall(b"GET /api/datasets/left-1/export.jsonl HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            connection.recv(100)
    assert call(f"{live.url}/api/health")["status"] == "healthy"
    with urllib.request.urlopen(f"{live.url}/api/datasets/left-1/export.jsonl", timeout=30) as answer:
        assert len(answer.read().splitlines()) == 1000


def test_an_export_that_fails_half_way_is_broken_off(live):
    """Its last traces are changed by hand: the first go out before that is found."""
    batch = [{**TRACE, "prompt": f"{number} " + "p" * 2000} for number in range(1000)]
    for _ in range(3):
        call(f"{live.url}/api/traces/batch", batch)
    call(f"{live.url}/api/datasets/build", {"dataset_name": "broken", "dataset_version": "1", "limit": 3000})
    with TraceStore.open(live.folder / "data" / "traces.db") as store, store.database.writing() as connection:
        connection.exec_driver_sql(
            """UPDATE traces SET content = replace(content, '"final_answer":"a"', '"final_answer":"b"') """
            "WHERE number = (SELECT max(number) - 2500 FROM traces)"
        )
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", f"{live.url}/api/datasets/broken-1/export.jsonl"], capture_output=True
    )
    assert done.returncode != 0
    assert 0 < len(done.stdout.splitlines()) < 3000


def test_what_was_answered_is_there_after_a_kill(tmp_path):
    answered = []
    for _ in range(2):
        with LiveServer(tmp_path) as server:
            for number in range(15):
                made = call(f"{server.url}/api/traces/batch", [{**TRACE, "final_answer": f"{number}"}] * 3)
                answered += [each["id"] for each in made["traces"]]
            hung_up(server, "/api/traces", "application/json", json.dumps(TRACE).encode(), len(json.dumps(TRACE)))
            server.kill()
    with TraceStore.open(tmp_path / "data" / "traces.db") as store:
        kept = {each.id for each in store.iterate()}
        assert set(answered) <= kept
        assert len(kept) in range(len(answered), len(answered) + 3)


def test_it_ends_when_it_is_asked_to(tmp_path):
    with LiveServer(tmp_path) as server:
        call(f"{server.url}/api/traces", TRACE)
        assert server.end() == 0


def test_nothing_of_torch_is_loaded(tmp_path):
    program = (
        "import sys; import clew.serve.listening, clew.cli.traces.serve\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'onnxruntime', 'transformers', 'numba', "
        "'scipy', 'matplotlib', 'alembic'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_this_machine_a_token_is_required(tmp_path, capsys, monkeypatch, host):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLEW_TOKEN", raising=False)
    assert main(["serve", "--host", host, "--port", "0"]) == 2
    assert "a token is required" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_token_from_the_environment_guards_and_is_printed_nowhere(tmp_path):
    token = "t0ken-of-many-signs-0123"
    with LiveServer(tmp_path, "--host", "0.0.0.0", env={"CLEW_TOKEN": token}) as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            call(f"{server.url}/api/traces")
        assert refused.value.code == 401
        assert call(f"{server.url}/api/traces", headers={"Authorization": f"Bearer {token}"})["data"] == []
        assert server.end() == 0
        assert token not in server.said + server.process.stdout.read()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "70000"], "--port is 70000"),
        (["--host", "no.such.host.invalid", "--token", "x" * 20], "There is no address"),
        (["--db", "mysql://here/there"], "'mysql://' is none of them"),
        (["--token", "short"], "16 characters"),
    ],
)
def test_what_is_wrong_with_the_call_is_told(tmp_path, capsys, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *(["--port", "0"] if "--port" not in flags else []), *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(live, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", str(live.port)]) == 1
    assert "something listens there already" in capsys.readouterr().err
