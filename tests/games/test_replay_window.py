"""The learner's window: uniform samples, files that survive kills, rings, and what a row teaches."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.core.randomness import generator
from clew.games.replay import Transition, window
from clew.games.replay.records import hash_of
from clew.games.replay.targets import make_targets
from clew.games.replay.window import Window
from clew.games.rules import GameInfo, find_game
from episodes import random_episode

TESTS = Path(__file__).parent.parent
CONNECT4 = find_game("connect4")
TICTACTOE = find_game("tictactoe")
TINY = GameInfo("tiny", "Tiny", 1, 1, 2, 4, 2)
"""Two actions, both legal in `tiny_row`."""


def rows_of(env_id: str, episodes: int) -> list[Transition]:
    return [row for number in range(episodes) for row in random_episode(number, env_id)]


def tiny_row(number: int, first_value: float = 0.0) -> Transition:
    """A row that knows its number: as the ply, and in its policy."""
    share = np.float32(number % 1000 / 1000)
    seen = np.array([first_value, number % 2, 1, 1], np.float32)
    return Transition(
        *(
            f"t-ep-{number // 5}-0-step-{number}",
            "tiny",
            f"t-ep-{number // 5}-0",
            number,
            b"",
            number % 2,
            b"",
            seen,
            seen,
        ),
        *(0.0, False, 0, np.array([share, 1 - share], np.float32), 0.25, -0.5),
    )


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4", "othello"])
@pytest.mark.parametrize("opening", [0, 1, 3])
def test_the_ply_counts_the_moves_of_an_opening_too(tmp_path, env_id, opening):
    filled = Window.open(tmp_path, find_game(env_id), capacity=None)
    due = []
    for number in range(8):
        # All the moves are known here, and so is how many the episode leaves out.
        whole = random_episode(number, env_id)
        filled.extend(random_episode(number, env_id, opening=opening))
        due += [row.step_number for row in whole[opening:]]
    found = filled.gather(np.arange(filled.last)).ply
    if env_id != "othello" or not opening:
        assert found.tolist() == due
    # A pair of passes after an opening may look like none.
    assert set(np.array(due) - found) <= {0, 2}


@pytest.mark.parametrize("env_id", ["tictactoe", "connect4", "othello"])
def test_rows_come_back_as_they_went_in(tmp_path, env_id):
    info, rows = find_game(env_id), rows_of(env_id, 4)
    filled = Window.open(tmp_path, info, capacity=None)
    assert (filled.first, filled.last) == (0, 0)
    extended = filled.extend(rows)
    assert (extended.count, extended.broken) == (len(rows), [])
    for held in (filled, Window.open(tmp_path, info, capacity=None)):
        assert (held.first, held.last, len(held)) == (0, len(rows), len(rows))
        order = np.random.default_rng(0).permutation(len(rows))
        batch = held.gather(order)
        wanted = [rows[index] for index in order]
        assert batch.observation.dtype == np.float32
        assert np.array_equal(batch.observation, np.stack([row.observation for row in wanted]))
        np.testing.assert_allclose(batch.policy, np.stack([row.policy_probs for row in wanted]), rtol=1e-6)
        assert batch.outcome.tolist() == [row.game_outcome for row in wanted]
        assert batch.root_value.tolist() == [np.float32(row.mcts_value) for row in wanted]
        assert batch.ply.tolist() == [row.step_number for row in wanted]
        assert batch.ordinal.tolist() == order.tolist()
        assert batch.episode.tolist() == [hash_of(row.episode_id) for row in wanted]


def test_the_same_rows_make_the_same_bytes_however_they_come(tmp_path):
    rows = rows_of("connect4", 60)
    together = Window.open(tmp_path / "together", CONNECT4, capacity=None)
    together.extend(rows)
    apart = Window.open(tmp_path / "apart", CONNECT4, capacity=None)
    for begin in range(0, len(rows), 37):
        apart.extend(rows[begin : begin + 37])
        if begin == 37 * 5:
            apart = Window.open(tmp_path / "apart", CONNECT4, capacity=None)
    assert len(rows) > window.FIRST_SLOTS
    assert (tmp_path / "together" / window.FILE).read_bytes() == (tmp_path / "apart" / window.FILE).read_bytes()


def test_samples_are_uniform_and_reach_the_oldest_and_the_newest_row(tmp_path):
    rows = rows_of("tictactoe", 40)
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    held.extend(rows)
    start, stop = 20, len(rows) - 10
    counts = np.zeros(len(rows), np.int64)
    for step in range(2000):
        batch = held.sample(generator(7, "sampling", step), 64, start=start, stop=stop)
        counts += np.bincount(batch.ordinal, minlength=len(rows))
    assert counts[:start].sum() == counts[stop:].sum() == 0
    assert counts[start] > 0
    assert counts[stop - 1] > 0
    assert stats.chisquare(counts[start:stop]).pvalue > 0.001


def test_a_draw_is_a_function_of_its_key(tmp_path):
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    held.extend(rows_of("tictactoe", 5))
    one, other = (held.sample(generator(1, "x", 5), 32, start=0, stop=held.last) for _ in range(2))
    assert all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


def test_a_ring_keeps_the_newest_and_says_what_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(window, "SLACK", 20)
    held = Window.open(tmp_path, TINY, capacity=100)
    slots = 150
    for begin in range(0, 1000, 7):
        held.extend([tiny_row(number) for number in range(begin, begin + 7)])
        stop = begin + 7
        assert (held.first, held.last) == (max(0, stop - slots), stop)
        batch = held.gather(np.arange(held.first, held.last))
        assert batch.ply.tolist() == list(range(held.first, held.last))
    again = Window.open(tmp_path, TINY, capacity=100)
    assert again.gather(np.arange(again.first, again.last)).ply.tolist() == batch.ply.tolist()
    with pytest.raises(EvidenceError, match=f"keeps rows {held.first:,} to {held.last - 1:,}"):
        held.gather(np.array([held.first - 1]))
    with pytest.raises(EvidenceError, match="keeps rows"):
        held.sample(np.random.default_rng(0), 4, start=0, stop=held.last)
    assert (tmp_path / window.FILE).stat().st_size == window.HEADER + slots * 64


def test_more_rows_at_once_than_a_ring_holds_leave_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(window, "SLACK", 20)
    held = Window.open(tmp_path, TINY, capacity=10)
    held.extend([tiny_row(number) for number in range(500)])
    assert held.last == 500
    assert held.gather(np.arange(held.first, 500)).ply.tolist() == list(range(held.first, 500))
    assert held.last - held.first >= 10


@pytest.mark.parametrize("capacity", [None, 100])
def test_going_back_forgets_the_rows_after(tmp_path, monkeypatch, capacity):
    monkeypatch.setattr(window, "SLACK", 20)
    held = Window.open(tmp_path, TINY, capacity=capacity)
    held.extend([tiny_row(number) for number in range(300)])
    held.truncate(290)
    assert held.last == 290
    held = Window.open(tmp_path, TINY, capacity=capacity)
    held.extend([tiny_row(1000 + number) for number in range(5)])
    assert held.gather(np.arange(285, 295)).ply.tolist() == [285, 286, 287, 288, 289, 1000, 1001, 1002, 1003, 1004]
    with pytest.raises(EvidenceError, match="has 295 rows where 296 were taken in"):
        held.truncate(296)
    if capacity:
        with pytest.raises(EvidenceError, match="cannot go back to row 100"):
            held.truncate(100)
    held.truncate(0)
    assert (held.first, held.last) == (0, 0)
    held.extend([tiny_row(7)])
    assert held.gather(np.array([0])).ply.tolist() == [7]


def test_observations_that_are_not_only_0_and_1_are_kept_exactly(tmp_path):
    held = Window.open(tmp_path, TINY, capacity=None)
    held.extend([tiny_row(number) for number in range(10)])
    small = (tmp_path / window.FILE).stat().st_size
    held.extend([tiny_row(10, first_value=0.123), tiny_row(11, first_value=-3.0)])
    assert (tmp_path / window.FILE).stat().st_size >= small
    for each in (held, Window.open(tmp_path, TINY, capacity=None)):
        batch = each.gather(np.arange(12))
        assert batch.observation[:, 0].tolist() == [0.0] * 10 + [float(np.float32(0.123)), -3.0]
        assert batch.ply.tolist() == list(range(12))
        assert batch.episode.tolist() == [hash_of(tiny_row(number).episode_id) for number in range(12)]


def test_another_process_that_reads_sees_what_came_when_it_looks_again(tmp_path):
    writer = Window.open(tmp_path, TINY, capacity=None)
    reader = Window.open(tmp_path, TINY, capacity=None)
    assert reader.last == 0
    with pytest.raises(EvidenceError, match="has no rows"):
        reader.gather(np.array([0]))
    writer.extend([tiny_row(number) for number in range(5000)])
    reader.refresh()
    assert reader.last == 5000
    assert reader.gather(np.array([4999, 0])).ply.tolist() == [4999, 0]


def test_a_window_of_another_game_or_capacity_is_refused(tmp_path):
    Window.open(tmp_path, TICTACTOE, capacity=None).extend(rows_of("tictactoe", 1))
    with pytest.raises(EvidenceError, match=r"another game: tictactoe .* not connect4"):
        Window.open(tmp_path, CONNECT4, capacity=None)
    with pytest.raises(UsageError, match="made for a window of all rows, not of 50"):
        Window.open(tmp_path, TICTACTOE, capacity=50)
    with pytest.raises(UsageError, match="1 or more"):
        Window.open(tmp_path, TICTACTOE, capacity=0)


def test_a_damaged_file_is_told(tmp_path):
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    held.extend(rows_of("tictactoe", 5))
    path = tmp_path / window.FILE
    content = bytearray(path.read_bytes())
    content[window.HEADER + 3 * 64 : window.HEADER + 4 * 64] = bytes(64)
    path.write_bytes(content)
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    with pytest.raises(EvidenceError, match=r"Row 3 .* damaged"):
        held.gather(np.arange(5))
    for broken in (b"something else" * 1000, content[:2000]):
        path.write_bytes(broken)
        with pytest.raises(EvidenceError, match="not a window of replay rows"):
            Window.open(tmp_path, TICTACTOE, capacity=None)


def test_an_empty_range_is_a_sentence(tmp_path):
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    held.extend(rows_of("tictactoe", 1))
    with pytest.raises(EvidenceError, match="no rows from 3 to 3"):
        held.sample(np.random.default_rng(0), 4, start=3, stop=3)


def test_a_full_disk_leaves_the_window_as_it_was(tmp_path):
    held = Window.open(tmp_path, TINY, capacity=None)
    held.extend([tiny_row(number) for number in range(900)])
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    more = [tiny_row(number) for number in range(900, 2000)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / window.FILE).stat().st_size, limits[1]))
        with pytest.raises(ClewError, match="grow past the size limit"):
            held.extend(more)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert held.last == 900
    held.extend(more)
    assert held.gather(np.arange(2000)).ply.tolist() == list(range(2000))


EXTEND_FOREVER = """
import sys
from pathlib import Path
from clew.games.replay.window import Window
sys.path.insert(0, str(Path(sys.argv[2])))
from test_replay_window import TINY, tiny_row

