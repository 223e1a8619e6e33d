"""Slots on offer: each is taken once, and whoever takes one tells how far it came."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from ezpq_exec import Capabilities, Engine, JobFuture
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.offers import Handover, Offers
from ezpq_exec.options import Options
from ezpq_exec.reports import Finished, Ready, Stopped


class Hand(Engine):
    """An engine of which only `hand_over` is there, which does what the test says."""

    capabilities = Capabilities(hands_over=True)

    def __init__(self, send: Callable[[list[object]], None]) -> None:
        self.send = send
        self.given: list[tuple[int, int]] = []

    def hand_over(
        self, slot: int, number: int, payload: Any, timeout: float | None, sent: list[object]
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
    """Without an offer, nothing is handed over."""
    box = offers(sends)
    mine = Handover(job())
    assert not box.are_there
    box.take(mine)
    assert (mine.taken, mine.sent) == ([], [])


def test_a_slot_is_taken_once() -> None:
    """One slot on offer serves one job; the next finds none."""
    box = offers(sends)
    box.put([7])
    first, second = Handover(job(1)), Handover(job(2))
    assert box.are_there
    box.take(first)
    box.take(second)
    assert (first.taken, first.sent) == ([7], ["gone"])
    assert (second.taken, second.sent) == ([], [])
    assert first.job.announced
    assert first.job.future is not None
    assert first.job.future.running()
    assert not second.job.announced


def test_withdrawing_names_what_was_taken() -> None:
    """The loop hears which slots it can no longer dispose of, and the others are its own again."""
    box = offers(sends)
    box.put([1, 2, 3])
    mine = Handover(job())
    box.take(mine)
    assert box.withdraw() == set(mine.taken)
    assert box.withdraw() == set()
    late = Handover(job(2))
    box.take(late)
    assert late.taken == []


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_leaves_a_record_of_how_far_it_came(before: bool) -> None:
    """Ctrl-C before or after the job was sent: the record says which, and the slot is not lost."""

    def interrupted(sent: list[object]) -> None:
        if not before:
            sent.append("gone")
        raise KeyboardInterrupt

    box = offers(interrupted)
    box.put([4])
    mine = Handover(job())
    with pytest.raises(KeyboardInterrupt):
        box.take(mine)
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


def finished(slot: int) -> Finished:
    return Finished(slot, 1, Outcome(Verdict.RETURNED, b""))


def test_an_answer_that_overtakes_its_letter_is_kept_for_it() -> None:
    """What is reported of a taken slot waits for the letter about it; all else goes on."""
    box = offers(sends)
    box.put([4])
    box.take(Handover(job()))
    box.withdraw()
    early, other, end = finished(4), Ready(5, 123), Stopped()
    assert list(box.sort([early, other, end])) == [other, end]
    assert box.is_waited_for
    assert list(box.sort([])) == []
    box.told(4)
    assert list(box.sort([finished(5)])) == [early, finished(5)]
    assert not box.is_waited_for
