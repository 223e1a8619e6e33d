"""Jobs that stand behind others at a worker: each is begun, or had back, and never both."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("there are no bundles elsewhere", allow_module_level=True)

from ezpq_exec.engines.ahead import Ahead, recall
from ezpq_exec.engines.bundles import call_back, claimed, jobs_in, pack
from ezpq_exec.engines.channel import SMALL, Frame, Kind, header, whole
from ezpq_exec.engines.jobqueue import JobQueue, next_message
from ezpq_exec.engines.link import Link
from ezpq_exec.engines.page import Page


@pytest.fixture
def page() -> Iterator[Page]:
    """One that both sides have."""
    memory = Page.allocate()
    made = Page(memory)
    os.close(memory)
    with contextlib.closing(made):
        yield made


class Rig:
    """A link without a keeper, and the worker's end of its queue. A job's number is ten tickets."""

    def __init__(self, page: Page) -> None:
        entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.worker = exit_end.dup()
        link: Any = Link.__new__(Link)
        link.queue, link.page = JobQueue(entry, exit_end), page
        link.ticket = link.number = link.handed = link.heard = 0
        link.tasks, link.is_large, link.outgrown = 1, False, False
        link.line = link.keeper = link.forced = None
        link.declined = []
        link.ahead = deque()
        self.link: Link = link
        self.queue: JobQueue = link.queue
        self.ahead = Ahead()
        self.declined: list[int] = []

    def close(self) -> None:
        """Close both ends."""
        self.worker.close()
        self.queue.close()

    def run(self, ticket: int) -> None:
        """Have the worker run a job now."""
        self.link.take_up(ticket, 10 * ticket, None)
        assert self.queue.send(header(ticket, Kind.CALL, b"") + b"")

    def put(self, *tickets: int) -> None:
        """Have jobs stand behind."""
        jobs = [(10 * ticket, b"call") for ticket in tickets]
        assert not jobs or self.ahead.put(self.link, jobs, iter(tickets)) == []

    def read(self) -> Frame:
        """The worker's next message."""
        frame = next_message(self.worker)
        assert frame is not None
        return frame

    def begin(self, frame: Frame) -> Iterator[int]:
        """The tickets that a worker begins of a bundle, each when it is asked for."""
        for job in claimed(jobs_in(frame.body), self.link.page, self.declined.append):
            yield job.number

    @property
    def places(self) -> list[int]:
        """The tickets in hand, and behind that, as the link has it."""
        return [self.link.ticket, *[ticket for ticket, _ in self.link.ahead]]


@pytest.fixture
def rig(page: Page) -> Iterator[Rig]:
    """A worker that has job 1 in its queue."""
    made = Rig(page)
    made.run(1)
    with contextlib.closing(made):
        yield made


def test_a_job_that_runs_with_none_behind_it_stays(rig: Rig) -> None:
    """There is nothing to be had back."""
    assert recall(rig.link) == []
    assert rig.read().number == 1


def test_jobs_that_are_not_on_their_way_come_back(rig: Rig) -> None:
    """Nothing is sent of them afterwards."""
    rig.read()
    rig.put(2, 3)
    assert recall(rig.link) == [20, 30]
    assert rig.places == [1]
    rig.ahead.send()
    assert rig.queue.recall() == ({}, [])


def test_what_is_too_large_for_a_message_stands_behind_none(rig: Rig) -> None:
    """The others of those that were to stand there do, and it is said which does not."""
    jobs = [(20, b"small"), (30, bytes(SMALL + 1)), (40, bytes(SMALL))]
    assert rig.ahead.put(rig.link, jobs, iter((2, 3, 4))) == [30]
    assert list(rig.link.ahead) == [(2, 20), (3, 40)]
    assert rig.ahead.put(rig.link, jobs[1:2], iter((5,))) == [30]
    assert recall(rig.link) == [20, 40]


def test_jobs_that_the_worker_has_not_read_come_back(rig: Rig) -> None:
    """All of them, and it keeps the one that it runs."""
    rig.read()
    rig.put(2, 3)
    rig.ahead.send()
    rig.put(4)
    assert recall(rig.link) == [20, 30, 40]
    assert rig.places == [1]
    assert recall(rig.link) == []


def test_a_worker_that_was_slow_to_take_the_first_is_given_it_again(rig: Rig) -> None:
    """The first counts as begun."""
    rig.put(2, 3)
    rig.ahead.send()
    assert recall(rig.link) == [20, 30]
    assert rig.places == [1]
    assert (rig.read().number, rig.queue.recall()) == (1, ({}, []))


def test_jobs_that_were_read_and_not_begun_come_back(rig: Rig) -> None:
    """The worker, which finds that they were called back, begins none after the one that it was at."""
    rig.read()
    rig.put(2, 3, 4)
    rig.ahead.send()
    begun = rig.begin(rig.read())
    assert next(begun) == 2  # of which nothing has been heard, nor of the end of 1
    assert recall(rig.link) == [30, 40]
    assert rig.places == [1, 2]
    assert list(begun) == []


def test_a_bundle_whose_last_job_has_begun_is_left_alone(rig: Rig) -> None:
    """There is nothing to be called back, so the worker is told nothing."""
    rig.read()
    rig.put(2, 3)
    rig.ahead.send()
    assert list(rig.begin(rig.read())) == [2, 3]
    assert recall(rig.link) == []
    assert rig.places == [1, 2, 3]
    assert rig.queue.recall() == ({}, [])


