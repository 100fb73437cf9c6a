"""Run folders: made whole, found by name, held by one process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time

import pytest
import yaml

from clew.core import files
from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.core.evidence import Evidence
from clew.recipes import base as recipes
from clew.recipes.next_token import NextTokenRecipe
from clew.runs.folder import create_run, find_run, list_runs, open_run

EVIDENCE = Evidence(kind="proof files", path="data", sha256="e" * 64)


def made(runs_dir, name="tactics", **changed):
    run = create_run(runs_dir, NextTokenRecipe(name=name), EVIDENCE)
    run.update(**changed)
    return run


def test_a_run_says_what_it_was_made_of(tmp_path):
    run = open_run(made(tmp_path).folder)
    manifest = run.manifest
    assert manifest["recipe_sha256"] == recipes.sha256(NextTokenRecipe(name="tactics"))
    assert manifest["evidence"] == {"kind": "proof files", "path": "data", "sha256": "e" * 64} | {
        "key": None,
        "build_id": None,
    }
    assert manifest["seed"] == 42
    assert manifest["versions"].keys() >= {"python", "clew", "torch", "numpy"}
    assert run.folder.name.startswith("tactics-20")
    assert run.folder.name.endswith(run.run_id[:6])
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoints",
        "recipe.yaml",
        "reports",
        "run_manifest.json",
    ]


def test_a_run_whose_making_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "tokenizer.json").write_text("half")
        raise ClewError("no tokenizer")

    with pytest.raises(ClewError, match="no tokenizer"):
        create_run(tmp_path / "runs", NextTokenRecipe(), EVIDENCE, keep=fail)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_is_found_by_folder_name_beginning_or_id_and_the_newest_without_a_name(tmp_path):
    one = made(tmp_path, "alpha", created_at="2026-01-01T00:00:00+00:00")
    two = made(tmp_path, "beta", created_at="2026-01-02T00:00:00+00:00")
    wanted = {
        None: two,
        str(one.folder): one,
        one.folder.name: one,
        "alph": one,
        "beta": two,
        one.run_id: one,
        two.run_id[:12]: two,
    }
    for name, run in wanted.items():
        assert find_run(name, tmp_path).folder == run.folder
    assert [run.folder for run in list_runs(tmp_path)] == [one.folder, two.folder]


def test_a_name_means_its_newest_run_and_a_beginning_of_two_names_neither(tmp_path):
    older = made(tmp_path, "alpha", created_at="2026-01-01T00:00:00+00:00")
    newer = made(tmp_path, "alpha", created_at="2026-01-02T00:00:00+00:00")
    assert find_run("alpha", tmp_path).folder == newer.folder != older.folder
    made(tmp_path, "alps")
    with pytest.raises(UsageError, match=r"'alp' may be any of alpha-.*, alpha-.*, alps-"):
        find_run("alp", tmp_path)


def test_an_unknown_run_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="There are no runs in"):
        find_run(None, tmp_path / "none")
    run = made(tmp_path, "alpha")
    for asked, meant in (("alhpa", "alpha"), (f"x{run.folder.name}", run.folder.name)):
        with pytest.raises(UsageError, match=rf"There is no run '{asked}' in .* Did you mean '{meant}'"):
            find_run(asked, tmp_path)


def test_a_folder_that_is_no_run_is_passed_over_in_lists_and_named_when_asked_for(tmp_path):
    run = made(tmp_path)
    (tmp_path / "notes").mkdir()
    assert [each.folder for each in list_runs(tmp_path)] == [run.folder]
    with pytest.raises(ClewError, match="notes is not a run folder"):
        open_run(tmp_path / "notes")


@pytest.mark.parametrize(("content", "said"), [("{", "not valid JSON"), ("{}", "lacks the field"), ("[]", "lacks the")])
def test_a_broken_manifest_is_named(tmp_path, content, said):
    run = made(tmp_path)
    (run.folder / "run_manifest.json").write_text(content)
    with pytest.raises(ClewError, match=rf"run_manifest\.json .*{said}"):
        open_run(run.folder)


def test_an_edited_recipe_is_refused(tmp_path):
    run = made(tmp_path)
    assert run.read_recipe(NextTokenRecipe) == NextTokenRecipe(name="tactics")
    path = run.folder / "recipe.yaml"
    path.write_text(path.read_text().replace("batch_size: 32", "batch_size: 16"))
    with pytest.raises(ClewError, match=r"recipe\.yaml was edited after the run began"):
        run.read_recipe(NextTokenRecipe)
    # What means the same is the same recipe.
    path.write_text("# a remark\n" + path.read_text().replace("batch_size: 16", "batch_size: 32.0"))
    assert run.read_recipe(NextTokenRecipe).training.batch_size == 32


def test_changed_evidence_is_refused(tmp_path):
    run = made(tmp_path)
    run.check_evidence(Evidence(kind="proof files", path="elsewhere", sha256="e" * 64))
    with pytest.raises(EvidenceError, match=r"changed since run tactics-.* began \(fingerprint ffff"):
        run.check_evidence(Evidence(kind="proof files", path="data", sha256="f" * 64))


def test_one_process_holds_a_run(tmp_path):
    run = made(tmp_path)
    program = f"""
