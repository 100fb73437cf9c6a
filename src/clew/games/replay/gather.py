"""The compiled inner loop of sampling: records at random places of a mapped file, copied into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_POLICY = 32


@njit(cache=True)
def _touch(data: Any, begin: int, size: int, slots: int, ordinals: Any) -> int:
    """Read one byte of each cache line of each record: the processor waits for many of them at once."""
    total = 0
    for index in range(len(ordinals)):
        base = begin + (ordinals[index] % slots) * size
        for offset in range(0, size, 64):
            total += data[base + offset]
    return total


@njit(cache=True)
def gather(
    data: Any,
    begin: int,
    size: int,
    slots: int,
    first: int,
    last: int,
    small: bool,
    observation: Any,
    policy: Any,
    outcome: Any,
    root_value: Any,
    ply: Any,
    ordinals: Any,
    episode: Any,
) -> int:
    """Copy the records of `ordinals` into the other arrays; return the first index that is not held, or -1.

    `data`: the mapped file, uint8; records of `size` bytes begin at `begin`, `slots` of them, observations in bytes
    where `small`, else in float32.
    """
    for index in range(len(ordinals)):
        if ordinals[index] < first or ordinals[index] >= last:
            return index
    if _touch(data, begin, size, slots, ordinals) < 0:
        return 0
    words = data.view(np.int64)
    marks = data.view(np.uint64)
    floats = data.view(np.float32)
    wholes = data.view(np.int32)
    obs_size, num_actions = observation.shape[1], policy.shape[1]
    for index in range(len(ordinals)):
        base = begin + (ordinals[index] % slots) * size
        if words[base // 8] != ordinals[index]:
            return index
        episode[index] = marks[base // 8 + 1]
        outcome[index] = floats[base // 4 + 4]
        root_value[index] = floats[base // 4 + 5]
        ply[index] = wholes[base // 4 + 6]
        at = (base + _POLICY) // 4
        for action in range(num_actions):
            policy[index, action] = floats[at + action]
        if small:
            at = base + _POLICY + 4 * num_actions
            for cell in range(obs_size):
                observation[index, cell] = data[at + cell]
        else:
            at += num_actions
            for cell in range(obs_size):
                observation[index, cell] = floats[at + cell]
    return -1
