"""How fast a learner samples and actors write, and whether anything is lost on the way.

Sampling: a batch of 64 from windows of 100,000 and 1,000,000 rows of connect4, in turns, beside SQLite's
`ORDER BY RANDOM()` and numpy's indexing of the same rows. Writing: rows a second of one actor into SQLite, and of four
actor processes into PostgreSQL while a learner tails them, checked by count and hash.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import multiprocessing.synchronize
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import emit, figure, say

from clew.core.randomness import generator
from clew.games.replay import Replay, Transition
from clew.games.replay.targets import make_targets
from clew.games.replay.transitions import to_row
from clew.games.replay.window import Window
from clew.games.rules import find_game

TESTS = Path(__file__).resolve().parent.parent / "tests"
BATCH = 64
GAME = find_game("connect4")
SIZES = {"100k": 100_000, "1m": 1_000_000}


def episodes(count: int) -> list[list[Transition]]:
    """Random games of connect4."""
    sys.path.insert(0, str(TESTS))
    from episodes import random_episode

    return [random_episode(number, "connect4") for number in range(count)]


def renamed(episode: list[Transition], actor: str, number: int) -> list[Transition]:
    """The same game under another name: making games is not what is measured."""
    import dataclasses

    name = f"{actor}-ep-{number}-0"
    return [
        dataclasses.replace(row, id=f"{name}-step-{row.step_number}", episode_id=name, env_id="connect4")
        for row in episode
    ]


def filled(folder: Path, size: int, rows: list[Transition]) -> Window:
    """A window of `size` rows."""
    window = Window.open(folder, GAME, capacity=None)
    repeated = rows * (10_000 // len(rows) + 1)
    while window.last < size:
        window.extend(repeated[: min(10_000, size - window.last)])
    window.close()
    return Window.open(folder, GAME, capacity=None)


def in_turns(work: dict[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taken in turns so that what else the machine does meets all alike."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for step in range(rounds):
        for name, each in work.items():
            begun = time.perf_counter()
            each(step)
            taken[name].append(time.perf_counter() - begun)
    return {name: 1000 * statistics.median(values[rounds // 10 :]) for name, values in taken.items()}


def measure_sampling(folder: Path, rows: list[Transition], rounds: int) -> dict[str, float]:
    """Milliseconds a batch."""
    windows = {name: filled(folder / name, size, rows) for name, size in SIZES.items()}
    random = generator(0, "benchmark")
    work: dict[str, Callable[[int], object]] = {
        name: lambda _, window=window: window.sample(random, BATCH, start=0, stop=window.last)
        for name, window in windows.items()
    }
    targets = make_targets(rows, GAME)
    times = SIZES["100k"] // len(rows) + 1
    names = ("policy", "outcome", "root_value", "ply")
    columns = [np.concatenate([getattr(targets, name)] * times) for name in names]
    cells = np.concatenate([targets.observation.astype(np.uint8)] * times)

    def by_indexing(_: int) -> Any:
        chosen = random.integers(0, SIZES["100k"], BATCH)
        return cells[chosen].astype(np.float32), [column[chosen] for column in columns]

    return in_turns(work, rounds) | in_turns({"numpy_100k": by_indexing}, rounds // 4)


def measure_sqlite(folder: Path, games: list[list[Transition]]) -> tuple[float, float]:
    """Rows a second appended by one actor, and milliseconds of ORDER BY RANDOM() at 100,000 rows."""
    path = folder / "replay.db"
    prepared = [renamed(games[number % len(games)], "actor", number) for number in range(500)]
    with Replay.open(path, create=True) as replay:
        begun = time.perf_counter()
        for episode in prepared:
            replay.append(episode)
        rate = sum(map(len, prepared)) / (time.perf_counter() - begun)
    values = [to_row(row) for game in games for row in game]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (there,) = connection.execute("SELECT COUNT(*) FROM transitions").fetchone()
        connection.executemany(
            f"INSERT INTO transitions (id, env_id, episode_id, step_number, state, action, next_state, observation, "
            f"next_observation, reward, done, timestamp, policy_probs, mcts_value, game_outcome) "
            f"VALUES ({', '.join('?' * 15)})",
            ((f"filler-{number}", *values[number % len(values)][1:]) for number in range(SIZES["100k"] - there)),
        )
        connection.commit()
        taken = []
        for _ in range(7):
            begun = time.perf_counter()
            found = connection.execute(
                "SELECT observation, policy_probs, game_outcome FROM transitions ORDER BY RANDOM() LIMIT ?", [BATCH]
            ).fetchall()
            taken.append(time.perf_counter() - begun)
        assert len(found) == BATCH
    return rate, 1000 * statistics.median(taken)


def hash_of_row(row: Transition) -> int:
    """64 bits of all that is stored of a row; their sum says whether two sets of rows are the same."""
    return int.from_bytes(hashlib.blake2b(repr(to_row(row)).encode(), digest_size=8).digest(), "little")


def act(
    url: str, actor: str, count: int, start: multiprocessing.synchronize.Barrier, told: multiprocessing.Queue[Any]
) -> None:
    """An actor process: writes games as fast as the database takes them."""
    games = episodes(20)
    prepared = [renamed(games[number % len(games)], actor, number) for number in range(count)]
    with Replay.open(url, create=True) as replay:
        replay.upsert_metadata(GAME)
        start.wait()
        for episode in prepared:
            replay.append(episode)
    rows = [row for episode in prepared for row in episode]
    told.put((len(rows), sum(map(hash_of_row, rows)) % 2**64))


def measure_postgres(seconds: float, folder: Path) -> float | None:
    """Rows a second that went from four actors through PostgreSQL into a learner's window; None without a server."""
    sys.path.insert(0, str(TESTS))
    from postgres_server import NoPostgresError, Server

    try:
        server = Server()
    except NoPostgresError as error:
        say(f"postgres_rows_per_second is left out. {error}")
        return None
    try:
        url = server.new_database()
        spawn = multiprocessing.get_context("spawn")
        start, told = spawn.Barrier(5), spawn.Queue()
        count = max(20, int(40 * seconds))
        actors = [spawn.Process(target=act, args=(url, f"actor{index}", count, start, told)) for index in range(4)]
        for each in actors:
            each.start()
        rows_seen, hash_seen, position = 0, 0, None
        window = Window.open(folder / "postgres", GAME, capacity=None)
        with Replay.open(url, create=True) as learner:
            start.wait()
            begun = time.perf_counter()
            while True:
                finished = not any(each.is_alive() for each in actors) or told.qsize() == len(actors)
                rows, position = learner.tail("connect4", position, 4096)
                extended = window.extend(rows)
                assert not extended.broken
                rows_seen += len(rows)
                hash_seen = (hash_seen + sum(map(hash_of_row, rows))) % 2**64
                if finished and not rows:
                    break
                if len(rows) < 4096:
                    time.sleep(0.01)
            taken = time.perf_counter() - begun
        written = [told.get() for _ in actors]
        for each in actors:
            each.join()
        rows_written, hash_written = sum(count for count, _ in written), sum(each for _, each in written) % 2**64
        if (rows_seen, hash_seen) != (rows_written, hash_written) or window.last != rows_written:
            raise SystemExit(f"{rows_written} rows were written and {rows_seen} were read: they are not the same rows")
        say(f"four actors wrote {rows_written:,} rows; the learner read each of them once (count and hash agree)")
        return rows_written / taken
    finally:
        server.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer, for steadier figures")
    full = parser.parse_args().full
    games = episodes(60)
    rows = [row for game in games for row in game]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("sampling batches of 64 from 100,000 and from 1,000,000 rows, in turns")
        sampling = measure_sampling(folder, rows, 20_000 if full else 4_000)
        say("one actor into SQLite; ORDER BY RANDOM() at 100,000 rows")
        sqlite_rate, random_ms = measure_sqlite(folder, games)
        say("four actors and a learner on PostgreSQL")
        postgres_rate = measure_postgres(30 if full else 5, folder)
    figures = {
        "sample_ms_100k": figure(sampling["100k"], "ms", target=0.1, better="lower"),
        "sample_ms_1m": figure(sampling["1m"], "ms", target=0.1, better="lower"),
        "sample_1m_over_100k": figure(sampling["1m"] / sampling["100k"], "x", better="lower"),
        "numpy_indexing_ms_100k": figure(sampling["numpy_100k"], "ms", better="lower"),
        "sqlite_order_by_random_ms_100k": figure(random_ms, "ms", better="lower"),
        "sqlite_rows_per_second": figure(sqlite_rate, "rows/s"),
    }
    if postgres_rate is not None:
        figures["postgres_rows_per_second"] = figure(postgres_rate, "rows/s")
    emit("replay", figures)


if __name__ == "__main__":
    main()
