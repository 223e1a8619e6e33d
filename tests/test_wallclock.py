"""Monotonic times as times since the epoch."""

from __future__ import annotations

import time

import pytest

from ezpq_exec import wallclock


class Clocks:
    """Two clocks, with a thread that is held up between readings for as long as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed, self.set_by, self.held_up = 1000.0, 1.7e9, 0.0
        self.hold_ups: list[float] = []  # of the next readings, one after another
        monkeypatch.setattr(wallclock, "_known", None)
        monkeypatch.setattr(time, "monotonic", lambda: self.passed)
        monkeypatch.setattr(time, "time", self._time)

    def _time(self) -> float:
        self.passed += self.hold_ups.pop() if self.hold_ups else self.held_up
        return self.passed + self.set_by


def test_it_is_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a thread is held up between its looks at the two clocks."""
    clocks = Clocks(monkeypatch)
    first = wallclock.offset()
    for clocks.held_up in (0.0, 1e-5, 0.05, 3.0):
        clocks.passed += 1.0
        assert wallclock.offset() == first


def test_it_is_the_same_though_the_first_look_was_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading during which the thread was held up is not what all others are held to."""
    clocks = Clocks(monkeypatch)
    clocks.hold_ups = [0.05, 0.0, 0.05]
    first = wallclock.offset()
    assert first == pytest.approx(1.7e9, abs=1e-4)
    assert wallclock.offset() == first


@pytest.mark.parametrize("jump", [-3600.0, 0.5, 86400.0])
def test_a_clock_that_was_set_counts_from_then_on(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """By the user, or for summer time."""
    clocks = Clocks(monkeypatch)
    first = wallclock.offset()
    clocks.set_by += jump
    assert wallclock.offset() == pytest.approx(first + jump)