from pathlib import Path
from clew.runs.folder import open_run
with open_run(Path({str(run.folder)!r})).locked():
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ClewError, match=r"Another process is training .* Wait for it to end"), run.locked():
            pass
        other.kill()
    with run.locked():
        assert json.loads((run.folder / "run_manifest.json").read_text())["run_id"] == run.run_id


def test_a_password_in_a_url_stays_out_of_what_is_kept():
    from clew.core.errors import without_passwords

    assert without_passwords("--db postgresql://me:se:cr@t@host:5432/db now") == "--db postgresql://me@host:5432/db now"
    for harmless in ("data/replay.db", "postgresql://me@host/db", "http://host:80/a@b", "a:b@c"):
        assert without_passwords(harmless) == harmless


def test_looking_whether_a_run_is_alive_keeps_no_trainer_out(tmp_path):
    run = made(tmp_path, status="running")
    assert run.status == "killed"
    stop = threading.Event()
    alive = []

    def look():
        while not stop.is_set():
            alive.append(open_run(run.folder).is_alive)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with run.locked():
                pass
        with run.locked():
            # Counted under the lock: while it is waited for, others may look many times and find nobody.
            seen = len(alive)
            while len(alive) < seen + 20:
                time.sleep(0.001)
    finally:
        stop.set()
        for looker in lookers:
            looker.join()
    assert any(alive[seen:])


def test_lookers_do_not_take_one_another_for_a_trainer(tmp_path):
    run = made(tmp_path, status="running")
    with run.locked():
        pass
    found = []
    lookers = [threading.Thread(target=lambda: found.extend(run.is_alive for _ in range(300))) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert not any(found)


def test_the_state_of_git_is_read_without_running_what_a_repository_asks_for(tmp_path, monkeypatch):
    repository = tmp_path / "stranger"
    repository.mkdir()
    monkeypatch.chdir(repository)
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/$1-was-run\ncat\n")
    trap.chmod(0o755)

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init")
    (repository / "file.txt").write_text("one")
    (repository / ".gitattributes").write_text("*.txt filter=sly\n")
    git("add", ".")
    git("commit", "-m", "first")
    git("config", "core.fsmonitor", f"{trap} fsmonitor")
    git("config", "filter.sly.clean", f"{trap} clean")
    (repository / "file.txt").write_text("two")
    run = create_run(tmp_path / "runs", NextTokenRecipe(), EVIDENCE)
    assert len(run.manifest["git_sha"]) == 40
    assert run.manifest["dirty"] is True
    assert not list(tmp_path.glob("*-was-run"))


def test_a_recipe_that_lacks_a_field_of_today_is_the_recipe_that_the_run_was_made_with(tmp_path):
    """As a run of before the field was there has it: its hash is of what stands in its file."""
    run = made(tmp_path)
    path = run.folder / "recipe.yaml"
    values = recipes.read_yaml(path)
    del values["training"]["average_decay"]
    path.write_text(yaml.safe_dump(values))
    run.update(recipe_sha256=hashlib.sha256(files.canonical_json(values).encode()).hexdigest())
    assert run.read_recipe(NextTokenRecipe).training.average_decay == 0.0
    path.write_text(yaml.safe_dump({**values, "seed": 43}))
    with pytest.raises(ClewError, match="was edited after the run began"):
        run.read_recipe(NextTokenRecipe)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"created_at": 5}, "the field 'created_at' is 5"),
        ({"evidence": "data"}, "the field 'evidence' is 'data'"),
        ({"evidence": {"kind": "x"}}, "lacks 'path'"),
        ({"status": None}, "the field 'status' is None"),
    ],
)
def test_a_manifest_with_a_field_that_cannot_be_is_named(tmp_path, changed, said):
    run = made(tmp_path, **changed)
    with pytest.raises(ClewError, match=said):
        open_run(run.folder)
