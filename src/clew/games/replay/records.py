"""How a row lies in a window's file: a record of whole cache lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clew.games.replay.targets import Targets

if TYPE_CHECKING:
    from clew.games.replay.window import Batch

CACHE_LINE = 64
HEAD = 32
"""Bytes before the policy: ordinal i64, episode u64, outcome f32, root value f32, ply i32, and 4 that are zero."""


@dataclass(frozen=True)
class Layout:
    """Head, policy float32[num_actions], observation; little-endian, filled up with zeros to whole cache lines."""

    obs_size: int
    num_actions: int
    small: bool
    """Whether observations are whole numbers from 0 to 255 (those of board games are 0 and 1), a byte each."""

    @property
    def size(self) -> int:
        """Bytes of a record."""
        used = HEAD + 4 * self.num_actions + (1 if self.small else 4) * self.obs_size
        return -(-used // CACHE_LINE) * CACHE_LINE

    @property
    def dtype(self) -> np.dtype[Any]:
        """The record as numpy knows it."""
        names = {
            "ordinal": ("<i8", 0),
            "episode": ("<u8", 8),
            "outcome": ("<f4", 16),
            "root_value": ("<f4", 20),
            "ply": ("<i4", 24),
            "policy": (("<f4", (self.num_actions,)), HEAD),
            "observation": (("u1" if self.small else "<f4", (self.obs_size,)), HEAD + 4 * self.num_actions),
        }
        return np.dtype(
            {
                "names": list(names),
                "formats": [kind for kind, _ in names.values()],
                "offsets": [offset for _, offset in names.values()],
                "itemsize": self.size,
            }
        )


def hash_of(episode_id: str) -> int:
    """64 bits that stand for an episode, whatever the machine."""
    return int.from_bytes(hashlib.blake2b(episode_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def fill_records(layout: Layout, source: Targets | Batch, begin: int, end: int, ordinal: int) -> npt.NDArray[np.void]:
    """Records of rows `begin` to `end` of `source`, the first of which has `ordinal`."""
    records = np.zeros(end - begin, layout.dtype)
    records["ordinal"] = np.arange(ordinal, ordinal + end - begin)
    if isinstance(source, Targets):
        records["episode"] = [hash_of(row.episode_id) for row in source.rows[begin:end]]
    else:
        records["episode"] = source.episode[begin:end]
    for name in ("outcome", "root_value", "ply", "policy", "observation"):
        records[name] = getattr(source, name)[begin:end]
    return records
