"""The worker's end of its stream: whole frames, whatever strikes the one who sends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from ezpq_exec.engines.channel import Frame, Kind, Reader, header
from ezpq_exec.engines.wire import Wire


class Slow:
    """A socket that takes few bytes at a time, and has something happen in between."""

    def __init__(self) -> None:
        self.taken = b""
        self.strikes: dict[int, Callable[[], object]] = {}  # by number of bytes taken
        self.gone = False

    def send(self, data: bytes) -> int:
        strike = self.strikes.pop(len(self.taken), None)
        if strike is not None:
            strike()
        if self.gone:
            raise BrokenPipeError
        piece = bytes(data[:5])
        self.taken += piece
        return len(piece)

    def sendall(self, data: bytes) -> None:
        while data:
            data = data[self.send(data) :]

    @property
    def frames(self) -> list[Frame]:
        return Reader().feed(self.taken)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def wire(slow: Slow) -> Wire:
    sock: Any = slow
    wire = Wire(sock)
    wire.job = 7
    return wire


def bodies(slow: Slow) -> list[bytes]:
    return [bytes(frame.body) for frame in slow.frames]


def test_a_frame_within_a_frame_comes_after_it(wire: Wire, slow: Slow) -> None:
    """What a signal's handler tells in the midst of another frame is sent when that is out."""
    slow.strikes[10] = lambda: wire.tell(Kind.LOGGED, b"inner")
    wire.tell(Kind.LOGGED, b"outer")
    assert bodies(slow) == [b"outer", b"inner"]


def test_so_it_does_within_an_answer(wire: Wire, slow: Slow) -> None:
    """The same holds for the main thread's answers."""
    slow.strikes[10] = lambda: wire.tell(Kind.LOGGED, b"inner")
    assert wire.answer(header(7, Kind.RETURNED, b"result"), b"result")
    assert bodies(slow) == [b"result", b"inner"]


def test_the_rest_of_an_interrupted_frame_comes_first(wire: Wire, slow: Slow) -> None:
    """A handler that raises leaves half a frame, which is completed before the next."""

    def strike() -> None:
        raise TimeoutError("by a signal's handler")

    slow.strikes[10] = strike
    with pytest.raises(TimeoutError):
        wire.tell(Kind.LOGGED, b"half")
    assert slow.frames == []
    wire.tell(Kind.LOGGED, b"next")
    assert bodies(slow) == [b"half", b"next"]
    slow.strikes[len(slow.taken) + 5] = strike
    with pytest.raises(TimeoutError):
        wire.tell(Kind.WARNED, b"again")
    assert wire.answer(header(7, Kind.RETURNED, b"result"), b"result")
    assert bodies(slow) == [b"half", b"next", b"again", b"result"]


def test_a_job_that_told_something_is_known(wire: Wire) -> None:
    """So its answer goes the same way, behind it."""
    assert wire.last != 7
    wire.tell(Kind.LOGGED, b"x")
    assert wire.last == 7


def test_a_parent_that_is_gone_is_no_error_of_the_jobs(wire: Wire, slow: Slow) -> None:
    """What is told then is lost, and the answer says that there is nobody."""
    slow.gone = True
    wire.tell(Kind.LOGGED, b"x")
    assert not wire.answer(header(7, Kind.RETURNED, b""))


def test_large_answers_arrive_whole() -> None:
    """A body that is more than the socket takes at once is sent to the last byte."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = b"x" * 100_000
        assert Wire(theirs).answer(header(1, Kind.RETURNED, body), body)
        reader = Reader()
        frames: list[Frame] = []
        while not frames:
            room = reader.room()
            if room is None:
                frames += reader.feed(ours.recv(50_000))
            else:
                frames += reader.filled(ours.recv_into(room))
        assert bytes(frames[0].body) == body
