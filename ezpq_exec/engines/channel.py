"""Frames over one private stream socket, between the parent and one worker.

Both ends use the same frames: a header, then a body. A large body is read straight into the memory
where it stays. The parent's end never blocks: what the socket does not take at once is kept, and
sent when the socket is writable again.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Sized
from typing import Any, NamedTuple, Union

__all__ = [
    "ANSWERS",
    "NO_TICKET",
    "Channel",
    "Frame",
    "Garbled",
    "Kind",
    "Reader",
    "receive",
    "send",
    "shut",
    "whole",
]

Bytes = Union[bytes, bytearray, memoryview]
Head = tuple[int, int, int, float, float, float, int]

HEADER = struct.Struct("<QQBdddQ")
READ_SIZE = 64 * 1024
SMALL = 16 * 1024  # bytes of a body that an idle worker's socket always takes at once
FILL_SIZE = 1024 * 1024  # bytes of a large body read at a time, so that others get their turn


class Garbled(Exception):
    """What came is no frame: somebody else has written to the descriptor."""


class Kind:
    """What a frame is. The values are in no text, and not zero: so garbage is recognised."""

    SETUP = 0xE0  # to the worker: surroundings and initializer
    CALL = 0xE1  # to the worker: a job
    READY = 0xE2  # to the parent: the initializer is done
    RETURNED = 0xE3
    RAISED = 0xE4
    UNFIT = 0xE5  # to the parent: the initializer raised
    STARTED = 0xE6  # to the parent, where no page is shared: a job has begun
    BEHIND = 0xE7  # to the worker, in its queue: the next frame on the stream is the message
    HUNG_UP = 0xE8  # to a thread of the parent's that waits on a line: no answer comes this way
    LOGGED = 0xE9  # to the parent: a job has logged something
    WARNED = 0xEA  # to the parent: a job was warned of something
    CAPTURE = 0xEB  # to the worker, in its queue: files for the next job's output are on the stream
    PARCEL = 0xEC  # in a queue, or on the stream to the parent: the next parcel is the message
    TIDY = 0xED  # to the worker: what it need not keep
    BUNDLE = 0xEE  # to the worker, in its queue: several jobs
    DECLINED = 0xEF  # to the parent: a job of a bundle was called back, and has not begun


ANSWERS = (Kind.RETURNED, Kind.RAISED)
NO_TICKET = 2**64 - 1  # of a frame that is about no job, where 0 could be mistaken for none in hand


class Frame(NamedTuple):
    """One message.

    A call's `stamp` is its timeout (seconds, 0 for none), its `rss` its memory limit (bytes, 0 for
    none). An answer's `stamp` is when it started, beside when it `ended` (both monotonic) and its
    `cpu_time` (seconds); `rss` is the worker's peak.
    """

    number: int
    kind: int
    stamp: float
    ended: float
    cpu_time: float
    rss: int
    body: Any  # bytes; in a parcel, an `Arrival`


def header(
    number: int,
    kind: int,
    body: Sized,
    stamp: float = 0.0,
    ended: float = 0.0,
    cpu_time: float = 0.0,
    rss: int = 0,
) -> bytes:
    """What goes before `body` on the wire."""
    return HEADER.pack(len(body), number, kind, stamp, ended, cpu_time, rss)


def _frame(head: Head, body: Bytes) -> Frame:
    return tuple.__new__(Frame, (*head[1:], body))  # no more than `Frame` does


def whole(message: bytes) -> Frame:
    """The one frame that `message` consists of.

    >>> whole(header(7, Kind.CALL, b"abc") + b"abc").body
    b'abc'
    """
    return _frame(HEADER.unpack_from(message), message[HEADER.size :])


class Reader:
    """Turns the bytes of a stream into frames; does no I/O itself.

    >>> reader = Reader()
    >>> wire = header(7, Kind.CALL, b"abc") + b"abc"
    >>> reader.feed(wire[:50]), [frame.body for frame in reader.feed(wire[50:])]
    ([], [b'abc'])
    """

    def __init__(self) -> None:
        self._rest = b""
        self._head: Head | None = None
        self._large = bytearray()
        self._filled = 0

    def room(self) -> memoryview | None:
        """Where the next bytes are to be read to, if a large body is under way."""
        if self._head is None:
            return None
        return memoryview(self._large)[self._filled :][:FILL_SIZE]

    def filled(self, count: int) -> list[Frame]:
        """`count` bytes were read into `room()`."""
        self._filled += count
        if self._head is None or self._filled < len(self._large):
            return []
        frame = _frame(self._head, self._large)
        self._head, self._large, self._filled = None, bytearray(), 0
        return [frame]

    def feed(self, data: bytes) -> list[Frame]:
        """These bytes came; what frames are complete now?

        Raises:
            Garbled: they are none.
            MemoryError: there is no room for one.
        """
        if self._rest:
            data = self._rest + data
        elif len(data) > HEADER.size:
            size, number, kind, stamp, ended, cpu_time, rss = HEADER.unpack_from(data)
            if size == len(data) - HEADER.size and kind >= Kind.SETUP:  # one frame, and no more
                body = data[HEADER.size :]
                return [tuple.__new__(Frame, (number, kind, stamp, ended, cpu_time, rss, body))]
        frames = []
        new, unpack, lowest = tuple.__new__, HEADER.unpack_from, Kind.SETUP
        at, body_at, end = 0, HEADER.size, len(data)
        while body_at <= end:
            size, number, kind, stamp, ended, cpu_time, rss = unpack(data, at)
            if kind < lowest:
                self._rest = data[at:]
                raise Garbled(f"this is no frame: {data[at:body_at]!r}")
            after = body_at + size
            if after > end:
                if size > READ_SIZE:
                    self._begin_large(unpack(data, at), data[body_at:])
                    at = end
                break
            # No more than `Frame` does, which would be a call in Python.
            body = data[body_at:after]
            frames.append(new(Frame, (number, kind, stamp, ended, cpu_time, rss, body)))
            at, body_at = after, after + HEADER.size
        self._rest = data[at:]
        return frames

    def _begin_large(self, head: Head, start: bytes) -> None:
        self._large = bytearray(head[0])
        self._large[: len(start)] = start
        self._filled = len(start)
        self._head = head


def receive(sock: socket.socket, reader: Reader) -> list[Frame]:
    """Read once from `sock`, and return the frames that this completes.

    Raises:
        EOFError: the other end is closed.
        Garbled, MemoryError: as `Reader.feed`.
        BlockingIOError: nothing is there, and `sock` does not block.
    """
    room = reader.room()
    if room is not None:
        count = sock.recv_into(room)
        if not count:
            raise EOFError
        return reader.filled(count)
    data = sock.recv(READ_SIZE)
    if not data:
        raise EOFError
    return reader.feed(data)


def send(sock: socket.socket, head: bytes, body: Bytes) -> None:
    """Write a whole frame to a socket that blocks."""
    if len(body) <= READ_SIZE:
        sock.sendall(head + body)
    else:
        sock.sendall(head)
        sock.sendall(body)


def shut(sock: socket.socket) -> None:
    """Close it, so that the other end sees that even if others hold the descriptor, too."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end is gone already
    sock.close()


