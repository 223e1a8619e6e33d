"""A worker's own code, run here: how it ends when its parent is gone, or it is of no use."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ezpq_exec import packing
from ezpq_exec.engines import worker
from ezpq_exec.engines.channel import Frame, Kind, Reader, header, receive
from ezpq_exec.engines.wire import Wire
from workload import add, fail

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pairs of Unix sockets")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The parent's end and the worker's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def heard(sock: socket.socket) -> list[Frame]:
    """What came by now, until the end or the next silence."""
    sock.setblocking(False)
    reader, frames = Reader(), []
    try:
        while True:
            frames += receive(sock, reader)
    except (BlockingIOError, EOFError):
        return frames


def call(number: int) -> bytes:
    body = packing.pack((add, (1, 2), {}))
    return header(number, Kind.CALL, body) + body


def set_up(*initializer: Any) -> bytes:
    body = packing.pack((worker.surroundings(), packing.pack(initializer)))
    return header(0, Kind.SETUP, body) + body


def test_jobs_are_run_until_the_parent_lets_go(pair: Pair) -> None:
    ours, theirs = pair
    ours.sendall(set_up(add, (1, 1)) + call(1) + call(2))
    ours.shutdown(socket.SHUT_WR)
    worker.serve(theirs, None, None)
    kinds = [(frame.kind, frame.number) for frame in heard(ours)]
    assert kinds == [
        (Kind.READY, os.getpid()),
        *((Kind.STARTED, 1), (Kind.RETURNED, 1)),
        *((Kind.STARTED, 2), (Kind.RETURNED, 2)),
    ]


def test_a_parent_that_is_gone_gets_nothing_run(pair: Pair) -> None:
    """It cannot even be told that the job begins, so the worker ends."""
    ours, theirs = pair
    ours.sendall(call(1))
    ours.close()
    worker.serve(theirs, None, None)


def test_a_worker_whose_initializer_fails_says_why_and_takes_no_job(pair: Pair) -> None:
    ours, theirs = pair
    ours.sendall(set_up(fail, (ValueError, "no good")) + call(1))
    worker.serve(theirs, None, None)
    (frame,) = heard(ours)
    assert frame.kind == Kind.UNFIT
    assert isinstance(packing.unpack_error(frame.body), ValueError)


def test_an_answer_to_a_queue_that_is_gone_ends_the_worker(pair: Pair) -> None:
    ours, theirs = pair
    assert worker._say(theirs, b"x")
    ours.close()
    assert not worker._say(theirs, b"x")


_PARENT: list[socket.socket] = []


def let_the_parent_go() -> int:
    """A job, in the middle of which its parent is gone."""
    for sock in _PARENT:
        sock.close()
    return 5


def test_a_worker_whose_parent_goes_during_a_job_ends_after_it(pair: Pair) -> None:
    """The answer is for nobody, and the next job is not begun."""
    ours, theirs = pair
    body = packing.pack((let_the_parent_go, (), {}))
    ours.sendall(header(1, Kind.CALL, body) + body + call(2))
    _PARENT[:] = [ours]
    worker.serve(theirs, None, None)
    _PARENT.clear()
    assert ours.fileno() == -1


class NoCounter:
    """Through which no parcel goes."""

    def __init__(self, failure: OSError) -> None:
        self.failure = failure

    def send(self, parcel: object, head: bytes) -> None:
        raise self.failure


def test_a_large_result_for_a_parent_that_is_gone_ends_the_worker(pair: Pair) -> None:
    counter: Any = NoCounter(ConnectionResetError())
    parcel: Any = None
    assert not worker._hand_in(counter, parcel, header(1, Kind.RETURNED, b""), Wire(pair[1]))


def test_a_large_result_that_cannot_be_sent_is_its_jobs_exception(pair: Pair) -> None:
    """Too many descriptors are on their way: that is no reason to end."""
    ours, theirs = pair
    counter: Any = NoCounter(OSError(109, "Too many references"))
    parcel: Any = None
    assert worker._hand_in(counter, parcel, header(7, Kind.RETURNED, b""), Wire(theirs))
    (frame,) = heard(ours)
    assert (frame.number, frame.kind) == (7, Kind.RAISED)
    assert isinstance(packing.unpack_error(frame.body), OSError)


def test_a_worker_in_a_folder_that_was_removed_stays_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its parent is nowhere, either."""

    def nowhere() -> str:
        raise FileNotFoundError

    before = os.getcwd()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getcwd", nowhere)
        found = worker.surroundings()
    assert found["cwd"] is None
    worker._imitate(found)
    assert os.getcwd() == before
