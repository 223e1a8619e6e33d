"""Which keepers may fork their next worker, and when."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from ezpq_exec import JobTimeout, PriorityExecutor
from gates import PATIENCE, Gate, hold

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines.messages import Born, Died
    from ezpq_exec.engines.renewal import AFTER, BEFORE, Renewals

    DEATH = Died(1, -9, "TIMED_OUT", 1, 0.0, 0.0, None, ())


class Slot:
    """As much of a link as is asked for: what its job is, when that is to be killed, its orders."""

    def __init__(self, *, due_in: float | None = None) -> None:
        self.number = 1 if due_in is not None else 0
        self.due = 0.0 if due_in is None else time.monotonic() + due_in
        self.orders: list[str] = []
        self.closed = False
        self.is_tidy = False

    def tidy(self) -> None:
        """What is left of its worker goes before the next can come."""
        self.is_tidy = True

    def order(self, what: str) -> None:
        """What its keeper is told: to fork only once nothing is left of the last worker."""
        assert self.is_tidy
        self.is_tidy = False
        self.orders.append(what)


def renewals(slot: Any, reason: str | None = "TIMED_OUT") -> Any:
    owed = Renewals()
    owed.hear(slot, DEATH._replace(reason=reason))
    return owed


@pytest.mark.parametrize("others", [[], [Slot()], [Slot(due_in=1000)], [Slot(due_in=-1000)]])
def test_where_no_kill_is_near_a_keeper_may_fork_at_once(others: list[Any]) -> None:
    """Once: nothing is said to it again."""
    slot = Slot()
    owed = renewals(slot)
    assert owed.give(None, others) is None
    assert owed.give(1.0, others) == 1.0
    assert slot.orders == ["fork"]


def test_while_a_kill_is_near_it_waits() -> None:
    """And whoever sleeps meanwhile is to look again soon."""
    slot, other = Slot(), Slot(due_in=0.0)
    owed = renewals(slot)
    assert owed.give(None, [other]) == BEFORE
    assert owed.give(BEFORE / 2, [other]) == BEFORE / 2
    assert slot.orders == []
    other.number = 0  # it is dead
    assert owed.give(None, [other]) is None
    assert slot.orders == ["fork"]


def test_no_more_fork_at_once_than_there_are_cores() -> None:
    """Each that has forked, or is gone, makes room for the next; in time they all may."""
    cores = len(os.sched_getaffinity(0))
    slots = [Slot() for _ in range(cores + 3)]
    owed = renewals(slots[0])
    for slot in slots[1:]:
        owed.hear(slot, DEATH)

    def told() -> int:
        assert all(slot.orders == ["fork"] for slot in slots if slot.orders)
        return sum(bool(slot.orders) for slot in slots)

    assert 0 < owed.give(None, []) <= AFTER
    assert told() == cores
    owed.hear(slots[0], Born(1, 2))
    assert owed.give(1000.0, []) <= AFTER
    assert told() == cores + 1
    slots[1].closed = True
    owed.give(None, [])
    assert told() == cores + 2
    with pytest.MonkeyPatch.context() as patch:
        later = time.monotonic() + AFTER
        patch.setattr(time, "monotonic", lambda: later)
        assert owed.give(None, []) is None
    assert told() == cores + 3


def test_one_that_has_forked_makes_room_for_good() -> None:
    """Though it is killed again before anybody else has waited: all of them start at once again."""
    slots = [Slot() for _ in range(len(os.sched_getaffinity(0)))]
    owed: Any = Renewals()
    for turn in (1, 2, 3):
        for slot in slots:
            owed.hear(slot, DEATH)
        assert owed.give(None, []) is None
        assert all(slot.orders == ["fork"] * turn for slot in slots)
        for slot in slots:
            owed.hear(slot, Born(1, 2))


def test_who_does_not_sleep_gives_no_leave() -> None:
    """There is something else to be seen to first."""
    slot = Slot()
    assert renewals(slot).give(0.0, []) == 0.0
    assert slot.orders == []


@pytest.mark.parametrize("timeout", [None, 1.0, 0.0])
def test_no_keeper_waits_for_long(monkeypatch: pytest.MonkeyPatch, timeout: float | None) -> None:
    """Whatever is near, and however busy the parent is."""
    slot, other = Slot(), Slot(due_in=0.0)
    owed = renewals(slot)
    later = time.monotonic() + AFTER
    other.due = later
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert owed.give(timeout, [other]) == timeout
    assert slot.orders == ["fork"]


def test_a_worker_that_died_by_itself_is_replaced_without_leave() -> None:
    """Its keeper does not wait, and is told nothing."""
    slot = Slot()
    assert renewals(slot, reason=None).give(None, []) is None
    assert slot.orders == []


def test_many_that_are_killed_at_once_all_have_successors(make_gate: Callable[[], Gate]) -> None:
    """Those whose deadlines fall together are replaced, every one."""
    never, gate = make_gate(), make_gate()
    with PriorityExecutor(6) as executor:
        late = [executor.options(timeout=0.05).submit(hold, never.path) for _ in range(6)]
        for future in late:
            assert isinstance(future.exception(PATIENCE), JobTimeout)
        again = [executor.submit(hold, gate.path) for _ in range(6)]
        pids = gate.pids(6)
        gate.open(6)
        assert {future.result(PATIENCE) for future in again} == set(pids)
        assert len(set(pids)) == 6


def test_an_executor_may_end_while_keepers_wait_for_leave(gate: Gate) -> None:
    """What waits then is let go."""
    executor = PriorityExecutor(2)
    near = executor.options(timeout=PATIENCE).submit(hold, gate.path)
    gate.heard()
    late = executor.options(timeout=0.01).submit(hold, gate.path)
    assert isinstance(late.exception(PATIENCE), JobTimeout)
    gate.open()
    assert near.result(PATIENCE)
    executor.shutdown()
