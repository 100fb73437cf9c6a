"""What is wrong is told with the status code of the contract and a sentence: never a 500, never a traceback."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clew.core.errors import ClewError
from clew.serve.app import create_app
from clew.serve.house import open_house
from clew.traces.schema import MOST_BYTES
from clew.traces.store import TraceStore

pytest_plugins = ("serving",)

STEP = {"i": 0, "type": "t", "content": "c"}
TRACE = {"trace_version": "1", "prompt": "p", "final_answer": "a", "steps": [STEP]}
JSON = {"Content-Type": "application/json"}
BUILD = {"dataset_name": "n", "dataset_version": "1"}
NOWHERE = "00000000-0000-4000-8000-000000000000"


def told(answer, status):
    """The sentence of a fault."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()["detail"]
    assert isinstance(said, str)
    assert said
    assert said.endswith((".", "?", "`"))
    assert "Traceback" not in answer.text
    return said


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": [STEP, STEP]},
        {"steps": [{**STEP, "i": -1}]},
        {"steps": [{**STEP, "i": "0"}]},
        {"steps": [{**STEP, "i": 10**30}]},
        {"steps": [{**STEP, "i": n} for n in range(1001)]},
        {"steps": [{**STEP, "type": "t" * 65}]},
        {"steps": [{**STEP, "content": "c" * 20_001}]},
        {"steps": [{**STEP, "content": ""}]},
        {"steps": [{**STEP, "more": 1}]},
        {"steps": {"0": STEP}},
        {"prompt": ""},
        {"prompt": "p" * 50_001},
        {"prompt": 3},
        {"prompt": "zero \0 byte"},
        {"final_answer": "a" * 50_001},
        {"trace_version": ""},
        {"trace_version": "v" * 65},
        {"meta": [1]},
        {"more": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_body_that_breaks_the_schema_is_422(client, house, change):
    said = told(client.post("/api/traces", json={**TRACE, **change}), 422)
    assert next(iter(change)) in said.lower()
    told(client.post("/api/traces/batch", json=[TRACE, {**TRACE, **change}]), 422)
    assert house.store.count() == 0


NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
UNFIT = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"prompt": "\xff"}',
    "half a surrogate pair": json.dumps({**TRACE, "prompt": "\ud800"}).encode(),
    "half a pair in the meta": json.dumps({**TRACE, "meta": {"a": "\udfff"}}).encode(),
    "NaN": b'{"meta": {"a": NaN}}',
    "past the largest number": json.dumps({**TRACE, "meta": {"a": 1}}).replace("1}", "1e999}").encode(),
    "thousands of digits": json.dumps({**TRACE, "meta": {"a": 1}}).replace("1}", "9" * 5000 + "}").encode(),
    "nested": NESTED,
    "nested lists": b"[" * 100_000,
    "nested meta": json.dumps(TRACE)
    .encode()
    .replace(b'{"trace_version"', b'{"meta": ' + NESTED + b', "trace_version"'),
    "a number": b"7",
    "a text": b'"trace"',
    "null": b"null",
}


