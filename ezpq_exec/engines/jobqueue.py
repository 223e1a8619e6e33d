"""Jobs on their way to one worker, which the parent can take back until the worker takes them.

It is a pair of sequential-packet sockets: a message is a job or a bundle of some, and the kernel gives
it to exactly one reader. The worker reads, and so may the parent, which keeps a copy of the reading end:
what it reads there the worker never begins. Calls too large for a message follow on the stream.
In the other direction, it carries answers for which a thread waits here: see `line`.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Sequence

from . import bundles
from .bundles import HEAD, MOST, ROOM
from .channel import HEADER, Frame, Kind, header, shut, whole

__all__ = ["BRISK", "CORES", "JobQueue", "Lookout", "next_message", "read_into", "ticket_of"]

# Seconds: after a job that took no longer, both sides look for the next message for so long before
# they sleep. To sleep and to be woken on another core takes half as long; and a parent that hands over
# one job at a time, at 50 µs each, comes round to three other workers meanwhile.
BRISK = 200e-6

_AT_ONCE: int = getattr(socket, "MSG_DONTWAIT", 0)  # not on Windows, where there are no queues
_TIMEVAL = struct.Struct("@ll")
_FOREVER = 10**9  # seconds, more than which the kernel need not be told
_LONGEST_PAUSE = 256  # messages
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


class Lookout:
    """Whether to look out for something that may be about to come, before going to sleep.

    After it was in vain (the other side is slow, or has no core to run on), it is not tried for a
    while, which doubles each time.
    """

    __slots__ = ("_pause", "_skip")

    def __init__(self) -> None:
        self._skip = 0
        self._pause = 1

    def pays(self) -> bool:
        """Whether to try it this time."""
        if self._skip:
            self._skip -= 1
        return CORES > 1 and not self._skip

    def paid(self, did: bool) -> None:
        """Whether it was right to try."""
        self._pause = 1 if did else min(2 * self._pause, _LONGEST_PAUSE)
        self._skip = 0 if did else self._pause


def read_into(messages: list[bytes], sock: socket.socket, lookout: Lookout | None) -> None:
    """Append the next message, once there is one. `lookout`: it is expected very soon.

    Reading and appending are one call in C, so that no exception comes between the two.
    """
    if lookout is not None and lookout.pays():
        end = time.monotonic() + BRISK
        while time.monotonic() < end:
            try:
                messages.extend(map(sock.recv, (MOST,), (_AT_ONCE,)))
            except BlockingIOError:
                if sys.platform != "win32":  # where there are no queues
                    os.sched_yield()
                continue
            lookout.paid(True)
            return
        lookout.paid(False)
    messages.extend(map(sock.recv, (MOST,)))


def next_message(exit_end: socket.socket, lookout: Lookout | None = None) -> Frame | None:
    """In the worker: wait for the next message; None when there will be none."""
    messages: list[bytes] = []
    try:
        read_into(messages, exit_end, lookout)
    except ConnectionError:
        return None
    return whole(messages[0]) if messages[0] else None


def ticket_of(message: bytes) -> int:
    """The ticket of a message in the queue."""
    ticket: int = HEADER.unpack_from(message)[1]
    return ticket


class JobQueue:
    """The parent's side. Nothing here waits, except for a thread that reads at `entry`: see `line`."""

    def __init__(self, entry: socket.socket, exit_end: socket.socket) -> None:
        entry.setblocking(True)
        self.entry = entry
        self._exit = exit_end
        self._unsent: list[tuple[int, bytes]] = []  # tickets and calls of what is to go together
        self._size = 0  # of these, in bytes
        self._patience = 0.0  # no timeout is set: reads wait for ever

    def send(self, message: bytes) -> bool:
        """Put a message in; False if there is no room, or nobody to read it."""
        try:
            self.entry.send(message, _AT_ONCE)
        except OSError:
            return False
        return True

    def put(self, tickets: Sequence[int], calls: Sequence[bytes]) -> int:
        """Put in jobs behind others, which go with the next `flush`; how many there was room for."""
        size = HEAD * len(calls) + sum(map(len, calls))
        if self._size + size <= ROOM:  # as nearly always
            self._unsent += zip(tickets, calls, strict=True)
            self._size += size
            return len(calls)
        for count, (ticket, call) in enumerate(zip(tickets, calls, strict=True)):
            size = HEAD + len(call)
            if self._size + size > ROOM and not self.flush():
                return count
            self._unsent.append((ticket, call))
            self._size += size
        return len(calls)

    def flush(self) -> bool:
        """Send what was put in; False if there is no room: then it stays where it is."""
        if self._unsent:
            if not self.send(bundles.pack(self._unsent)):
                return False
            self._unsent = []
            self._size = 0
        return True

    def holds(self, ticket: int) -> bool:
        """Whether that job was put in, and is not sent."""
        return any(ticket == other for other, _ in self._unsent)

    def recall(self) -> tuple[dict[int, bytes], list[bytes]]:
        """Take back what the worker has not read: calls by ticket, and messages of other kinds."""
        calls: dict[int, bytes] = {}
        others: list[bytes] = []
        # Not by making it non-blocking: it shares that setting with the worker's.
        for message in _all_from(self._exit):
            frame = whole(message)
            if frame.kind == Kind.BUNDLE:
                calls.update((job.number, job.body) for job in bundles.jobs_in(frame.body))
            elif frame.kind == Kind.CALL:
                calls[frame.number] = frame.body
            else:
                others.append(message)
        calls.update(self._unsent)
        self._unsent = []
        self._size = 0
        return calls, others

    def answers(self) -> list[Frame]:
        """Those that came this way and that nobody has read."""
        frames = [whole(message) for message in _all_from(self.entry)]
        return [frame for frame in frames if frame.kind != Kind.HUNG_UP]

    def send_back(self, ticket: int) -> None:
        """Have whoever waits at `entry` for the answer to `ticket` wait no longer."""
        try:
            self._exit.send(header(ticket, Kind.HUNG_UP, b""), _AT_ONCE)
        except OSError:
            pass  # closed: then nobody waits there

    def set_patience(self, timeout: float | None) -> None:
        """How long a read at `entry` lasts at most, in seconds."""
        patience = 0.0 if timeout is None or timeout > _FOREVER else max(timeout, 1e-6)
        if patience != self._patience:
            whole, part = divmod(round(patience * 1e6), 1_000_000)
            value = _TIMEVAL.pack(whole, part)
            self.entry.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._patience = patience

    def close(self) -> None:
        """Let go, so that the worker sees the end."""
        shut(self.entry)
        self._exit.close()


def _all_from(sock: socket.socket) -> list[bytes]:
    messages: list[bytes] = []
    while True:
        try:
            message = sock.recv(MOST, _AT_ONCE)
        except OSError:
            return messages
        if not message:
            return messages
        messages.append(message)