held = Window.open(Path(sys.argv[1]), TINY, capacity=int(sys.argv[3]) or None)
begin = 0
while True:
    held.extend([tiny_row(number) for number in range(begin, begin + 50)])
    begin += 50
    print(begin, flush=True)
"""


@pytest.mark.parametrize("capacity", [0, 1000])
def test_a_killed_writer_leaves_what_it_counted(tmp_path, capacity):
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", EXTEND_FOREVER, str(tmp_path), str(Path(__file__).parent), str(capacity)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    told = [int(line) for line in process.stdout.read().split()]
    process.wait()
    held = Window.open(tmp_path, TINY, capacity=capacity or None)
    assert told[-1] <= held.last <= told[-1] + 50
    ordinals = np.arange(held.first, held.last)
    assert held.gather(ordinals).ply.tolist() == ordinals.tolist()


def test_no_policy_or_one_of_the_wrong_length_teaches_the_action():
    rows = random_episode(0, "connect4")
    rows[0] = dataclasses.replace(rows[0], policy_probs=None)
    rows[1] = dataclasses.replace(rows[1], policy_probs=np.full(9, 1 / 9, np.float32))
    targets = make_targets(rows, CONNECT4)
    assert not targets.broken
    for index in (0, 1):
        assert targets.policy[index].tolist() == np.eye(7)[rows[index].action].tolist()


def test_no_outcome_teaches_the_value_of_the_search():
    rows = [dataclasses.replace(row, game_outcome=None) for row in random_episode(0)]
    assert make_targets(rows, TICTACTOE).outcome.tolist() == [np.float32(row.mcts_value) for row in rows]


def test_little_weight_on_illegal_moves_is_moved_to_the_legal_ones():
    rows = random_episode(0, "tictactoe")
    policy = rows[-1].policy_probs * np.float32(0.9995)
    illegal = int(np.flatnonzero(rows[-1].observation[18:27] == 0)[0])
    policy[illegal] = 0.0005
    targets = make_targets([dataclasses.replace(rows[-1], policy_probs=policy)], TICTACTOE)
    assert not targets.broken
    np.testing.assert_allclose(targets.policy[0], rows[-1].policy_probs, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"env_id": "othello"}, "it is of another game than tictactoe"),
        ({"observation": np.zeros(28, np.float32)}, "its observation is not 29 float32 long"),
        ({"observation": b"odd"}, "its observation is not 29 float32 long"),
        ({"observation": np.full(29, np.nan, np.float32)}, "its observation holds values that are no numbers"),
        ({"observation": np.zeros(29, np.float32)}, "no move is legal in its observation"),
        ({"action": 9}, "its action is beyond the 9 actions"),
        ({"action": -1}, "its action is not stored in 4 bytes"),
        ({"step_number": -1}, "its step_number cannot be"),
        ({"policy_probs": np.full(9, np.nan, np.float32)}, "its policy holds values that are no numbers"),
        ({"policy_probs": np.array([2, -1, 0, 0, 0, 0, 0, 0, 0], np.float32)}, "its policy has negative values"),
        ({"policy_probs": np.full(9, 0.2, np.float32)}, "its policy does not sum to 1"),
        ({"policy_probs": np.zeros(9, np.float32)}, "its policy does not sum to 1"),
        ({"game_outcome": float("nan")}, "its game_outcome is no number from -1 to 1"),
        ({"game_outcome": 2.0}, "its game_outcome is no number from -1 to 1"),
        ({"mcts_value": float("inf")}, "its mcts_value is no number from -1 to 1"),
    ],
)
def test_a_broken_row_is_named_and_left_out(tmp_path, change, sentence):
    rows = random_episode(3)
    rows[0] = dataclasses.replace(rows[0], **change)
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    extended = held.extend(rows)
    assert extended.count == len(rows) - 1 == held.last
    assert len(extended.broken) == 1
    assert extended.broken[0].startswith(f"Row {rows[0].id}: {sentence}")
    assert held.gather(np.array([0])).ply.tolist() == [1]


def test_moves_onto_taken_cells_are_named():
    rows = random_episode(3)
    taken = rows[0].action
    illegal_action = dataclasses.replace(rows[1], action=taken)
    weight = np.zeros(9, np.float32)
    weight[taken] = 1
    illegal_weight = dataclasses.replace(rows[2], policy_probs=weight)
    assert make_targets([illegal_action, illegal_weight], TICTACTOE).broken == [
        f"Row {rows[1].id}: its action is not legal in its observation.",
        f"Row {rows[2].id}: its policy puts weight on illegal moves.",
    ]


def test_no_row_and_only_broken_rows_are_fine(tmp_path):
    held = Window.open(tmp_path, TICTACTOE, capacity=None)
    assert held.extend([]).count == 0
    bad = dataclasses.replace(random_episode(0)[0], action=99)
    assert held.extend([bad]).count == 0
    assert held.last == 0
