"""The campaign's judge: what it takes for a traceback, a hang, a harmed file, and what it lets pass."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from kinds import KINDS
from named import NAMED
from sandbox import SECRET, Case, run_case


def says(text: str, code: int):
    def command():
        print(text, file=sys.stderr)
        sys.exit(code)

    return command


def tried(tmp_path, command, **case):
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    (folder / "kept.txt").unlink(missing_ok=True)
    (folder / "kept.txt").write_text("kept")
    return run_case(Case(folder, ["x"], **case), command, limit=0.5, memory=1 << 30)


@pytest.mark.parametrize(
    "command", [says("", 0), says("clew: error: No.", 1), says("clew: error: No.", 2), says("usage: clew", 2)]
)
def test_a_sentence_with_an_exit_code_passes(tmp_path, command):
    outcome = tried(tmp_path, command)
    assert (outcome.trace, outcome.hung, outcome.harmed) == (None, False, [])


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (says("clew: error: Clew itself failed: KeyError: 'x'. This is a bug; please report it.", 1), "KeyError: 'x'."),
        (says("thread panicked at lib.rs:1", 1), "panicked at lib.rs:1"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (says("No.", 1), "without a sentence"),
        (says("clew: error: No.", 7), "exit code 7"),
        (says("clew: error: " + "x" * 100_000, 1), "characters on stderr"),
    ],
)
def test_what_is_no_sentence_is_told(tmp_path, command, told):
    assert told in tried(tmp_path, command).trace


def test_a_password_of_an_address_may_not_be_printed(tmp_path):
    command = says(f"clew: error: no {SECRET}", 1)
    assert tried(tmp_path, command).trace is None
    outcome = run_case(Case(tmp_path / "work", ["x", "--db", "y"]), command, limit=0.5, memory=1 << 30)
    assert outcome.trace == "a password was printed"


def test_silence_beyond_the_limit_is_a_hang_and_work_that_shows_itself_is_none(tmp_path):
    assert tried(tmp_path, lambda: time.sleep(30)).hung

    def works():
        print("step 1", file=sys.stderr)
        time.sleep(30)

    outcome = tried(tmp_path, works)
    assert outcome.code != 0
    assert not outcome.hung


def test_a_process_that_does_not_end_when_it_is_asked_to_is_killed_and_hangs(tmp_path):
    def deaf():
        print("step 1", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(30)

    outcome = tried(tmp_path, deaf)
    assert outcome.hung
    assert outcome.code == -signal.SIGKILL


@pytest.mark.parametrize("how", ["write", "remove", "link"])
def test_a_file_that_was_there_and_is_another_is_harmed(tmp_path, how):
    def command():
        if how != "write":
            Path("kept.txt").unlink()
        if how == "write":
            os.truncate("kept.txt", 1)
        if how == "link":
            Path("kept.txt").symlink_to("x")

    assert tried(tmp_path, command).harmed == ["kept.txt"]
    assert tried(tmp_path, command, changes=("kept.*",)).harmed == []
    assert tried(tmp_path, command, changes=("kept.*|ke",)).harmed == []
    assert tried(tmp_path, command, changes=("kept.*|PNG",)).harmed == ["kept.txt"]


def test_what_may_change_at_a_good_end_may_not_at_a_bad_one(tmp_path):
    def command():
        os.truncate("kept.txt", 1)
        says("clew: error: No.", 1)()

    assert tried(tmp_path, command, changes=("ok:kept.txt",)).harmed == ["kept.txt"]


def test_a_new_file_is_no_harm(tmp_path):
    assert tried(tmp_path, lambda: Path("new").mkdir()).harmed == []


def test_the_same_id_spoils_in_the_same_way(tmp_path):
    kind = next(kind for kind in KINDS if kind.name == "recipe")
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("objective: next_token\nseed: 1\ntraining:\n  max_steps: 2\n")
        case = kind.spoil(tmp_path / name, random.Random("1/recipe/7"))
        made.append((case.argv, case.done, (tmp_path / name / "recipe.yaml").read_bytes()))
    assert made[0] == made[1]


def test_every_kind_and_named_case_has_a_name_of_its_own():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len(NAMED) > 100
