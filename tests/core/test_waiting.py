"""Pauses between attempts."""

from __future__ import annotations

import pytest

from clew.core import waiting
from clew.core.waiting import Pauses


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        def __init__(self):
            self.now, self.slept = 100.0, []

        def sleep(self, seconds):
            self.slept.append(seconds)
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock.now)
    return clock


def test_pauses_double_to_the_longest_and_end_at_the_limit(clock):
    pauses = Pauses(4.0, 10.0, first=1.0, sleep=clock.sleep)
    while pauses.take():
        pass
    assert clock.slept == [1.0, 2.0, 4.0, 3.0]
    assert clock.now == 110.0
    pauses.reset()
    assert pauses.take()
    assert clock.slept[-1] == 1.0


def test_without_a_limit_left_there_is_no_pause(clock):
    assert not Pauses(4.0, 0.0, sleep=clock.sleep).take()
    assert clock.slept == []
