"""Slots on offer: each is taken once, and whoever takes one tells how far it came."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from ezpq_exec import Capabilities, Engine, JobFuture
from ezpq_exec.jobs import Call, Job
from ezpq_exec.offers import Offers
from ezpq_exec.options import Options


class Hand(Engine):
    """An engine of which only `hand_over` is there, which does what the test says."""

    capabilities = Capabilities(hands_over=True)

    def __init__(self, send: Callable[[list[object]], None]) -> None:
        self.send = send
        self.given: list[tuple[int, int]] = []

    def hand_over(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        sent: list[object],
        soon: bool,
    ) -> None:
        self.given.append((slot, number))
        self.send(sent)

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    open = start = run = kill = retire = begun = wait = wake = close = _unused


def job(number: int = 1) -> Job:
    made = Job(number, Call(abs, (1,), {}), Options(), b"", 0.0)
    made.future = JobFuture(made, None)  # type: ignore[arg-type]
    return made


def offers(send: Callable[[list[object]], None]) -> Offers:
    return Offers(Hand(send))


def sends(sent: list[object]) -> None:
    sent.append("gone")


def test_nothing_on_offer_nothing_taken() -> None:
    """Without an offer, nothing is handed over; the record says so."""
    box = offers(sends)
    assert not box.are_there
    mine = box.take(job())
    assert (mine.taken, mine.sent) == ([], [])
    assert box.read() == [(mine, False)]


def test_a_slot_is_taken_once() -> None:
    """One slot on offer serves one job; the next finds none."""
    box = offers(sends)
    box.put([7])
    assert box.are_there
    first, second = box.take(job(1)), box.take(job(2))
    assert (first.taken, first.sent) == ([7], ["gone"])
    assert (second.taken, second.sent) == ([], [])
    assert first.job.announced
    assert first.job.future is not None
    assert first.job.future.running()
    assert not second.job.announced


def test_nothing_is_taken_of_what_was_withdrawn() -> None:
    """Once the loop is awake its slots are its own, and it reads what became of the others."""
    box = offers(sends)
    box.put([1, 2, 3])
    mine = box.take(job())
    box.withdraw()
    late = box.take(job(2))
    assert late.taken == []
    assert box.read() == [(mine, False), (late, False)]
    assert not box.are_recorded


def test_a_slot_that_was_handed_back_can_be_taken_again() -> None:
    """And the loop is told which of its jobs is the last."""
    box = offers(sends)
    box.put([5])
    first = box.take(job(1))
    first.hand_back()
    second = box.take(job(2))
    assert (first.taken, second.taken) == ([5], [5])
    box.withdraw()
    assert box.read() == [(first, True), (second, False)]


def test_a_slot_that_is_handed_back_too_late_is_on_offer_to_nobody() -> None:
    """The loop has woken, and decides on it: also if it offers others by then."""
    box = offers(sends)
    box.put([5])
    mine = box.take(job())
    box.withdraw()
    box.put([6])
    mine.hand_back()
    assert [box.take(job(2)).taken, box.take(job(3)).taken] == [[6], []]


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_leaves_a_record_of_how_far_it_came(before: bool) -> None:
    """Ctrl-C before or after the job was sent: the record says which, and the slot is not lost."""

    def interrupted(sent: list[object]) -> None:
        if not before:
            sent.append("gone")
        raise KeyboardInterrupt

    box = offers(interrupted)
    box.put([4])
    with pytest.raises(KeyboardInterrupt):
        box.take(job())
    ((mine, _),) = box.read()
    assert (mine.taken, bool(mine.sent)) == ([4], not before)


def test_a_job_that_was_announced_before_an_interrupt_can_be_announced_again() -> None:
    """Whoever hands it over next finds the future running, and goes on."""
    mine = job()
    assert mine.future is not None
    assert mine.future.announce()
    assert mine.future.announce()
    assert mine.future.running()


def test_a_job_that_was_cancelled_is_not_announced() -> None:
    """However often it is tried."""
    mine = job()
    assert mine.future is not None
    Future.cancel(mine.future)
    assert not mine.future.announce()
    assert not mine.future.announce()
