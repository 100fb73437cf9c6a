"""Datasets over HTTP: built once, exported alike for ever, refused when they are another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from clew.traces.tables import TRACES

pytest_plugins = ("serving",)

SUMS = {"dataset_name": "sums", "dataset_version": "1"}


@pytest.fixture
def ids(client):
    """Ids of five traces, the oldest first; the last has no meta."""
    batch = [
        {
            "trace_version": "1.0",
            "prompt": f"What is {number} + 1?",
            "final_answer": str(number + 1),
            "steps": [{"i": 0, "type": "add", "content": f"{number} + 1 = {number + 1}"}] * 1,
            "meta": None if number == 4 else {"category": "even" if number % 2 == 0 else "odd"},
        }
        for number in range(5)
    ]
    return [each["id"] for each in client.post("/api/traces/batch", json=batch).json()["traces"]]


def test_a_dataset_is_built_of_the_newest_traces_and_its_manifest_says_so(client, ids):
    answer = client.post(
        "/api/datasets/build", json={**SUMS, "limit": 3, "session_id": "s", "provenance": {"by": "me"}}
    )
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"dataset_key", "build_id", "trace_count", "manifest_path"}
    assert (made["dataset_key"], made["trace_count"]) == ("sums-1", 3)
    manifest = json.loads(Path(made["manifest_path"]).read_text(encoding="utf-8"))
    assert set(manifest) == {
        "dataset_key", "build_id", "dataset_name", "dataset_version", "dataset_schema_version", "created_at", "filters",
        "selection_strategy", "seed", "trace_ids", "trace_count", "stats", "session_id", "parent_dataset_id",
        "training_run_id", "provenance", "content_sha256",
    }  # fmt: skip
    assert set(manifest["stats"]) == {
        "trace_count", "avg_step_count", "min_step_count", "max_step_count", "avg_total_chars",
    }  # fmt: skip
    assert manifest["build_id"] == made["build_id"]
    assert manifest["trace_ids"] == ids[:1:-1]
    assert (manifest["session_id"], manifest["provenance"]) == ("s", {"by": "me"})
    assert client.get("/api/datasets/sums-1").json() == manifest


def test_filters_pass_by_traces_without_meta(client, ids):
    made = client.post("/api/datasets/build", json={**SUMS, "filters": {"category": "odd"}}).json()
    assert made["trace_count"] == 2


def test_the_same_build_is_the_same_dataset_and_another_one_is_refused(client, ids):
    first = client.post("/api/datasets/build", json=SUMS).json()
    again = client.post("/api/datasets/build", json=SUMS)
    assert (again.status_code, again.json()) == (201, first)
    other = client.post("/api/datasets/build", json={**SUMS, "limit": 2})
    assert other.status_code == 409
    assert "choose another version" in other.json()["detail"].lower()
    assert client.get("/api/datasets/sums-1").json()["trace_count"] == 5


def test_exports_are_alike_from_one_to_the_next_in_each_form(client, ids):
    client.post("/api/datasets/build", json={**SUMS, "limit": 2})
    keys = {
        "trace": {"id", "prompts", "trace_steps", "final_answer", "metadata"},
        "tunix_sft": {"id", "prompts", "final_answer", "metadata"},
        "training_example": {"id", "prompt", "response", "metadata"},
    }
    for form, expected in keys.items():
        answers = [client.get(f"/api/datasets/sums-1/export.jsonl?format={form}") for _ in range(2)]
        assert answers[0].headers["content-type"].startswith("application/x-ndjson")
        assert answers[0].content == answers[1].content
        rows = [json.loads(line) for line in answers[0].text.splitlines()]
        assert [row["id"] for row in rows] == ids[:2:-1]
        assert all(set(row) == expected for row in rows)
        assert all(row["metadata"]["format"] == form for row in rows)
    sft = json.loads(client.get("/api/datasets/sums-1/export.jsonl?format=tunix_sft").text.splitlines()[1])
    assert sft["prompts"] == (
        "<start_of_turn>user\nWhat is 3 + 1?<end_of_turn>\n"
        "<start_of_turn>model\nReasoning:\n1. 3 + 1 = 4\nAnswer: 4<end_of_turn>"
    )


def test_a_dataset_that_was_changed_by_hand_is_not_exported(client, house, ids):
    client.post("/api/datasets/build", json=SUMS)
    with house.store.database.writing() as connection:
        content = connection.execute(sa.select(TRACES.c.content).where(TRACES.c.id == ids[4])).scalar_one()
        changed = content.replace('"final_answer":"5"', '"final_answer":"6"')
        connection.execute(sa.update(TRACES).where(TRACES.c.id == ids[4]).values(content=changed))
    answer = client.get("/api/datasets/sums-1/export.jsonl")
    assert answer.status_code == 409
    assert "was changed in the database" in answer.json()["detail"]


@pytest.mark.parametrize("form", ["trace", "tunix_sft", "training_example"])
def test_what_was_exported_can_be_uploaded(client, house, ids, form):
    client.post("/api/datasets/build", json=SUMS)
    content = client.get(f"/api/datasets/sums-1/export.jsonl?format={form}").content
    answer = client.post("/api/datasets/ingest", files={"file": ("rows.jsonl", content)})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"ingested_count", "trace_ids"}
    assert made["ingested_count"] == 5
    assert not set(made["trace_ids"]) & set(ids)
    first = client.get(f"/api/traces/{made['trace_ids'][0]}").json()["payload"]
    assert (first["final_answer"], first["steps"][0]["content"]) == ("5", "4 + 1 = 5")
    assert house.store.count() == 10


def test_a_bad_line_is_named_and_nothing_is_imported(client, house, ids):
    good = (
        '{"trace_version": "1", "prompt": "p", "final_answer": "a", "steps": [{"i": 0, "type": "t", "content": "c"}]}'
    )
    content = f'{good}\n{good}\n{{"prompt": 3}}\n{good}\n[]\n'
    answer = client.post("/api/datasets/ingest", files={"file": ("mine.jsonl", content)})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("mine.jsonl:3:")
    assert house.store.count() == 5


def test_a_path_of_the_server_is_no_upload(client, tmp_path):
    secret = tmp_path / "secret.jsonl"
    secret.write_text("secret\n", encoding="utf-8")
    for answer in (
        client.post("/api/datasets/ingest", json={"path": str(secret)}),
        client.post("/api/datasets/ingest", data={"file": str(secret)}),
        client.post("/api/datasets/ingest", data={"path": str(secret)}),
    ):
        assert answer.status_code == 422
        assert "secret\n" not in answer.text