def test_what_is_taken_from_between_is_first(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first was had back and a later one was not, that has begun instead."""
    rig.put(2)
    rig.ahead.send()
    rig.put(3, 4)
    rig.ahead.send()
    read = rig.queue.recall

    def recall_from_around() -> tuple[dict[int, bytes], list[bytes]]:
        calls, others = read()  # while the worker reads the last message
        return {ticket: call for ticket, call in calls.items() if ticket < 3}, others

    monkeypatch.setattr(rig.queue, "recall", recall_from_around)
    assert recall(rig.link) == [10, 20, 40]
    assert rig.places == [3]
    message = whole(pack([(3, b""), (4, b"")]))
    assert list(rig.begin(message)) == []
    assert rig.declined == [3]


def begun(page: Page, *tickets: int) -> tuple[list[int], list[int]]:
    """The tickets that a worker begins of a bundle with these, and what it declines."""
    declined: list[int] = []
    jobs = jobs_in(whole(pack([(ticket, b"") for ticket in tickets])).body)
    return [job.number for job in claimed(jobs, page, declined.append)], declined


def test_a_job_that_was_called_back_is_declined(page: Page) -> None:
    """The parent may have taken it for begun. It is told of the first, and none is begun after that."""
    assert call_back(page, 5) == 0
    assert begun(page, 4, 5) == ([], [4])


def test_jobs_that_come_later_are_not_called_back(page: Page) -> None:
    """Nor are those of a later worker: a call back is for what was sent before."""
    call_back(page, 5)
    assert begun(page, 6) == ([6], [])


def test_a_job_that_was_declined_is_had_back(rig: Rig) -> None:
    """What was put behind it meanwhile is now in hand, or comes back with it."""
    rig.read()
    rig.put(2, 3)
    rig.ahead.send()
    frames = rig.read()
    rig.link.end_job()
    assert recall(rig.link) == [30]  # 2 counts as begun, since 1 has ended
    rig.put(4)
    assert list(rig.begin(frames)) == []
    assert rig.declined == [2]
    assert rig.link.decline() == 20
    assert rig.places == [4]
    assert recall(rig.link) == [20]
    assert recall(rig.link) == []


def test_what_there_is_no_room_for_is_sent_when_there_is(rig: Rig) -> None:
    """It can be had back meanwhile."""
    rig.read()
    filler = header(0, Kind.TIDY, b"x" * 8000) + b"x" * 8000
    fillers = 0
    while rig.queue.send(filler):
        fillers += 1
    rig.put(2, 3)
    rig.ahead.send()
    assert rig.queue.holds(3)
    for _ in range(fillers):
        assert rig.read().kind == Kind.TIDY
    rig.ahead.send()
    assert not rig.queue.holds(3)
    assert list(rig.begin(rig.read())) == [2, 3]


def test_a_worker_for_which_the_system_has_no_room_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it waits for just the job that cannot be sent, nothing else would ever happen."""
    rig.read()
    rig.put(2)
    monkeypatch.setattr(rig.queue, "send", lambda message: False)
    rig.ahead.send()
    assert rig.link.forced is None
    rig.link.end_job()
    rig.ahead.send()
    assert rig.link.forced == (2, None)


def test_a_worker_that_cannot_be_given_its_orders_again_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for them for ever."""
    rig.read()
    rig.put(2)
    rig.ahead.send()
    rig.queue.send(header(9, Kind.TIDY, b""))
    monkeypatch.setattr(rig.queue, "send", lambda message: False)
    assert recall(rig.link) == [20]
    assert rig.link.forced == (1, None)


def test_nor_is_one_kept_that_cannot_be_given_its_job_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job counts as begun there, and would never end."""
    rig.put(2)
    rig.ahead.send()
    monkeypatch.setattr(rig.queue, "send", lambda message: False)
    assert recall(rig.link) == [20]
    assert rig.places == [1]
    assert rig.link.forced == (1, None)


@pytest.mark.parametrize("seed", range(3))
def test_each_job_is_begun_or_had_back_in_order_however_both_sides_race(
    page: Page, seed: int
) -> None:
    """What runs is at each moment what the link has in hand; what is had back never runs."""
    rig = Rig(page)
    said: list[tuple[bool, int]] = []  # by the worker: whether it ran, and its ticket

    def work() -> None:
        while frame := next_message(rig.worker):
            if frame.kind == Kind.CALL:
                said.append((True, frame.number))
                continue
            jobs = jobs_in(frame.body)
            for job in claimed(jobs, page, lambda ticket: said.append((False, ticket))):
                said.append((True, job.number))

    thread = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        back = _play(rig, said, random.Random(seed))
    finally:
        sys.setswitchinterval(interval)
        rig.queue.close()
        thread.join(30)
        rig.close()
    assert not thread.is_alive()
    ran = [ticket for has_run, ticket in said if has_run]
    assert ran == sorted(ran)
    assert not set(ran) & back
    assert sorted({*ran, *back}) == list(range(1, len(ran) + len(back) + 1))


def _play(rig: Rig, said: list[tuple[bool, int]], chance: random.Random) -> set[int]:
    """The parent: hand over, hear, have back. Returns the tickets of what came back."""
    link, count = rig.link, 3000
    back: set[int] = set()
    heard = ticket = 0
    while ticket < count or link.number:
        while heard < len(said):
            has_run, told = said[heard]
            heard += 1
            if has_run:
                assert told == link.ticket
                link.end_job()
            elif told == link.ticket:
                link.decline()
                back |= {number // 10 for number in recall(link)}
        if ticket < count:
            if not link.number:
                ticket += 1
                rig.run(ticket)
            several = range(ticket + 1, ticket + chance.randrange(1, 7))
            rig.put(*several)
            ticket += len(several)
        if chance.random() < 0.8:
            rig.ahead.send()
        if chance.random() < 0.5:
            back |= {number // 10 for number in recall(link)}
        else:
            time.sleep(0)  # so that the worker has its turn
    return back
