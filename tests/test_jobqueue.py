"""A worker's queue: real sockets; what the parent takes back, the worker never begins."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator

import pytest

from ezpq_exec.engines.channel import SMALL, Kind, header
from ezpq_exec.engines.jobqueue import JobQueue, next_message, ticket_of
from ezpq_exec.engines.link import Link

Pair = tuple[JobQueue, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The parent's side, and the worker's end."""
    entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = exit_end.dup()
    queue = JobQueue(entry, exit_end)
    with contextlib.closing(worker), contextlib.closing(queue):
        yield queue, worker


def message(ticket: int, body: bytes = b"job") -> bytes:
    """A call."""
    return header(ticket, Kind.CALL, body) + body


def test_messages_are_taken_in_order(pair: Pair) -> None:
    """The oldest comes first, whole, whatever its size."""
    queue, worker = pair
    bodies = [b"", b"x", b"y" * SMALL]
    for ticket, body in enumerate(bodies):
        assert queue.send(message(ticket, body))
    frames = [next_message(worker) for _ in bodies]
    assert [(f.number, f.kind, f.body) for f in frames if f] == [
        (ticket, Kind.CALL, body) for ticket, body in enumerate(bodies)
    ]


def test_what_is_taken_back_is_not_read(pair: Pair) -> None:
    """All that was not taken comes back, in order; what is sent later is next."""
    queue, worker = pair
    for ticket in range(4):
        queue.send(message(ticket))
    first = next_message(worker)
    assert first is not None
    assert first.number == 0
    assert queue.recall() == [message(ticket) for ticket in (1, 2, 3)]
    assert queue.recall() == []
    queue.send(message(9))
    following = next_message(worker)
    assert following is not None
    assert following.number == 9


def test_close_is_the_end(pair: Pair) -> None:
    """A worker that waits is told, though it holds a copy of what was closed."""
    queue, worker = pair
    threading.Timer(0.05, queue.close).start()
    assert next_message(worker) is None


def test_full_queue_takes_no_more(pair: Pair) -> None:
    """It does not wait for room; once there is some, it takes again."""
    queue, worker = pair
    sent = 0
    while queue.send(message(sent, b"z" * SMALL)):
        sent += 1
        assert sent < 10_000
    assert sent > 1
    assert len(queue.recall()) == sent
    assert queue.send(message(sent))
    assert next_message(worker) is not None


def test_nobody_reads(pair: Pair) -> None:
    """A queue whose ends are gone takes nothing, and gives nothing back."""
    queue, _ = pair
    queue.close()
    assert not queue.send(message(1))
    assert queue.recall() == []


def test_each_message_is_received_once(pair: Pair) -> None:
    """However the worker and the parent race, each message is got by one of them, in order."""
    queue, worker = pair
    count = 20_000
    taken: list[int] = []
    back: list[int] = []

    def work() -> None:
        while (frame := next_message(worker)) is not None and frame.number != count:
            taken.append(frame.number)

    thread = threading.Thread(target=work)
    thread.start()
    ticket = 0
    while ticket < count:
        for _ in range(8):
            while not queue.send(message(ticket)):
                pass
            ticket += 1
        if ticket % 24 == 0:
            back += map(ticket_of, queue.recall())
    queue.send(message(count))
    thread.join(30)
    assert not thread.is_alive()
    assert sorted(taken + back) == list(range(count))
    assert taken == sorted(taken)
    assert back == sorted(back)


# What a link makes of it --------------------------------------------------------------------


def link_of(queue: JobQueue, *tickets: int) -> Link:
    """A link without a keeper, with these in its queue; job numbers are ten times the tickets."""
    link = Link.__new__(Link)
    link.queue = queue
    (link.ticket, link.number), *rest = [(ticket, 10 * ticket) for ticket in tickets]
    link.ahead = deque(rest)
    for ticket in tickets:
        queue.send(message(ticket))
    return link


def state(link: Link) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """What it takes for begun, and for what comes next."""
    return (link.ticket, link.number), list(link.ahead)


def test_all_but_what_was_begun_comes_back(pair: Pair) -> None:
    """The worker has the first; the others are taken back."""
    queue, worker = pair
    link = link_of(queue, 1, 2, 3)
    next_message(worker)
    assert link.recall() == [20, 30]
    assert state(link) == ((1, 10), [])
    assert link.recall() == []


def test_the_first_is_not_taken_back(pair: Pair) -> None:
    """A worker that was slow to take the first is given it again."""
    queue, worker = pair
    link = link_of(queue, 1, 2, 3)
    assert link.recall() == [20, 30]
    assert state(link) == ((1, 10), [])
    frame = next_message(worker)
    assert frame is not None
    assert frame.number == 1
    assert queue.recall() == []


def test_what_was_begun_unheard_is_in_order(pair: Pair) -> None:
    """A worker that is further than is known keeps what it has begun."""
    queue, worker = pair
    link = link_of(queue, 1, 2, 3, 4)
    for _ in range(3):
        next_message(worker)
    assert link.recall() == [40]
    assert state(link) == ((1, 10), [(2, 20), (3, 30)])


class Between(JobQueue):
    """A queue whose worker takes a message while others are being taken back."""

    def __init__(self, inner: JobQueue, *taken: int) -> None:
        self.entry = inner.entry
        self.inner = inner
        self.taken = taken

    def recall(self) -> list[bytes]:
        """Without those."""
        return [each for each in self.inner.recall() if ticket_of(each) not in self.taken]


def test_what_is_taken_from_between_is_first(pair: Pair) -> None:
    """If the first was taken back and a later one was not, that has begun instead."""
    queue, _ = pair
    link = link_of(queue, 1, 2, 3, 4)
    link.queue = Between(queue, 2, 4)
    assert link.recall() == [10, 30]
    assert state(link) == ((2, 20), [(4, 40)])


def test_nothing_ahead_is_not_looked_for(pair: Pair) -> None:
    """A job with none behind it stays where it is."""
    queue, worker = pair
    link = link_of(queue, 1)
    assert link.recall() == []
    assert next_message(worker) is not None