@pytest.mark.parametrize("body", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize("path", ["/api/traces", "/api/datasets/build", "/api/tunix/run", "/api/regression/baselines"])
def test_a_body_that_is_no_fit_json_is_422(client, house, path, body):
    told(client.post(path, content=body, headers=JSON), 422)
    assert house.store.count() == 0


def test_big_and_strange_values_that_json_can_hold_are_kept(client):
    meta = {"big": 10**300, "tiny": 5e-324, "text": "\u2028 \U0001f600 \x7f", "": {"": []}, "negative": -(2**70)}
    made = client.post("/api/traces", json={**TRACE, "meta": meta})
    assert made.status_code == 201
    assert client.get(f"/api/traces/{made.json()['id']}").json()["payload"]["meta"] == meta


def test_what_needs_json_says_so_when_it_is_sent_as_something_else(client):
    said = told(client.post("/api/traces", content=json.dumps(TRACE), headers={"Content-Type": "text/plain"}), 422)
    assert "Content-Type: application/json" in said


def test_an_empty_batch_is_400_and_one_of_too_many_422(client):
    told(client.post("/api/traces/batch", json=[]), 400)
    told(client.post("/api/traces/batch", json=[TRACE] * 1001), 422)


def test_a_trace_past_1_mib_is_413_wherever_it_comes(client, house):
    large = {**TRACE, "steps": [{**STEP, "i": n, "content": "c" * 20_000} for n in range(60)]}
    assert len(json.dumps(large)) > MOST_BYTES
    told(client.post("/api/traces", json=large), 413)
    said = told(client.post("/api/traces/batch", json=[TRACE, large]), 413)
    assert "Trace 2" in said
    assert house.store.count() == 0


def test_bodies_past_their_limits_are_413_with_and_without_a_length(client):
    batch = [{**TRACE, "prompt": "p" * 50_000} for _ in range(400)]
    content = json.dumps(batch).encode()
    assert len(content) > 16 * MOST_BYTES
    assert "16 MiB" in told(client.post("/api/traces/batch", content=content, headers=JSON), 413)
    pieces = (content[place : place + 2**16] for place in range(0, len(content), 2**16))
    assert "16 MiB" in told(client.post("/api/traces/batch", content=pieces, headers=JSON), 413)
    told(client.post("/api/regression/check", content=b" " * (MOST_BYTES + 1), headers=JSON), 413)


@pytest.mark.parametrize(
    "change",
    [
        {"selection_strategy": "random"},
        {"selection_strategy": "best"},
        {"dataset_name": ""},
        {"dataset_name": "n" * 129},
        {"dataset_name": "a/b"},
        {"dataset_version": "v" * 65},
        {"limit": 0},
        {"limit": 10_001},
        {"seed": 1.5},
        {"filters": []},
        {"filters": {"category": "none has it"}},
    ],
    ids=str,
)
def test_datasets_that_cannot_be_built_are_422(client, change):
    client.post("/api/traces", json=TRACE)
    told(client.post("/api/datasets/build", json={**BUILD, **change}), 422)


def test_an_empty_store_makes_no_dataset(client):
    assert "no traces" in told(client.post("/api/datasets/build", json=BUILD), 422)


def test_an_unknown_format_is_422(client):
    client.post("/api/traces", json=TRACE)
    client.post("/api/datasets/build", json=BUILD)
    assert "trace, tunix_sft, training_example" in told(client.get("/api/datasets/n-1/export.jsonl?format=csv"), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/traces/{NOWHERE}"),
        ("GET", "/api/traces/no-uuid"),
        ("GET", "/api/traces/%00"),
        ("GET", "/api/traces/%ff"),
        ("GET", f"/api/traces/compare?base={NOWHERE}&other={NOWHERE}"),
        ("POST", f"/api/traces/{NOWHERE}/score"),
        ("GET", "/api/datasets/none-1"),
        ("GET", "/api/datasets/none-1/export.jsonl"),
        ("GET", f"/api/ungar/high-card-duel/export.jsonl?trace_ids={NOWHERE}"),
        ("POST", "/api/generators/none/generate"),
        ("GET", f"/api/tunix/runs/{NOWHERE}"),
        ("GET", f"/api/tunix/runs/{NOWHERE}/status"),
        ("GET", f"/api/tunix/runs/{NOWHERE}/logs"),
        ("GET", f"/api/tunix/runs/{NOWHERE}/artifacts"),
        ("GET", f"/api/tunix/runs/{NOWHERE}/artifacts/model"),
        ("GET", f"/api/tunix/runs/{NOWHERE}/metrics"),
        ("POST", f"/api/tunix/runs/{NOWHERE}/cancel"),
        ("POST", f"/api/tunix/runs/{NOWHERE}/evaluate"),
        ("POST", "/api/tunix/run"),
        ("POST", "/api/regression/baselines"),
        ("POST", "/api/regression/check"),
        ("GET", "/api/nothing"),
        ("GET", "/"),
    ],
)
def test_what_is_not_there_is_404(client, method, path):
    bodies = {
        "/score": {"criteria": "steps"},
        "/generate": {"count": 1},
        "/run": {"dataset_key": "none-1"},
        "/baselines": {"name": "n", "evaluation_id": NOWHERE},
        "/check": {"baseline": "n", "evaluation_id": NOWHERE},
    }
    body = next((each for end, each in bodies.items() if path.endswith(end)), None)
    told(client.request(method, path, json=body), 404)


@pytest.mark.parametrize(
    "path",
    ["?limit=0", "?limit=101", "?limit=x", "?offset=-1", "?offset=1e3", f"?offset={2**63}", f"?offset={10**40}"],
)
def test_pages_that_cannot_be_are_422(client, path):
    told(client.get(f"/api/traces{path}"), 422)


