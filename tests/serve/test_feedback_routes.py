"""Feedback over HTTP: ratings kept and listed, pairs of them, faults in sentences."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from clew.serve.app import create_app
from clew.serve.house import open_house
from clew.traces.store import TraceStore

CHOICE = {"prompt": "1 + 1?", "first": "2", "second": "3", "preferred": "first", "rater": "ada"}
SCORED = {"prompt": "2 + 2?", "answer": "4", "score": 5}


@pytest.fixture
def client(tmp_path):
    with TraceStore.open(tmp_path / "traces.db") as store:
        yield TestClient(create_app(open_house(store, tmp_path / "runs")), headers={"Host": "127.0.0.1"})


def test_ratings_are_kept_listed_and_made_pairs_of(client):
    first = client.post("/api/feedback", json=CHOICE)
    assert first.status_code == 201
    assert first.json()["payload"] == CHOICE
    assert client.post("/api/feedback", json=SCORED).status_code == 201
    assert client.post("/api/feedback", json={**SCORED, "answer": "5", "score": 1}).status_code == 201
    page = client.get("/api/feedback", params={"limit": 2}).json()
    assert [each["payload"].get("score") for each in page["data"]] == [1, 5]
    assert page["pagination"]["next_offset"] == 2
    pairs = client.get("/api/feedback/pairs").json()["data"]
    assert [(each["chosen"], each["rejected"]) for each in pairs] == [("2", "3"), ("4", "5")]


def test_who_rates_again_changes_their_mind(client):
    for preferred in ("first", "second"):
        client.post("/api/feedback", json={**CHOICE, "preferred": preferred})
    (pair,) = client.get("/api/feedback/pairs").json()["data"]
    assert (pair["chosen"], pair["rejected"]) == ("3", "2")
    # The same the other way round is the same question.
    client.post("/api/feedback", json={**CHOICE, "first": "3", "second": "2", "preferred": "equal"})
    assert client.get("/api/feedback/pairs").json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {**CHOICE, "second": "2"},
        {**CHOICE, "preferred": "neither"},
        {**CHOICE, "first": ""},
        {**SCORED, "score": 6},
        {**SCORED, "score": 2.5},
        {"prompt": "1 + 1?"},
        {**SCORED, "more": 1},
    ],
)
def test_what_is_no_rating_is_refused_and_nothing_is_kept(client, body):
    answer = client.post("/api/feedback", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(".")
    assert client.get("/api/feedback").json()["data"] == []
