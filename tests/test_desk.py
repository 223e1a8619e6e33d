"""What is asked of a loop about jobs that are in a worker's queue, with an engine by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ezpq_exec import JobFuture, JobKilled, PriorityExecutor
from ezpq_exec.condition import SharedCondition
from ezpq_exec.desk import Desk
from ezpq_exec.engines.base import Capabilities, Engine, Setup
from ezpq_exec.inbox import Inbox
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.mailbox import Mailbox
from ezpq_exec.offers import Offers
from ezpq_exec.options import Options
from ezpq_exec.reports import Finished, Loss, Lost, Ready, Report, Stopped
from ezpq_exec.scheduler import Scheduler
from gates import PATIENCE

QUICKLY = 1e-6  # seconds


class ByHand(Engine):
    """Has one worker, which does what the test says, and keeps what it is told."""

    capabilities = Capabilities(kills=True, queues=True)

    def __init__(self, **capabilities: bool) -> None:
        if capabilities:
            self.capabilities = Capabilities(**capabilities)
        self.inbox: Inbox[Report] = Inbox()
        self.heard: Inbox[tuple[Any, ...]] = Inbox()
        self.kept: list[tuple[Any, ...]] = []
        self.queued: list[int] = []
        self.gives_back = False  # what is queued; else that has begun

    def open(self, setup: Setup) -> None: ...

    def start(self, slot: int) -> None:
        self.inbox.put(Ready(slot, 5))

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        self.heard.put(("run", number))

    def queue(self, shares: Mapping[int, Sequence[tuple[int, Any]]]) -> list[int]:
        for number, _ in shares[0]:
            self.queued.append(number)
            self.heard.put(("queue", number))
        return []

    def recall(self, slot: int) -> list[int]:
        queued, self.queued = self.queued, []
        return queued if self.gives_back else []

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        self.heard.put(("kill", number))

    def retire(self, slot: int) -> None: ...

    def begun(self, slot: int, number: int) -> float | None:
        return None

    def wait(self, timeout: float | None) -> Iterable[Report]:
        return self.inbox.take(timeout)

    def wake(self) -> None:
        self.inbox.ring()

    def close(self, *, kill: bool = False) -> None:
        self.inbox.put(Stopped())

    def next(self, what: str) -> int:
        """The number of the job that it is told next to do this with."""
        if not self.kept:
            self.kept += self.heard.take(PATIENCE)
        word, number = self.kept.pop(0)
        assert word == what
        return int(number)

    def finish(self, number: int) -> None:
        """That job returns its number."""
        now = time.monotonic()
        outcome = Outcome(Verdict.RETURNED, number, started=now - QUICKLY, ended=now)
        self.inbox.put(Finished(0, number, outcome))

    def lose(self, number: int) -> None:
        """The worker is killed."""
        now = time.monotonic()
        self.inbox.put(Lost(0, Loss(now - QUICKLY, now, pid=5, reason=Verdict.KILLED)))


class Rig:
    """An executor with a job that runs, and another that is queued behind it."""

    def __init__(self, engine: ByHand) -> None:
        self.engine = engine
        self.executor = PriorityExecutor(1, engine=engine)
        self.executor.pause()
        first, self.running, self.queued = (self.executor.submit(abs, -n) for n in range(3))
        self.executor.resume()
        engine.finish(engine.next("run"))
        self.first, self.second = engine.next("run"), engine.next("queue")
        first.result(PATIENCE)


@pytest.fixture
def put_off(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a letter was put off until the loop has heard more."""
    event = threading.Event()
    post_next = Desk.post_next

    def spy(desk: Desk, *letter: Any) -> None:
        event.set()
        post_next(desk, *letter)

    monkeypatch.setattr(Desk, "post_next", spy)
    return event