def test_a_method_that_a_path_does_not_take_is_405(client):
    answer = client.delete("/api/traces")
    assert "does not take DELETE" in told(answer, 405)
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "upload",
    [
        {"files": {"file": ("f", b"")}},
        {"files": {"file": ("f", b"\n\n")}},
        {"files": {"file": ("f", b"\xff\xfe")}},
        {"files": {"file": ("f", b"[" * 100_000)}},
        {"files": {"file": ("f", b'{"a":' * 10_000)}},
        {"files": {"file": ("f", b"\0" * 1000)}},
        {"files": {"other": ("f", b"{}")}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"content": b"--b\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ],
    ids=str,
)
def test_uploads_without_traces_are_told(client, house, upload):
    answer = client.post("/api/datasets/ingest", **upload)
    told(answer, answer.status_code)
    assert answer.status_code in (400, 422)
    assert house.store.count() == 0


def test_an_upload_without_a_boundary_is_400(client):
    told(client.post("/api/datasets/ingest", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON_VALUES | st.just(value)
        for name, value in {**TRACE, "meta": None, "dataset_name": "n", "dataset_version": "1", "limit": 3}.items()
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=FIELDS | JSON_VALUES)
def test_whatever_is_sent_is_kept_or_told_in_a_sentence(client, body):
    for path, value in (("/api/traces", body), ("/api/traces/batch", [body, body]), ("/api/datasets/build", body)):
        answer = client.post(path, content=json.dumps(value), headers=JSON)
        assert answer.status_code in (201, 409, 422), answer.text
        if answer.status_code != 201:
            told(answer, answer.status_code)


def test_a_database_that_is_gone_is_503(tmp_path):
    with TraceStore.open(tmp_path / "traces.db") as store:
        client = TestClient(
            create_app(open_house(store, tmp_path / "runs")), base_url="http://localhost", raise_server_exceptions=False
        )
        assert client.post("/api/traces", json=TRACE).status_code == 201
        for path in tmp_path.glob("traces.db*"):
            if path.is_file():
                path.rename(tmp_path / f"away-{path.name}")
        told(client.post("/api/traces", json=TRACE), 503)
        told(client.get("/api/traces"), 503)


def test_a_database_that_is_no_database_any_more_is_no_500(tmp_path):
    with TraceStore.open(tmp_path / "traces.db") as store:
        client = TestClient(
            create_app(open_house(store, tmp_path / "runs")), base_url="http://localhost", raise_server_exceptions=False
        )
        client.post("/api/traces", json=TRACE)
        store.database.engine.dispose()
        for path in tmp_path.glob("traces.db-*"):
            if path.is_file():
                path.unlink()
        with (tmp_path / "traces.db").open("r+b") as file:
            file.write(b"no database" * 1000)
        answer = client.get("/api/traces")
        assert answer.status_code in (409, 503)
        told(answer, answer.status_code)


def test_a_database_that_cannot_grow_is_503_and_what_was_answered_stays(client, house):
    made = client.post("/api/traces", json=TRACE).json()
    with house.store.database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    house.store.database.engine.dispose()
    from sqlalchemy import event

    def limit(connection, record):
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(house.store.database.engine, "connect", limit)
    said = told(client.post("/api/traces", json={**TRACE, "prompt": "p" * 50_000}), 503)
    assert "full" in said
    assert client.get(f"/api/traces/{made['id']}").status_code == 200


def test_a_disk_that_refuses_a_manifest_leaves_no_dataset(client, house):
    client.post("/api/traces", json=TRACE)
    folder = house.store.datasets_folder
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be", encoding="utf-8")
    told(client.post("/api/datasets/build", json=BUILD), 503)
    told(client.get("/api/datasets/n-1"), 404)


def test_a_bug_is_told_in_a_sentence_too_and_logged(client, house, monkeypatch, caplog):
    def fails(self, *_):
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(TraceStore, "page", fails)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/api/traces")
    assert "a secret" not in told(answer, 500)


def test_no_password_is_told(client, monkeypatch):
    def fails(self, *_):
        raise ClewError("postgresql://user:secret@host/db is gone.")

    monkeypatch.setattr(TraceStore, "page", fails)
    assert "secret" not in told(client.get("/api/traces"), 503)
