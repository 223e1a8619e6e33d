"""Jobs on their way to one worker, which the parent can take back until the worker takes them.

It is a pair of sequential-packet sockets: one message a job, which the kernel gives to exactly one
reader. The worker reads, and so may the parent, which keeps a copy of the reading end: what it
reads there the worker never begins. Calls that are too large for a message follow on the stream.
"""

from __future__ import annotations

import socket

from .channel import HEADER, SMALL, Frame, Reader

__all__ = ["JobQueue", "next_message", "ticket_of"]

_MOST = HEADER.size + SMALL


def next_message(exit_end: socket.socket) -> Frame | None:
    """In the worker: wait for the next message; None when there will be none."""
    try:
        data = exit_end.recv(_MOST)
    except ConnectionError:
        return None
    return Reader().feed(data)[0] if data else None


def ticket_of(message: bytes) -> int:
    """The ticket of a message in the queue."""
    ticket: int = HEADER.unpack_from(message)[1]
    return ticket


class JobQueue:
    """The parent's side."""

    def __init__(self, entry: socket.socket, exit_end: socket.socket) -> None:
        entry.setblocking(False)
        self.entry = entry
        self._exit = exit_end

    def send(self, message: bytes) -> bool:
        """Put a job in; False if there is no room, or nobody to read it."""
        try:
            self.entry.send(message)
        except OSError:
            return False
        return True

    def recall(self) -> list[bytes]:
        """Take back what the worker has not taken, oldest first."""
        messages: list[bytes] = []
        while True:
            try:
                # Not by making it non-blocking: it shares that setting with the worker's.
                message = self._exit.recv(_MOST, socket.MSG_DONTWAIT)
            except OSError:
                return messages
            if not message:
                return messages
            messages.append(message)

    def close(self) -> None:
        """Let go, so that the worker sees the end, whoever else holds the descriptors."""
        try:
            self.entry.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the worker's end is gone already
        self.entry.close()
        self._exit.close()