def test_a_queued_job_that_has_begun_unheard_is_killed_once_that_is_heard(
    put_off: threading.Event,
) -> None:
    """It cannot be had back, and the answer of the job before it is about to say that it runs."""
    rig = Rig(ByHand())
    with ThreadPoolExecutor(1) as thread:
        is_killed = thread.submit(rig.queued.kill)
        assert put_off.wait(PATIENCE)
        rig.engine.finish(rig.first)
        rig.engine.lose(rig.engine.next("kill"))
        assert is_killed.result(PATIENCE)
    assert isinstance(rig.queued.exception(PATIENCE), JobKilled)
    rig.executor.shutdown()
    assert rig.running.result() == rig.first


def test_who_cannot_wait_for_the_answer_kills_such_a_job_too(put_off: threading.Event) -> None:
    """As a finalizer that interrupts the executor."""
    rig = Rig(ByHand())
    with SharedCondition():
        assert rig.queued.kill()
    assert put_off.wait(PATIENCE)
    rig.engine.finish(rig.first)
    assert rig.engine.next("kill") == rig.second
    rig.engine.lose(rig.second)
    assert isinstance(rig.queued.exception(PATIENCE), JobKilled)
    rig.executor.shutdown()


def test_where_nothing_can_be_killed_such_a_job_goes_on() -> None:
    """That it cannot be had back is known only when it is tried."""
    rig = Rig(ByHand(queues=True))
    with SharedCondition():
        rig.queued.kill()
    rig.executor.stats()  # by when that has been heard
    rig.engine.finish(rig.first)
    rig.engine.finish(rig.second)
    assert rig.queued.result(PATIENCE) == rig.second
    rig.executor.shutdown()


def test_who_cannot_wait_cancels_a_queued_job_that_comes_back() -> None:
    """It has not begun, and does not."""
    engine = ByHand()
    engine.gives_back = True
    rig = Rig(engine)
    with SharedCondition():
        assert rig.queued.kill()
    assert rig.executor.stats().settled[Verdict.CANCELLED] == 1
    assert rig.queued.cancelled()
    rig.engine.finish(rig.first)
    rig.executor.shutdown()
    assert rig.running.result() == rig.first


def test_a_job_whose_answer_has_been_fetched_is_not_killed() -> None:
    """The loop has yet to hear of it, and the worker may be at another by then."""
    engine = ByHand()
    desk = Desk(engine, Scheduler(1, can_kill=True))
    job = Job(1, Call(abs, (-1,), {}), Options(), None, time.monotonic())
    future: JobFuture[int] = JobFuture(job, desk)
    job.future = future
    desk.submit(job, None)
    assert engine.next("run") == 1
    assert future.resolve_alone(5)
    assert not desk.kill(job)
    engine.finish(1)
    desk.finish()
    desk.join()
    assert future.result() == 5
    assert engine.heard.take(0) == []


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a slot was on offer."""
    event = threading.Event()
    put = Offers.put

    def spy(offers: Offers, slots: Iterable[int]) -> None:
        put(offers, slots)
        if offers.are_there:
            event.set()

    monkeypatch.setattr(Offers, "put", spy)
    return event


class Overtaken:
    """An executor whose next job finds nothing on offer any more: its loop wakes just then, and stops.

    Args:
        kind, name: the method at which it stops.

    Attributes:
        goes_on: lets the loop go on.
    """

    def __init__(
        self, offered: threading.Event, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
    ) -> None:
        self.engine = ByHand(kills=True, hands_over=True)
        self.executor = PriorityExecutor(1, engine=self.engine)
        first = self.executor.submit(abs, -1)
        self.engine.finish(self.engine.next("run"))
        assert first.result(PATIENCE)
        assert offered.wait(PATIENCE)
        self.goes_on = threading.Event()
        has_stopped = threading.Event()
        method, take = getattr(kind, name), Offers.take

        def stops(*args: Any) -> Any:
            has_stopped.set()
            assert self.goes_on.wait(PATIENCE)
            return method(*args)

        def overtaken(offers: Offers, job: Job) -> Any:
            monkeypatch.setattr(Offers, "take", take)
            monkeypatch.setattr(kind, name, stops)
            self.engine.wake()
            assert has_stopped.wait(PATIENCE)
            record = take(offers, job)
            assert not record.taken
            return record

        monkeypatch.setattr(Offers, "take", overtaken)

    def finish_next(self) -> int:
        """The next job is run, and returns its number."""
        number = self.engine.next("run")
        self.engine.finish(number)
        return number


def test_a_job_for_which_nothing_is_on_offer_any_more_is_noticed(
    offered: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is awake, and has read all records but this one: it looks again before it sleeps."""
    overtaken = Overtaken(offered, monkeypatch, Scheduler, "next_deadline")
    future = overtaken.executor.submit(abs, -2)
    overtaken.goes_on.set()
    number = overtaken.finish_next()
    assert future.result(PATIENCE) == number
    overtaken.executor.shutdown()


