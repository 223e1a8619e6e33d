"""Slots on offer: each is taken once, and whoever takes one tells how far it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ezpq_exec import Capabilities, Engine, JobFuture
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.offers import Offers
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


Told = list[tuple[int, Job, bool]]


def offers(send: Callable[[list[object]], None]) -> tuple[Offers, Told, Callable[..., None]]:
    told: Told = []
    return Offers(Hand(send)), told, lambda *letter: told.append(letter)


def sends(sent: list[object]) -> None:
    sent.append("gone")


def test_nothing_on_offer_nothing_taken() -> None:
    """Without an offer, nothing is handed over and nobody is told."""
    box, told, tell = offers(sends)
    assert not box.take(job(), tell)
    assert not told


def test_a_slot_is_taken_once() -> None:
    """One slot on offer serves one job; the next finds none."""
    box, told, tell = offers(sends)
    box.put([7])
    first, second = job(1), job(2)
    assert box.take(first, tell)
    assert not box.take(second, tell)
    assert told == [(7, first, True)]
    assert first.announced
    assert first.future is not None
    assert first.future.running()
    assert not second.announced


def test_withdrawing_names_what_was_taken() -> None:
    """The loop hears which slots it can no longer dispose of, and the others are its own again."""
    box, _, tell = offers(sends)
    box.put([1, 2, 3])
    assert box.take(job(), tell)
    (taken,) = box.withdraw()
    assert taken in {1, 2, 3}
    assert box.withdraw() == set()
    assert not box.take(job(2), tell)


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_is_told_as_far_as_it_came(before: bool) -> None:
    """Ctrl-C before or after the job was sent: the letter says which, and the slot is not lost."""

    def interrupted(sent: list[object]) -> None:
        if not before:
            sent.append("gone")
        raise KeyboardInterrupt

    box, told, tell = offers(interrupted)
    box.put([4])
    mine = job()
    with pytest.raises(KeyboardInterrupt):
        box.take(mine, tell)
    assert told == [(4, mine, not before)]


def test_a_slot_that_could_not_be_served_is_told() -> None:
    """Where nothing was sent, the letter says so, and the job is the loop's to place."""
    box, told, tell = offers(lambda _: None)
    box.put([4])
    mine = job()
    assert box.take(mine, tell)
    assert told == [(4, mine, False)]


def finished(slot: int) -> Finished:
    return Finished(slot, 1, Outcome(Verdict.RETURNED, b""))


def test_an_answer_that_overtakes_its_letter_is_kept_for_it() -> None:
    """What is reported of a taken slot waits for the letter about it; all else goes on."""
    box, _, tell = offers(sends)
    box.put([4])
    box.take(job(), tell)
    box.withdraw()
    early, other, end = finished(4), Ready(5, 123), Stopped()
    assert list(box.sort([early, other, end])) == [other, end]
    assert box.is_waited_for
    assert list(box.sort([])) == []
    box.told(4)
    assert list(box.sort([finished(5)])) == [early, finished(5)]
    assert not box.is_waited_for
