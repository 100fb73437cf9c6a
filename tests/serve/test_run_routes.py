"""Trainings over HTTP: what is asked for is checked at once, put in the queue, and shown."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from clew.recipes import load
from clew.traces import regression
from clew.traces.evaluation_rows import read_evaluation
from clew.traces.records import Job
from small_chat import row, write_rows

pytest_plugins = ("serving",)

QUESTION = {"id": "q1", "prompt": "What is 1 + 1?", "expected_answer": "2"}
WANTED = {"dataset_key": "sums-1", "model": "base", "steps": 7, "learning_rate": 0.001, "seed": 5}


@pytest.fixture
def dataset(client):
    """The dataset sums-1."""
    client.post("/api/generators/arithmetic/generate", json={"count": 5})
    client.post("/api/datasets/build", json={"dataset_name": "sums", "dataset_version": "1"})
    return "sums-1"


@pytest.fixture
def completed(client, house, dataset):
    """A training that is completed, with some files in its folder."""

    def make(**changes) -> Job:
        job_id = client.post("/api/tunix/run", json={**WANTED, **changes}).json()["run_id"]
        folder = house.plans.run_folder(job_id)
        (folder / "checkpoint-final").mkdir(parents=True)
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.0}\n{"step"')
        (folder / "checkpoint-final" / "model.bin").write_bytes(b"weights")
        (folder / "page.html").write_text("<script>alert(1)</script>")
        (folder / ".lock").write_text("")
        return house.store.update_job(job_id, state="completed", exit_code=0)

    return make


def test_a_run_waits_and_is_shown_with_what_was_asked_for(client, dataset):
    answer = client.post("/api/tunix/run", json=WANTED)
    assert answer.status_code == 202
    shown = answer.json()
    assert {name: shown[name] for name in WANTED} == WANTED
    assert (shown["status"], shown["kind"], shown["dry_run"]) == ("queued", "train", False)
    assert shown["build_id"] == client.get("/api/datasets/sums-1").json()["build_id"]
    assert client.get(f"/api/tunix/runs/{shown['run_id']}").json() == shown
    status = client.get(f"/api/tunix/runs/{shown['run_id']}/status").json()
    assert status == {name: shown[name] for name in status}
    listed = client.get("/api/tunix/runs").json()
    assert listed["data"] == [shown]
    assert listed["pagination"] == {"limit": 20, "offset": 0, "next_offset": None}
    cancelled = client.post(f"/api/tunix/runs/{shown['run_id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")


def test_what_is_left_out_is_as_the_preset_has_it(client, dataset):
    shown = client.post("/api/tunix/run", json={"dataset_key": dataset}).json()
    assert (shown["steps"], shown["learning_rate"], shown["seed"], shown["model"]) == (50, 1e-5, 42, "base")


def test_the_command_of_a_run_has_a_recipe_in_a_file(client, house, dataset):
    recipe = {
        "training": {"per_device_batch_size": 2, "gradient_accumulation_steps": 3},
        "model": {"max_length": 128},
        "system_instruction": "Think.",
    }
    made = client.post("/api/tunix/run", json={**WANTED, "recipe": recipe, "eval_set": [QUESTION]}).json()
    job = house.store.job(made["run_id"])
    arguments = house.plans.prepare(job)
    given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert arguments[:2] == ["train", "sft"]
    assert given["--output"] == str(house.plans.run_folder(job.id))
    settled = load(given["--config"])
    assert (settled.training.max_steps, settled.training.learning_rate, settled.seed) == (7, 0.001, 5)
    assert (settled.training.batch_size, settled.training.accumulation) == (6, 3)
    assert (settled.model.base_model, settled.model.max_length) == ("base", 128)
    assert settled.system_instruction == "Think."
    assert [json.loads(line) for line in Path(settled.data.eval_set).read_text().splitlines()] == [QUESTION]
    assert Path(given["--data"]).read_bytes() == client.get("/api/datasets/sums-1/export.jsonl").content


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"dataset_key": "none-1"}, 404),
        ({"model": "00000000-0000-4000-8000-000000000000"}, 404),
        ({"model": "/etc/passwd"}, 422),
        ({"model": "../secret"}, 422),
        ({"model": "a/../../b"}, 422),
        ({"model": ""}, 422),
        ({"steps": 0}, 422),
        ({"steps": 1.5}, 422),
        ({"learning_rate": 0}, 422),
        ({"learning_rate": "fast"}, 422),
        ({"seed": -1}, 422),
        ({"backend": "abacus"}, 422),
        ({"preset": "tictactoe"}, 422),
        ({"preset": "../sft"}, 422),
        ({"recipe": {"training": {"num_stepps": 3}}}, 422),
        ({"recipe": {"nothing": {"x": 1}}}, 422),
        ({"recipe": {"training": 5}}, 422),
        ({"recipe": {"training": {"batch_size": "many"}}}, 422),
        ({"recipe": {"training": {"max_steps": 3}}}, 422),
        ({"recipe": {"seed": 3}}, 422),
        ({"recipe": {"data": {"path": "/etc/passwd"}}}, 422),
        ({"recipe": {"data": "/etc/passwd"}}, 422),
        ({"recipe": {"data": {"db": "/x.db"}}}, 422),
        ({"recipe": {"data": {"judge": "os:system"}}}, 422),
        ({"recipe": {"data": {"eval_set": "/etc/passwd"}}}, 422),
        ({"recipe": {"model": {"template": "/etc/passwd"}}}, 422),
        ({"recipe": {"model": "/etc/passwd"}}, 422),
        ({"recipe": {"model": {"name": "/etc/passwd"}}}, 422),
        ({"recipe": {"start_from": "/x"}}, 422),
        ({"eval_set": []}, 422),
        ({"eval_set": [QUESTION, QUESTION]}, 422),
        ({"eval_set": [{"id": "q", "prompt": "p"}]}, 422),
        ({"more": 1}, 422),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_trained_is_told_at_once(client, house, dataset, change, status):
    answer = client.post("/api/tunix/run", json={**WANTED, **change})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert house.store.jobs() == []


def test_what_a_run_made_is_listed_and_given(client, completed):
    job = completed()
    at = f"/api/tunix/runs/{job.id}"
    listed = client.get(f"{at}/artifacts").json()
    assert [each["path"] for each in listed["data"]] == ["checkpoint-final/model.bin", "metrics.jsonl", "page.html"]
    weights = listed["data"][0]
    assert (weights["size"], weights["sha256"]) == (7, hashlib.sha256(b"weights").hexdigest())
    assert client.get(f"{at}/artifacts/checkpoint-final/model.bin").content == b"weights"
    assert client.get(f"{at}/metrics").json()["data"] == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}]
    page = client.get(f"{at}/artifacts/page.html")
    assert page.headers["content-type"].startswith("text/plain")
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["none", ".lock", "checkpoint-final", "../secret.txt", "%2e%2e/secret.txt", "%2Fetc%2Fpasswd", "link/secret.txt",
     "checkpoint-final/../../secret.txt", "a%00b", "x" * 900],
)  # fmt: skip
def test_nothing_outside_a_run_is_given(client, house, completed, path):
    job = completed()
    folder = house.plans.run_folder(job.id)
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "link").symlink_to(folder.parent)
    answer = client.get(f"/api/tunix/runs/{job.id}/artifacts/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace(path, "").replace("secret.txt", "")


def test_a_run_that_made_nothing_yet_has_no_files_and_no_metrics(client, dataset):
    run = client.post("/api/tunix/run", json=WANTED).json()["run_id"]
    assert client.get(f"/api/tunix/runs/{run}/artifacts").json()["data"] == []
    assert client.get(f"/api/tunix/runs/{run}/metrics").json()["data"] == []


def test_metrics_that_were_edited_are_told(client, house, completed):
    job = completed()
    (house.plans.run_folder(job.id) / "metrics.jsonl").write_text("no metrics\n")
    assert client.get(f"/api/tunix/runs/{job.id}/metrics").status_code in (409, 503)


def test_a_log_is_followed_from_any_event_on(client, house, completed):
    job = completed()
    log = house.jobs.log_of(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("one\ntwo\n")
    answer = client.get(f"/api/tunix/runs/{job.id}/logs")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "id: 4\ndata: one\n\nid: 8\ndata: two\n\nevent: end\n" in answer.text
    rest = client.get(f"/api/tunix/runs/{job.id}/logs", headers={"Last-Event-ID": "4"}).text
    assert "data: one" not in rest
    assert "data: two" in rest
    assert client.get(f"/api/tunix/runs/{job.id}/logs", headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_run_begins_with_the_model_of_another(client, house, completed):
    first = completed()
    made = client.post("/api/tunix/run", json={**WANTED, "model": first.id}).json()
    arguments = house.plans.prepare(house.store.job(made["run_id"]))
    settled = load(arguments[arguments.index("--config") + 1])
    assert settled.model.base_model == str(house.plans.run_folder(first.id))
    waiting = client.post("/api/tunix/run", json={**WANTED, "model": made["run_id"]})
    assert waiting.status_code == 409


def test_an_evaluation_asks_the_trained_model_or_what_it_began_with(client, house, completed):
    job = completed(eval_set=[QUESTION])
    for model, expected in (("run", str(house.plans.run_folder(job.id))), ("base", "base")):
        asked = client.post(f"/api/tunix/runs/{job.id}/evaluate", json={"model": model, "judge": "exact"})
        assert asked.status_code == 202
        shown = asked.json()
        assert (shown["kind"], shown["evaluated_run_id"], shown["status"]) == ("evaluate", job.id, "queued")
        arguments = house.plans.prepare(house.store.job(shown["run_id"]))
        given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        assert arguments[:2] == ["evaluate", "traces"]
        assert (given["--model"], given["--judge"], given["--seed"]) == (expected, "exact", "42")
        assert json.loads(Path(given["--eval-set"]).read_text()) == QUESTION
    assert [each["run_id"] for each in client.get("/api/tunix/runs").json()["data"]] == [job.id]


def test_an_evaluation_that_cannot_be_is_told(client, house, completed, dataset):
    job = completed()
    at = f"/api/tunix/runs/{job.id}/evaluate"
    assert "eval set" in client.post(at).json()["detail"]
    assert client.post(at).status_code == 422
    assert client.post(at, json={"eval_set": [QUESTION], "judge": "os:system"}).status_code == 422
    waiting = client.post("/api/tunix/run", json=WANTED).json()["run_id"]
    assert client.post(f"/api/tunix/runs/{waiting}/evaluate", json={"eval_set": [QUESTION]}).status_code == 409
    dry = completed(dry_run=True)
    assert client.post(f"/api/tunix/runs/{dry.id}/evaluate", json={"eval_set": [QUESTION]}).status_code == 409


def test_the_leaderboard_and_the_gate(client, house, tmp_path):
    def recorded(name, scores):
        path = write_rows(tmp_path / f"{name}.jsonl", [row(number, score) for number, score in enumerate(scores)])
        return regression.record(house.store, read_evaluation(path), name=name).id

    good = recorded("run-good", [1.0] * 18 + [0.0] * 2)
    bad = recorded("run-bad", [0.0] * 18 + [1.0] * 2)
    board = client.get("/api/tunix/evaluations").json()
    assert [(each["name"], each["mean_score"], each["examples"]) for each in board["data"]] == [
        ("run-good", 0.9, 20), ("run-bad", 0.1, 20),
    ]  # fmt: skip
    assert board["data"][0]["low"] < 0.9 < board["data"][0]["high"]
    newest = client.get("/api/tunix/evaluations?order=newest&limit=1").json()
    assert [each["name"] for each in newest["data"]] == ["run-bad"]
    assert newest["pagination"]["next_offset"] == 1

    made = client.post("/api/regression/baselines", json={"name": "released", "run_id": "run-good"})
    assert made.status_code == 201
    assert made.json()["evaluation"]["id"] == good
    taken = client.post("/api/regression/baselines", json={"name": "released", "evaluation_id": bad})
    assert taken.status_code == 409
    verdicts = {
        name: client.post("/api/regression/check", json={"baseline": "released", "evaluation_id": each})
        for name, each in (("good", good), ("bad", bad))
    }
    assert {name: (each.status_code, each.json()["verdict"]) for name, each in verdicts.items()} == {
        "good": (200, "pass"), "bad": (200, "fail"),
    }  # fmt: skip
    assert verdicts["bad"].json()["change"]["change"] == pytest.approx(-0.8)
    for body, status in (
        ({"baseline": "other", "evaluation_id": bad}, 404),
        ({"baseline": "released", "run_id": "none"}, 404),
        ({"baseline": "released"}, 422),
        ({"baseline": "released", "run_id": "a", "evaluation_id": bad}, 422),
        ({"baseline": "released", "evaluation_id": bad, "tolerance": 2}, 422),
        ({"baseline": "released", "evaluation_id": bad, "rule": "none"}, 422),
    ):
        assert client.post("/api/regression/check", json=body).status_code == status
