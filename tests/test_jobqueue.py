"""A worker's queue: real sockets; what the parent takes back, the worker never begins."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from ezpq_exec.engines.bundles import jobs_in
from ezpq_exec.engines.channel import SMALL, Kind, header
from ezpq_exec.engines.jobqueue import JobQueue, next_message

Pair = tuple[JobQueue, socket.socket]
NOTHING: tuple[dict[int, bytes], list[bytes]] = ({}, [])  # was had back


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
    """All that was not taken comes back, orders apart; what is sent later is next."""
    queue, worker = pair
    for ticket in range(4):
        queue.send(message(ticket))
    first = next_message(worker)
    assert first is not None
    assert first.number == 0
    order = header(7, Kind.TIDY, b"")
    queue.send(order)
    assert queue.recall() == ({1: b"job", 2: b"job", 3: b"job"}, [order])
    assert queue.recall() == NOTHING
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
    assert len(queue.recall()[0]) == sent
    assert queue.send(message(sent))
    assert next_message(worker) is not None


def test_nobody_reads(pair: Pair) -> None:
    """A queue whose ends are gone takes nothing, and gives nothing back."""
    queue, _ = pair
    queue.close()
    assert not queue.send(message(1))
    assert queue.recall() == NOTHING


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
            back += queue.recall()[0]
    queue.send(message(count))
    thread.join(30)
    assert not thread.is_alive()
    assert sorted(taken + back) == list(range(count))
    assert taken == sorted(taken)
    assert back == sorted(back)


def test_jobs_that_are_put_in_go_together(pair: Pair) -> None:
    """As one message, in their order, once they are sent; before that they can be had back, too."""
    queue, worker = pair
    assert queue.put([1, 2], [b"one", b""]) == 2
    assert (queue.holds(2), queue.holds(3)) == (True, False)
    assert queue.flush()
    assert queue.flush()
    assert not queue.holds(2)
    queue.put([3], [b"three"])
    frame = next_message(worker)
    assert frame is not None
    assert [(job.number, job.body) for job in jobs_in(frame.body)] == [(1, b"one"), (2, b"")]
    assert queue.recall() == ({3: b"three"}, [])
    assert queue.flush()
    assert queue.recall() == NOTHING


def test_a_message_is_not_larger_than_what_is_read_at_once(pair: Pair) -> None:
    """However large the jobs are, and however many, all of them arrive."""
    queue, worker = pair
    calls = [b"a" * SMALL, *[b"b"] * 3000, b"c" * SMALL, b"d" * SMALL]
    some = 1700  # of those that are small
    assert queue.put(range(some), calls[:some]) == some
    assert queue.put(range(some, len(calls)), calls[some:]) == len(calls) - some
    assert queue.flush()
    arrived: list[bytes] = []
    while len(arrived) < len(calls):
        frame = next_message(worker)
        assert frame is not None
        arrived += [job.body for job in jobs_in(frame.body)]
    assert arrived == calls


def test_a_full_queue_holds_what_it_cannot_send(pair: Pair) -> None:
    """It takes no more than one message beyond what there is room for, and sends that later."""
    queue, worker = pair
    count = 0
    while taken := queue.put([count, count + 1, count + 2], [b"z" * SMALL] * 3):
        count += taken
        assert count < 10_000
    assert not queue.flush()
    assert queue.holds(count - 1)
    assert next_message(worker) is not None
    assert queue.flush()
