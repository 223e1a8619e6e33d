"""What a worker tells its keeper of deadlines: no word too many, and none too few."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines.alarm import DEADLINE, Alarm
    from ezpq_exec.engines.channel import Frame, Kind
    from ezpq_exec.engines.page import Page


class Rig:
    """An alarm, the keeper's end of its pipe, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.alarm = Alarm(self.writer)
        memory = Page.allocate()
        self.page = Page(memory)
        os.close(memory)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def begin(self, timeout: float, held_up: float = 0.0) -> list[float]:
        """A job begins, and its worker gets no processor for a while; what the keeper is told."""
        started, self.now = self.now, self.now + held_up
        job = Frame(1, Kind.CALL, timeout, 0.0, 0.0, 0, b"")
        self.alarm.watch(self.page, job, started)
        try:
            data = os.read(self.reader, 4096)
        except BlockingIOError:
            return []
        return [moment for (moment,) in DEADLINE.iter_unpack(data)]

    def close(self) -> None:
        self.page.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A worker's alarm, of which its keeper has heard nothing yet."""
    made = Rig(monkeypatch)
    yield made
    monkeypatch.undo()
    made.close()


def test_a_keeper_that_wakes_soon_enough_needs_no_word(rig: Rig) -> None:
    """It looks at the page then, and sees the deadline that is later."""
    assert rig.begin(0.5) == [1000.5]
    rig.now += 0.1
    assert rig.begin(0.5) == []


def test_an_earlier_deadline_needs_one(rig: Rig) -> None:
    assert rig.begin(5.0) == [1005.0]
    rig.now += 0.1
    assert rig.begin(0.5) == [1000.6]


def test_a_worker_that_is_held_up_before_it_says_that_it_begins_tells_the_keeper(rig: Rig) -> None:
    """The keeper woke in the meantime, saw that nothing ran, and has gone to sleep for good."""
    assert rig.begin(0.5) == [1000.5]
    rig.now += 0.1
    assert rig.begin(0.5, held_up=0.45) == [1000.6]
