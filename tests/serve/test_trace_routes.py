"""Traces over HTTP: what the contract says, field for field."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from clew.traces.generators import find_generator

pytest_plugins = ("serving",)

TRACE = {
    "trace_version": "1.0",
    "prompt": "What is 27 + 35?",
    "final_answer": "62",
    "steps": [
        {"i": 4, "type": "carry", "content": "7 + 5 = 12"},
        {"i": 0, "type": "add", "content": "2 + 3 + 1 = 6"},
    ],
    "meta": {"category": "sum", "nested": {"deep": [1, 2.5, None, True, "ü"]}},
}


def changed(**fields: object) -> dict[str, object]:
    return {**TRACE, **fields}


def test_a_trace_is_kept_and_given_back_as_it_was(client):
    answer = client.post("/api/traces", json=TRACE)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"id", "created_at", "trace_version"}
    assert str(uuid.UUID(made["id"])) == made["id"]
    assert abs(datetime.fromisoformat(made["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    shown = client.get(f"/api/traces/{made['id']}")
    assert shown.status_code == 200
    assert shown.json() == {**made, "payload": TRACE}


@pytest.mark.parametrize("meta", [None, {}])
def test_meta_may_be_null_or_left_out(client, meta):
    made = client.post("/api/traces", json=changed(meta=meta)).json()
    assert client.get(f"/api/traces/{made['id']}").json()["payload"]["meta"] == meta
    bare = {name: value for name, value in TRACE.items() if name != "meta"}
    made = client.post("/api/traces", json=bare).json()
    assert client.get(f"/api/traces/{made['id']}").json()["payload"]["meta"] is None


def test_pages_are_the_newest_first_and_say_where_the_next_begins(client):
    ids = [client.post("/api/traces", json=changed(final_answer=str(number))).json()["id"] for number in range(5)]
    newest = ids[::-1]
    seen, offset = [], 0
    while offset is not None:
        page = client.get("/api/traces", params={"limit": 2, "offset": offset}).json()
        assert set(page) == {"data", "pagination"}
        assert page["pagination"]["limit"] == 2
        assert page["pagination"]["offset"] == offset
        assert all(set(each) == {"id", "created_at", "trace_version"} for each in page["data"])
        seen += [each["id"] for each in page["data"]]
        offset = page["pagination"]["next_offset"]
    assert seen == newest
    assert client.get("/api/traces").json()["pagination"] == {"limit": 20, "offset": 0, "next_offset": None}
    # A page that ends with the last trace is the last.
    assert client.get("/api/traces?limit=5").json()["pagination"]["next_offset"] is None
    assert client.get("/api/traces?offset=7").json()["data"] == []


def test_a_batch_is_kept_in_its_order(client):
    batch = [changed(final_answer=str(number)) for number in range(1000)]
    answer = client.post("/api/traces/batch", json=batch)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"created_count", "traces"}
    assert made["created_count"] == 1000
    assert all(set(each) == {"id", "created_at", "trace_version"} for each in made["traces"])
    for place in (0, 499, 999):
        kept = client.get(f"/api/traces/{made['traces'][place]['id']}").json()
        assert kept["payload"]["final_answer"] == str(place)


def test_a_batch_with_one_bad_trace_leaves_nothing(client, house):
    batch = [TRACE, TRACE, changed(steps=[])]
    answer = client.post("/api/traces/batch", json=batch)
    assert answer.status_code == 422
    assert "body[2].steps" in answer.json()["detail"].lower()
    assert house.store.count() == 0


def test_two_traces_stand_side_by_side(client):
    one = client.post("/api/traces", json=TRACE).json()["id"]
    two = client.post("/api/traces", json=changed(final_answer="63")).json()["id"]
    client.post(f"/api/traces/{one}/score", json={"criteria": {"judge": "answer", "expected": "62"}})
    shown = client.get("/api/traces/compare", params={"base": one, "other": two}).json()
    assert set(shown) == {"base", "other"}
    assert (shown["base"]["id"], shown["other"]["id"]) == (one, two)
    assert (shown["base"]["payload"], shown["other"]["payload"]["final_answer"]) == (TRACE, "63")
    assert [each["score"] for each in shown["base"]["scores"]] == [1.0]
    assert shown["other"]["scores"] == []


@pytest.mark.parametrize(("expected", "score"), [("62", 1.0), ("63", 0.0)])
def test_a_score_says_whether_the_answer_is_the_expected_one(client, expected, score):
    trace_id = client.post("/api/traces", json=TRACE).json()["id"]
    answer = client.post(f"/api/traces/{trace_id}/score", json={"criteria": {"judge": "answer", "expected": expected}})
    assert answer.status_code == 201
    assert answer.json()["score"] == score
    assert answer.json()["trace_id"] == trace_id


def test_a_score_of_steps_finds_the_wrong_one(client):
    right = next(iter(find_generator("arithmetic").traces(1, seed=0))).model_dump(mode="json")
    wrong = json.loads(json.dumps(right))
    wrong["steps"][0]["content"] += "9"
    scores = []
    for trace in (right, wrong):
        trace_id = client.post("/api/traces", json=trace).json()["id"]
        scores.append(client.post(f"/api/traces/{trace_id}/score", json={"criteria": "steps"}).json())
    assert [each["score"] for each in scores] == [1.0, 0.0]
    assert scores[0]["details"]["faults"] == []
    assert len(scores[1]["details"]["faults"]) >= 1


def test_a_judge_over_http_is_none_that_would_be_imported(client):
    trace_id = client.post("/api/traces", json=TRACE).json()["id"]
    answer = client.post(f"/api/traces/{trace_id}/score", json={"criteria": {"judge": "os:system", "expected": "1"}})
    assert answer.status_code == 422
    assert "over HTTP" in answer.json()["detail"]


def test_high_card_duel_has_the_cards_of_the_contract(client):
    answer = client.post("/api/ungar/high-card-duel/generate", json={"count": 6, "seed": 42})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"trace_ids", "preview"}
    assert len(made["trace_ids"]) == 6
    assert made["preview"] == [
        {"trace_id": made["trace_ids"][0], "game": "high_card_duel", "result": "loss", "my_card": "TS"},
        {"trace_id": made["trace_ids"][1], "game": "high_card_duel", "result": "loss", "my_card": "2H"},
        {"trace_id": made["trace_ids"][2], "game": "high_card_duel", "result": "win", "my_card": "AH"},
    ]
    metas = [client.get(f"/api/traces/{each}").json()["payload"]["meta"] for each in made["trace_ids"]]
    assert [(meta["my_card"], meta["opponent_card"], meta["result"]) for meta in metas] == [
        ("TS", "JH", "loss"), ("2H", "QH", "loss"), ("AH", "5S", "win"), ("QC", "8D", "win"), ("3C", "7D", "loss"),
        ("9S", "3H", "win"),
    ]  # fmt: skip


def test_games_that_are_not_kept_are_shown_all_the_same(client, house):
    made = client.post("/api/ungar/high-card-duel/generate", json={"count": 2, "persist": False}).json()
    assert made["trace_ids"] == []
    assert [each["trace_id"] for each in made["preview"]] == [None, None]
    assert house.store.count() == 0


def test_games_are_exported_as_rows_of_the_format_trace(client):
    client.post("/api/traces", json=TRACE)
    ids = client.post("/api/ungar/high-card-duel/generate", json={"count": 5, "seed": 7}).json()["trace_ids"]
    answer = client.get("/api/ungar/high-card-duel/export.jsonl")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in rows] == ids[::-1]
    assert set(rows[0]) == {"id", "prompts", "trace_steps", "final_answer", "metadata"}
    assert rows[0]["metadata"]["game"] == "high_card_duel"
    assert len(client.get("/api/ungar/high-card-duel/export.jsonl?limit=2").text.splitlines()) == 2
    named = client.get("/api/ungar/high-card-duel/export.jsonl", params={"trace_ids": f"{ids[3]},{ids[1]}"}).text
    assert [json.loads(line)["id"] for line in named.splitlines()] == [ids[3], ids[1]]


def test_the_game_ships_with_the_server(client):
    assert client.get("/api/ungar/status").json()["available"] is True


def test_generators_make_traces_and_questions_that_do_not_meet(client):
    names = [each["name"] for each in client.get("/api/generators").json()]
    assert "arithmetic" in names
    made = client.post("/api/generators/arithmetic/generate", json={"count": 30, "seed": 1})
    assert made.status_code == 201
    assert made.json()["created_count"] == 30
    prompts = {client.get(f"/api/traces/{each}").json()["payload"]["prompt"] for each in made.json()["trace_ids"]}
    lines = client.post("/api/generators/arithmetic/questions.jsonl", json={"count": 30, "seed": 1}).text.splitlines()
    questions = [json.loads(line) for line in lines]
    assert len(questions) == 30
    assert {"id", "prompt", "expected_answer"} <= set(questions[0])
    assert not prompts & {each["prompt"] for each in questions}
