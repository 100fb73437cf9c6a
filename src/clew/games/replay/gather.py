"""The compiled inner loop of sampling: records at random places of a mapped file, copied into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_POLICY = 24


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
    bits: bool,
    observation: Any,
    policy: Any,
    outcome: Any,
    root_value: Any,
    ply: Any,
    ordinals: Any,
    episode: Any,
) -> int:
    """Copy the records of `ordinals` into the other arrays; return the first index that is not held, or -1.

    `data`: the mapped file, uint8; records of `size` bytes begin at `begin`, `slots` of them, observations in bits
    where `bits`, else in float32.
    """
    for index in range(len(ordinals)):
        if ordinals[index] < first or ordinals[index] >= last:
            return index
    if _touch(data, begin, size, slots, ordinals) < 0:
        return 0
    marks = data.view(np.uint64)
    numbers = data.view(np.uint32)
    floats = data.view(np.float32)
    wholes = data.view(np.int32)
    obs_size, num_actions = observation.shape[1], policy.shape[1]
    whole_bytes = obs_size // 8
    for index in range(len(ordinals)):
        base = begin + (ordinals[index] % slots) * size
        word = base // 4
        if numbers[word + 2] != np.uint32(ordinals[index]):
            return index
        episode[index] = marks[base // 8]
        outcome[index] = floats[word + 3]
        root_value[index] = floats[word + 4]
        ply[index] = wholes[word + 5]
        for action in range(num_actions):
            policy[index, action] = floats[word + _POLICY // 4 + action]
        if bits:
            at = base + _POLICY + 4 * num_actions
            for place in range(whole_bytes):
                byte = np.uint32(data[at + place])
                for bit in range(8):
                    observation[index, 8 * place + bit] = np.float32((byte >> np.uint32(bit)) & np.uint32(1))
            for cell in range(8 * whole_bytes, obs_size):
                observation[index, cell] = np.float32(
                    (np.uint32(data[at + whole_bytes]) >> np.uint32(cell & 7)) & np.uint32(1)
                )
        else:
            for cell in range(obs_size):
                observation[index, cell] = floats[word + _POLICY // 4 + num_actions + cell]
    return -1