def test_a_job_that_is_cancelled_before_it_was_noticed_takes_no_slot(
    offered: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was cancelled is heard after that it was submitted, though it comes by another way."""
    overtaken = Overtaken(offered, monkeypatch, Mailbox, "read")
    future = overtaken.executor.submit(abs, -2)
    assert future.cancel()
    overtaken.goes_on.set()
    other = overtaken.executor.submit(abs, -3)
    number = overtaken.finish_next()
    assert other.result(PATIENCE) == number
    stats = overtaken.executor.stats()
    assert stats.settled == {Verdict.RETURNED: 2, Verdict.CANCELLED: 1}
    assert (stats.waiting, stats.running) == (0, 0)
    overtaken.executor.shutdown()


def test_a_job_takes_no_slot_ahead_of_one_whose_letter_is_being_read(
    offered: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While letters are read, no slot is on offer, though the mailbox is empty."""
    engine = ByHand(kills=True, hands_over=True)
    executor = PriorityExecutor(1, engine=engine)
    first = executor.submit(abs, -1)
    engine.finish(engine.next("run"))
    assert first.result(PATIENCE)
    assert offered.wait(PATIENCE)
    has_read, goes_on = threading.Event(), threading.Event()
    read = Mailbox.read

    def reading(mailbox: Mailbox[Any]) -> list[Any]:
        letters = read(mailbox)
        if letters:
            has_read.set()
            assert goes_on.wait(PATIENCE)
        return letters

    monkeypatch.setattr(Mailbox, "read", reading)
    earlier = executor.options(lane="any").submit(abs, -2)
    assert has_read.wait(PATIENCE)
    later = executor.submit(abs, -3)
    goes_on.set()
    for future in (earlier, later):
        number = engine.next("run")
        engine.finish(number)
        assert future.result(PATIENCE) == number
    executor.shutdown()


def test_a_submit_that_is_overtaken_has_back_what_was_queued_meanwhile(
    offered: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A finalizer submits others in the midst of it; then the one that came first is next."""
    engine = ByHand(kills=True, queues=True, hands_over=True)
    engine.gives_back = True
    executor = PriorityExecutor(1, engine=engine)
    numbers = list[int]()
    take = Offers.take

    def overtaken(offers: Offers, job: Job) -> Any:
        monkeypatch.setattr(Offers, "take", take)
        futures.append(executor.options(lane="a").submit(abs, -2))
        lane = engine.next("run")
        futures.extend(executor.submit(abs, -n) for n in (3, 4))
        engine.finish(lane)
        numbers.extend((engine.next("run"), engine.next("queue")))
        return take(offers, job)

    futures = [executor.submit(abs, -1)]
    engine.finish(engine.next("run"))
    assert offered.wait(PATIENCE)
    monkeypatch.setattr(Offers, "take", overtaken)
    overtaker = executor.submit(abs, -6)
    running, queued = numbers
    engine.finish(running)
    number = engine.next("run")
    assert number < running
    engine.finish(number)
    assert overtaker.result(PATIENCE) == number
    assert engine.next("queue") == queued
    engine.finish(queued)
    executor.shutdown()
    assert [future.result() for future in futures][-1] == queued
