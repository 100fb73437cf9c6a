"""How a row lies in a window's file, a record of whole cache lines, and how it comes out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clew.games.replay.targets import Targets

CACHE_LINE = 64
HEAD = 24
"""Bytes before the policy: episode u64, ordinal u32 (its low bits), outcome f32, root value f32, ply i32."""


class Batch(NamedTuple):
    """Rows of a window; each array has one entry a row."""

    observation: npt.NDArray[np.float32]
    """float32[rows, obs_size]."""
    policy: npt.NDArray[np.float32]
    """float32[rows, num_actions]: the target, 0 for illegal moves."""
    outcome: npt.NDArray[np.float32]
    """float32[rows], from the view of the player to move."""
    root_value: npt.NDArray[np.float32]
    """float32[rows], likewise: what the search thought."""
    ply: npt.NDArray[np.int32]
    """int32[rows]: moves made before, as `seats.plies` tells them."""
    ordinal: npt.NDArray[np.int64]
    """int64[rows]."""
    episode: npt.NDArray[np.uint64]
    """uint64[rows]: `hash_of` the episode's id."""


@dataclass(frozen=True)
class Layout:
    """Head, policy float32[num_actions], observation; little-endian, filled up with zeros to whole cache lines.

    A row of tictactoe or connect4 is one cache line so: what a sample costs is waiting for memory.
    """

    obs_size: int
    num_actions: int
    bits: bool
    """Whether observations are 0 and 1 only, as those of board games are, a bit each; else they are float32."""

    @cached_property
    def size(self) -> int:
        """Bytes of a record."""
        return -(-self.dtype.itemsize // CACHE_LINE) * CACHE_LINE

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """What is used of a record, as numpy knows it."""
        observation = ("u1", (-(-self.obs_size // 8),)) if self.bits else ("<f4", (self.obs_size,))
        return np.dtype(
            [
                ("episode", "<u8"),
                ("ordinal", "<u4"),
                ("outcome", "<f4"),
                ("root_value", "<f4"),
                ("ply", "<i4"),
                ("policy", "<f4", (self.num_actions,)),
                ("observation", *observation),
            ]
        )


def hash_of(episode_id: str) -> int:
    """64 bits that stand for an episode, whatever the machine."""
    return int.from_bytes(hashlib.blake2b(episode_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def fill_records(layout: Layout, source: Targets | Batch, begin: int, end: int, ordinal: int) -> npt.NDArray[np.uint8]:
    """Records uint8[count, size] of rows `begin` to `end` of `source`, the first of which has `ordinal`."""
    count, used = end - begin, layout.dtype.itemsize
    records = np.zeros(count, layout.dtype)
    records["ordinal"] = np.arange(ordinal, ordinal + count).astype(np.uint32)
    if isinstance(source, Targets):
        names = [row.episode_id for row in source.rows[begin:end]]
        hashes = {name: hash_of(name) for name in set(names)}
        records["episode"] = [hashes[name] for name in names]
    else:
        records["episode"] = source.episode[begin:end]
    for name in ("outcome", "root_value", "ply", "policy"):
        records[name] = getattr(source, name)[begin:end]
    observation = source.observation[begin:end]
    records["observation"] = np.packbits(observation != 0, axis=1, bitorder="little") if layout.bits else observation
    filled = np.zeros((count, layout.size), np.uint8)
    filled[:, :used] = records.view(np.uint8).reshape(count, used)
    return filled
