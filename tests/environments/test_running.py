"""Running statistics, against numpy over everything at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clew.environments.running import Running


def test_in_parts_it_is_the_mean_and_deviation_of_all():
    rows = np.random.default_rng(0).normal(3, 2, (500, 4)).astype(np.float32)
    running = Running(4)
    for start in range(0, 500, 37):
        running.update(rows[start : start + 37])
    assert running.count == 500
    np.testing.assert_allclose(running.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(running.std, rows.astype(np.float64).std(axis=0), rtol=1e-12)


def test_its_state_is_the_same_bits():
    running, again = Running(3), Running(3)
    running.update(np.random.default_rng(1).normal(size=(7, 3)))
    again.restore(json.loads(json.dumps(running.state())))
    assert again.mean.tobytes() == running.mean.tobytes()
    assert again.std.tobytes() == running.std.tobytes()
    with pytest.raises(ValueError, match="3 numbers where 2"):
        Running(2).restore(running.state())