class Channel:
    """The parent's end: non-blocking, with what could not yet be sent."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.moved_at = 0.0  # when bytes were last taken by the worker's socket (monotonic)
        self._unsent: deque[memoryview] = deque()
        self._reader = Reader()

    def send(self, head: bytes, body: Bytes) -> bool:
        """Send a frame, as far as it goes; False if `flush` must be called when writable.

        Raises:
            OSError: the worker's end is gone.
        """
        if len(body) <= READ_SIZE:
            self._unsent.append(memoryview(head + body))
        else:
            self._unsent.extend((memoryview(head), memoryview(body)))
        return self.flush()

    def flush(self) -> bool:
        """Send what is left, as far as it goes; True if nothing is left."""
        unsent = self._unsent
        self.moved_at = time.monotonic()
        while unsent:
            try:
                count = self.sock.send(unsent[0])
            except BlockingIOError:
                return False
            if count < len(unsent[0]):
                unsent[0] = unsent[0][count:]
            else:
                unsent.popleft()
        return True

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is left to be sent."""
        return not self._unsent

    def receive(self) -> list[Frame]:
        """See the function `receive`."""
        return receive(self.sock, self._reader)

    def drain(self) -> list[Frame]:
        """All the frames that the other end sent before it was closed."""
        frames: list[Frame] = []
        while True:
            try:
                frames += self.receive()
            except (EOFError, OSError, Garbled, MemoryError):
                return frames

    def close(self) -> None:
        """Let go, so that the worker sees the end."""
        shut(self.sock)
        self._unsent.clear()
