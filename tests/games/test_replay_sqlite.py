"""The replay database in an SQLite file: other programs' files, locks, kills, full disks, and files that vanish."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from clew.core.errors import EvidenceError
from clew.games.replay import Replay, ReplayUnavailableError, as_floats
from clew.games.replay.targets import make_targets
from clew.games.rules import find_game
from episodes import CONTRACT, by_hand, fingerprint, foreign_database, random_episode

TESTS = Path(__file__).parent.parent


def test_a_file_of_another_program_without_metadata_is_read(tmp_path):
    episodes = [random_episode(number, "connect4") for number in range(3)]
    rows = [row for episode in episodes for row in episode]
    path = foreign_database(tmp_path / "old.db", rows)
    with Replay.open(path) as replay:
        assert replay.metadata() == {}
        found, _ = replay.tail("connect4", None, 1000)
    assert fingerprint(found) == fingerprint(rows)
    assert [as_floats(row.observation).tolist() for row in found] == [row.observation.tolist() for row in rows]
    targets = make_targets(found, find_game("connect4"))
    assert not targets.broken
    np.testing.assert_allclose(targets.policy, np.stack([row.policy_probs for row in rows]), atol=1e-6)
    assert targets.outcome.tolist() == [row.game_outcome for row in rows]


def test_reading_leaves_a_file_of_another_program_as_it_is(tmp_path):
    path = foreign_database(tmp_path / "old.db", random_episode(0))
    before = path.read_bytes()
    with Replay.open(path) as replay:
        replay.tail("tictactoe", None, 10)
    assert path.read_bytes() == before


def test_writing_to_a_file_of_another_program_adds_what_is_absent(tmp_path):
    path = foreign_database(tmp_path / "old.db", random_episode(0))
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(find_game("tictactoe"))
        replay.append(random_episode(1))
        assert replay.count("tictactoe") == len(random_episode(0)) + len(random_episode(1))
        assert replay.metadata()["tictactoe"].obs_size == 29


def test_metadata_made_by_others_with_a_number_for_the_time_is_renewed(tmp_path):
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(CONTRACT)
        connection.execute(
            "CREATE TABLE game_metadata (env_id TEXT PRIMARY KEY, display_name TEXT NOT NULL, board_width INTEGER NOT "
            "NULL, board_height INTEGER NOT NULL, num_actions INTEGER NOT NULL, obs_size INTEGER NOT NULL, "
            "legal_mask_offset INTEGER NOT NULL, player_count INTEGER NOT NULL, updated_at INTEGER NOT NULL)"
        )
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(find_game("othello"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (stamp,) = connection.execute("SELECT updated_at FROM game_metadata").fetchone()
    assert abs(stamp - time.time()) < 100


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path):
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        released = threading.Timer(1.0, lambda: holder.execute("ROLLBACK"))
        released.start()
        begun = time.monotonic()
        replay.append(random_episode(0))
        assert time.monotonic() - begun > 0.5
        assert replay.count("tictactoe") == len(random_episode(0))
        released.join()
        holder.close()


def test_a_lock_longer_than_sqlites_own_patience_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("clew.databases.sqlite.BUSY_SECONDS", 0.05)
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.6, lambda: holder.execute("ROLLBACK")).start()
        replay.append(random_episode(0))
        assert replay.count("tictactoe") == len(random_episode(0))
        monkeypatch.setattr("clew.databases.sqlite.PATIENCE_SECONDS", 0.3)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EvidenceError, match="Another process keeps it locked"):
            replay.append(random_episode(1))
        holder.close()


def test_a_restored_dump_numbers_rows_anew_and_the_reader_goes_on(tmp_path):
    path = tmp_path / "replay.db"
    episodes = [random_episode(number) for number in range(6)]
    with Replay.open(path, create=True) as writer:
        for episode in episodes[:5]:
            writer.append(episode)
        with Replay.open(path) as reader:
            _, position = reader.tail("tictactoe", None, 1000)
        writer.delete_older("tictactoe", 1)
    restored = tmp_path / "restored.db"
    with contextlib.closing(sqlite3.connect(path)) as old, contextlib.closing(sqlite3.connect(restored)) as new:
        new.executescript("\n".join(old.iterdump()))
        assert new.execute("SELECT MIN(rowid) FROM transitions").fetchone() == (1,)
    restored.replace(path)
    with Replay.open(path, create=True) as writer:
        writer.append(episodes[5])
        rows, _ = writer.tail("tictactoe", position, 1000)
    assert [row.id for row in rows] == [row.id for row in episodes[5]]


def test_a_database_deleted_while_it_is_used_loses_nothing(tmp_path):
    path = tmp_path / "data" / "replay.db"
    episodes = [random_episode(number) for number in range(4)]
    seen = []
    with Replay.open(path, create=True) as writer, Replay.open(path) as reader:
        writer.upsert_metadata(find_game("tictactoe"))
        writer.append(episodes[0])
        rows, position = reader.tail("tictactoe", None, 1000)
        seen += rows
        writer.append(episodes[1])
        for file in path.parent.iterdir():
            file.unlink()
        # What was committed before and not read yet is still read; then the file is missed.
        rows, position = reader.tail("tictactoe", position, 1000)
        seen += rows
        with pytest.raises(ReplayUnavailableError, match="There is no replay database"):
            reader.tail("tictactoe", position, 1000)
        writer.append(episodes[2])
        writer.append(episodes[3])
        rows, position = reader.tail("tictactoe", position, 1000)
        seen += rows
        assert reader.metadata()["tictactoe"].num_actions == 9
        assert reader.tail("tictactoe", position, 1000)[0] == []
    assert [row.id for row in seen] == [row.id for episode in episodes for row in episode]


def test_only_the_main_file_deleted_leaves_no_trace_of_the_old_rows_in_the_new(tmp_path):
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as one, Replay.open(path, create=True) as two:
        for number in range(20):
            one.append(random_episode(number))
        path.unlink()
        two.append(random_episode(50))
        one.append(random_episode(51))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        episodes = [row[0] for row in connection.execute("SELECT DISTINCT episode_id FROM transitions ORDER BY rowid")]
    assert episodes == [random_episode(number)[0].episode_id for number in (50, 51)]


def test_a_copy_in_the_place_of_the_file_is_read_on_from_the_same_row(tmp_path):
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as writer:
        writer.append(random_episode(0))
    with Replay.open(path) as reader:
        _, position = reader.tail("tictactoe", None, 1000)
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
        with Replay.open(path, create=True) as writer:
            writer.append(random_episode(1))
        rows, _ = reader.tail("tictactoe", position, 1000)
        rows = rows or reader.tail("tictactoe", position, 1000)[0]
    assert [row.id for row in rows] == [row.id for row in random_episode(1)]


def test_a_missing_file_is_a_sentence_and_is_not_made(tmp_path):
    with pytest.raises(ReplayUnavailableError, match="clew actor --db"):
        Replay.open(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_holds_no_rows_yet(tmp_path):
    path = tmp_path / "replay.db"
    path.touch()
    with Replay.open(path) as reader:
        assert reader.count("tictactoe") == 0
        assert reader.tail("tictactoe", None, 10)[0] == []
        with Replay.open(path, create=True) as writer:
            writer.append(random_episode(0))
        assert reader.count("tictactoe") == len(random_episode(0))


def test_files_that_are_no_database_are_told(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("this is not a database, but it is long enough to look for a header\n" * 100)
    with pytest.raises(EvidenceError, match="file is not a database"):
        Replay.open(text)
    with pytest.raises(EvidenceError, match="file is not a database"):
        Replay.open(text, create=True)
    foreign = tmp_path / "music.db"
    with contextlib.closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(EvidenceError, match="no table transitions, but songs"), Replay.open(foreign) as replay:
        replay.count("tictactoe")
    with pytest.raises(EvidenceError, match="is no file, so it is no SQLite database"):
        Replay.open(tmp_path)


def test_a_damaged_file_is_told(tmp_path):
    path = foreign_database(tmp_path / "replay.db", [row for n in range(60) for row in random_episode(n)])
    content = bytearray(path.read_bytes())
    content[8192:-4096] = os.urandom(len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"is damaged: .*malformed"), Replay.open(path) as replay:
        replay.tail("tictactoe", None, 10_000)


def test_a_schema_that_is_no_text_is_told(tmp_path):
    path = foreign_database(tmp_path / "replay.db", random_episode(0))
    content = path.read_bytes()
    content = content.replace(b"idx_transitions_episode", b"idx_\xe4ransitions_episode")
    path.write_bytes(content.replace(b"CREATE INDEX idx_\xe4", b"CREATE INDEX (dx_\xe4"))
    with pytest.raises(EvidenceError, match="is damaged"), Replay.open(path) as replay:
        replay.count("tictactoe")


def test_a_full_disk_is_told_and_the_episode_can_be_written_later(tmp_path):
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        replay.append(random_episode(0))
        connection = replay._file.writing()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        big = random_episode(1, "othello")
        with pytest.raises(EvidenceError, match=r"The disk is full\. Nothing of it was written"):
            replay.append(big)
        assert replay.count("othello") == 0
        connection.execute("PRAGMA max_page_count = 100000").fetchall()
        replay.append(big)
        assert replay.count("othello") == len(big)


FILE_LIMIT = """
import resource, signal, sys
from clew.core.errors import ClewError
from clew.games.replay import Replay
from episodes import random_episode

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
written = 0
with Replay.open(sys.argv[1], create=True) as replay:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        for written in range(1000):
            replay.append(random_episode(written, "othello"))
    except ClewError as error:
        print(written, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    replay.append(random_episode(written, "othello"))
"""


def run_script(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_file_that_may_not_grow_is_told_and_stays_good(tmp_path):
    path = tmp_path / "replay.db"
    process = run_script(FILE_LIMIT, path)
    said = process.communicate(timeout=100)[0]
    assert process.returncode == 0
    number, _, sentence = said.partition(" ")
    assert "Could not write episode" in sentence
    assert "try again" in sentence
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (episodes,) = connection.execute("SELECT COUNT(DISTINCT episode_id) FROM transitions").fetchone()
    assert episodes == int(number) + 1


WRITE_FOREVER = """
import sys
from clew.games.replay import Replay
from episodes import random_episode

with Replay.open(sys.argv[1], create=True) as replay:
    for number in range(100_000):
        replay.append(random_episode(number % 50, "connect4", unix=number))
        print(number, flush=True)
"""


def test_killed_writers_leave_whole_episodes_and_all_that_they_said(tmp_path):
    path = tmp_path / "replay.db"
    random = np.random.default_rng(1)
    for round_ in range(3):
        path.unlink(missing_ok=True)
        process = run_script(WRITE_FOREVER, path)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(random.uniform(0.05, 0.3)))
        process.send_signal(signal.SIGKILL)
        told = 1 + process.stdout.read().count("\n")
        process.wait()
        with Replay.open(path) as replay:
            rows, _ = replay.tail("connect4", None, 1_000_000)
        by_episode: dict[str, list[int]] = {}
        for row in rows:
            by_episode.setdefault(row.episode_id, []).append(row.step_number)
        assert told <= len(by_episode) <= told + 1, round_
        for number, steps in enumerate(by_episode.values()):
            assert steps == list(range(len(random_episode(number % 50, "connect4"))))


def test_a_folder_that_cannot_be_written_is_read(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "replay.db"
    with Replay.open(path, create=True) as replay:
        replay.append(random_episode(0))
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        with Replay.open(path) as replay:
            assert replay.count("tictactoe") == len(random_episode(0))
    finally:
        folder.chmod(0o755)


def test_rows_by_another_program_with_odd_values_are_read_and_named(tmp_path):
    rows = [by_hand(row) for row in random_episode(0)]
    rows[0] |= {"action": b"\x01"}
    rows[1] |= {"observation": "text"}
    rows[2] |= {"mcts_value": None}
    rows[3] |= {"policy_probs": b"\0" * 7}
    path = foreign_database(tmp_path / "replay.db", rows)
    with Replay.open(path) as replay:
        found, _ = replay.tail("tictactoe", None, 100)
    targets = make_targets(found, find_game("tictactoe"))
    assert targets.broken == [
        f"Row {rows[0]['id']}: its action is not stored in 4 bytes.",
        f"Row {rows[1]['id']}: its observation is not 29 float32 long.",
    ]
    assert targets.root_value[0] == 0.0
    expected = np.zeros(9)
    expected[found[3].action] = 1
    assert targets.policy[1].tolist() == expected.tolist()


def test_rows_whose_ids_are_no_text_are_read_once(tmp_path):
    rows = [by_hand(row) | {"id": b"\xff" + bytes([row.step_number])} for row in random_episode(0)]
    path = foreign_database(tmp_path / "replay.db", rows)
    with Replay.open(path) as replay:
        found, position = replay.tail("tictactoe", None, 1000)
        assert len(found) == len(rows)
        for place in (position, replay.end("tictactoe")):
            assert replay.tail("tictactoe", json.loads(json.dumps(place)), 1000)[0] == []
