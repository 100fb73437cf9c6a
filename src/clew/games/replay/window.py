"""The learner's window: the rows it samples from, one fixed record each, in one memory-mapped file.

A row's ordinal is its number since the window began. The record of an ordinal never moves, except in a ring of
limited capacity, where it is overwritten in the end. Records are written first and counted in the header after, so
that a process killed between leaves what was counted before.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.games.replay.gather import gather
from clew.games.replay.records import Batch as Batch
from clew.games.replay.records import Layout, fill_records
from clew.games.replay.targets import Targets, make_targets
from clew.games.replay.transitions import Transition
from clew.games.rules import GameInfo

FILE = "rows.bin"
HEADER = 4096
"""Bytes before the first record: one page."""
SLACK = 65536
"""A ring keeps at least so many rows beyond its capacity: a resumed run samples what it sampled then."""
FIRST_SLOTS = 1024
"""Records that a growing file begins with; it doubles."""
TOUCHED = 2 << 30
"""Bytes at most that are mapped ahead when a window is opened."""

_MAGIC = b"CLEWROWS"
_COUNTS = 8
"""Where the header has the oldest and the next ordinal, int64 each."""
_TEXT = 64
"""Where the header has its description, JSON that ends at the first zero byte."""


@dataclass(frozen=True)
class Extended:
    """What became of rows given to a window."""

    count: int
    """Rows taken in."""
    broken: list[str]
    """A sentence about each row that was not."""


class Window:
    """Rows in a folder, to be extended by one process and sampled by any number; see `Window.open`."""

    def __init__(self, folder: Path, info: GameInfo, capacity: int | None) -> None:
        self._path, self._info, self._capacity = folder / FILE, _plain(info), capacity
        self._layout: Layout | None = None
        self._descriptor = -1
        self._slots = 0
        self._first, self._last = 0, 0
        self._bytes: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)

    @classmethod
    def open(cls, folder: Path, info: GameInfo, *, capacity: int | None = None) -> Self:
        """The window in `folder`, empty where there is none yet.

        `capacity` None: all rows are kept. A number: at least the newest so many, and older ones for a while.
        Raises `EvidenceError` for a window of another game, and `UsageError` for one of another capacity.
        """
        if capacity is not None and capacity < 1:
            raise UsageError(f"A window of {capacity} rows holds nothing: the capacity is 1 or more.")
        window = cls(folder, info, capacity)
        if window._path.is_file():
            window._open()
        return window

    @property
    def first(self) -> int:
        """The oldest ordinal that can be sampled."""
        return self._first

    @property
    def last(self) -> int:
        """The ordinal that the next row gets: one past the newest, and the number of rows since the window began."""
        return self._last

    def __len__(self) -> int:
        return self._last - self._first

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._bytes, self._layout = np.zeros(0, np.uint8), None

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    # Writing

    def extend(self, rows: Sequence[Transition]) -> Extended:
        """Take in rows; the next ordinals are theirs, in order. What cannot be trained on is named and left out.

        Raises `ClewError` when the system refuses to write; the window is then as it was.
        """
        targets = make_targets(rows, self._info)
        count = len(targets.rows)
        if count:
            layout = self._ready_for(targets)
            # Never more at once than a ring has beyond its capacity: the newest rows stay whole at any instant.
            for begin in range(0, count, SLACK):
                self._write(layout, targets, begin, min(begin + SLACK, count))
        return Extended(count, targets.broken)

    def truncate(self, last: int) -> None:
        """Forget the rows from ordinal `last` on. 0: begin anew.

        Raises `EvidenceError` where a ring has overwritten the rows before them.
        """
        if last >= self._last:
            if last > self._last:
                raise EvidenceError(
                    f"{self._path} has {self._last:,} rows where {last:,} were taken in: it is not the file that was "
                    "written. Restore it, or start anew."
                )
            return
        if 0 < last <= self._first or last < 0:
            raise EvidenceError(
                f"{self._path} cannot go back to row {last:,}: it keeps rows {self._first:,} to {self._last - 1:,}."
            )
        with files.sentences_for(self._path, "cut"):
            self._set_counts(self._first if last else 0, last)

    def _ready_for(self, targets: Targets) -> Layout:
        """The layout that the rows will have: chosen by the first ones, and widened where later ones need it."""
        bits = bool(((targets.observation == 0) | (targets.observation == 1)).all())
        if self._layout is None:
            self._make(Layout(self._info.obs_size, self._info.num_actions, bits=bits))
        elif self._layout.bits and not bits:
            self._widen()
        assert self._layout is not None
        return self._layout

    def _write(self, layout: Layout, targets: Targets, begin: int, end: int) -> None:
        start, stop = self._last, self._last + end - begin
        with files.sentences_for(self._path, "write"):
            if self._capacity is None and stop > self._slots:
                self._grow(layout, stop)
            # A ring's oldest rows are given up before they are overwritten.
            first = max(self._first, stop - self._slots)
            if first > self._first:
                self._set_counts(first, self._last)
            records = fill_records(layout, targets, begin, end, start)
            done = 0
            while done < len(records):
                slot = (start + done) % self._slots
                piece = records[done : done + self._slots - slot]
                _write_all(self._descriptor, piece.tobytes(), HEADER + slot * layout.size)
                done += len(piece)
            self._set_counts(self._first, stop)

    def _grow(self, layout: Layout, needed: int) -> None:
        slots = self._slots
        while slots < needed:
            slots *= 2
        # Written by pwrite and not through the map, where a full disk would be a fatal signal.
        os.ftruncate(self._descriptor, HEADER + slots * layout.size)
        self._slots = slots
        self._map()

    def _set_counts(self, first: int, last: int) -> None:
        _write_all(self._descriptor, np.array([first, last], "<i8").tobytes(), _COUNTS)
        self._first, self._last = first, last

    # The file

    def _make(self, layout: Layout) -> None:
        """Make the file, with no row yet."""
        slots = FIRST_SLOTS if self._capacity is None else self._capacity + max(self._capacity // 2, SLACK)
        with files.sentences_for(self._path, "write"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(_header(self._info, self._capacity, layout, 0, 0), slots, layout, [])
        self._open()

    def _widen(self) -> None:
        """Write the file anew with float32 observations; ordinals stay."""
        assert self._layout is not None
        wide = Layout(self._info.obs_size, self._info.num_actions, bits=False)
        pieces = (range(begin, min(begin + 4096, self._last)) for begin in range(self._first, self._last, 4096))
        with files.sentences_for(self._path, "write"):
            header = _header(self._info, self._capacity, wide, self._first, self._last)
            self._replace(header, self._slots, wide, pieces)
        self.close()
        self._open()

    def _replace(self, header: bytes, slots: int, layout: Layout, pieces: Any) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{FILE}.", suffix=".tmp", dir=self._path.parent)
        try:
            _write_all(descriptor, header, 0)
            os.ftruncate(descriptor, HEADER + slots * layout.size)
            for ordinals in pieces:
                batch = self.gather(np.asarray(ordinals, np.int64))
                records = fill_records(layout, batch, 0, len(ordinals), ordinals[0])
                for index, ordinal in enumerate(ordinals):
                    _write_all(descriptor, records[index].tobytes(), HEADER + ordinal % slots * layout.size)
            os.fsync(descriptor)
            os.fchmod(descriptor, files.FILE_MODE)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def _open(self) -> None:
        with files.sentences_for(self._path, "open"):
            self._descriptor = os.open(self._path, os.O_RDWR)
            header = os.pread(self._descriptor, HEADER, 0)
            size = os.fstat(self._descriptor).st_size
        broken = EvidenceError(f"{self._path} is not a window of replay rows, or is damaged. Delete it and start anew.")
        if header[:8] != _MAGIC or len(header) < HEADER:
            raise broken
        try:
            described = json.loads(header[_TEXT:].split(b"\0", 1)[0])
            theirs = GameInfo(**described["game"])
            layout = Layout(theirs.obs_size, theirs.num_actions, bits=bool(described["bits"]))
            capacity = described["capacity"]
        except (ValueError, KeyError, TypeError) as error:
            raise broken from error
        if theirs != self._info:
            raise EvidenceError(
                f"{self._path} holds rows of another game: {theirs.env_id} with observations of {theirs.obs_size} and "
                f"{theirs.num_actions} actions, not {self._info.env_id} with {self._info.obs_size} and "
                f"{self._info.num_actions}. Choose another folder."
            )
        if capacity != self._capacity:
            raise UsageError(
                f"{self._path} was made for a window of {capacity or 'all'} rows, not of {self._capacity or 'all'}. "
                "Choose another folder, or delete it to fill it anew."
            )
        self._layout = layout
        self._slots = (size - HEADER) // layout.size
        first, last = (int(each) for each in np.frombuffer(header, "<i8", 2, _COUNTS))
        if not 0 <= first <= last or last - first > self._slots:
            raise broken
        self._first, self._last = first, last
        self._map()

    def _map(self) -> None:
        """Map the file as it is now, and touch what is in it, so that no sample waits for the mapping of a page."""
        assert self._layout is not None
        mapped = mmap.mmap(self._descriptor, HEADER + self._slots * self._layout.size, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(mapped, np.uint8)
        used = min(self._last, self._slots) * self._layout.size
        self._bytes[: HEADER + min(used, TOUCHED) : mmap.PAGESIZE].max()

    # Reading

    def refresh(self) -> None:
        """Look again at what another process has taken in."""
        if self._layout is not None:
            self.close()
        if self._path.is_file():
            self._open()

    def sample(self, random: np.random.Generator, batch_size: int, *, start: int, stop: int) -> Batch:
        """`batch_size` rows drawn uniformly, with replacement, from ordinals `start` to `stop` - 1.

        Raises `EvidenceError` for an empty range, or one that the window does not hold.
        """
        if start >= stop:
            raise EvidenceError(f"There are no rows from {start:,} to {stop:,} to sample from in {self._path}.")
        if start < self._first or stop > self._last:
            raise self._not_held(start, stop)
        return self.gather(random.integers(start, stop, batch_size))

    def gather(self, ordinals: npt.NDArray[np.int64]) -> Batch:
        """The rows of `ordinals`, int64[rows], in their order. Raises `EvidenceError` for one not held."""
        layout, count = self._layout, len(ordinals)
        ordinals = np.ascontiguousarray(ordinals, np.int64)
        if layout is None:
            raise self._not_held(int(min(ordinals, default=0)), int(max(ordinals, default=0)) + 1)
        batch = Batch(
            np.empty((count, layout.obs_size), np.float32),
            np.empty((count, layout.num_actions), np.float32),
            np.empty(count, np.float32),
            np.empty(count, np.float32),
            np.empty(count, np.int32),
            ordinals,
            np.empty(count, np.uint64),
        )
        held = (self._slots, self._first, self._last)
        wrong = gather(self._bytes, HEADER, layout.size, *held, layout.bits, *batch)
        if wrong >= 0:
            ordinal = int(ordinals[wrong])
            if self._first <= ordinal < self._last:
                raise EvidenceError(
                    f"Row {ordinal:,} of {self._path} was overwritten, or the file is damaged. Read it again, or "
                    "delete it to fill it anew."
                )
            raise self._not_held(int(ordinals.min()), int(ordinals.max()) + 1)
        return batch

    def _not_held(self, start: int, stop: int) -> EvidenceError:
        held = f"keeps rows {self._first:,} to {self._last - 1:,}" if len(self) else "has no rows"
        return EvidenceError(f"Rows {start:,} to {stop - 1:,} were asked for, but {self._path} {held}.")


def _plain(info: GameInfo) -> GameInfo:
    return GameInfo(**{name: getattr(info, name) for name in GameInfo.__dataclass_fields__})


def _header(info: GameInfo, capacity: int | None, layout: Layout, first: int, last: int) -> bytes:
    described = {"game": asdict(info), "capacity": capacity, "bits": layout.bits}
    counts = np.array([first, last], "<i8").tobytes()
    return ((_MAGIC + counts).ljust(_TEXT, b"\0") + files.canonical_json(described).encode()).ljust(HEADER, b"\0")


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
