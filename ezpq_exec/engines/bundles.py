"""Jobs that go to a worker in one message, and of which each can be had back until it begins.

To send and to read a message costs more than a job of microseconds. But what a worker has read
cannot be read back. So on the page that they share, the worker says which job it is about to begin,
and then looks whether jobs are called back; the parent says up to which it calls back, and then looks
how far the worker is. So they cannot both miss each other: either the parent sees the claim, or the
worker sees the call. If both see the other's, the parent takes the job for begun, and hears that it was
declined.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .channel import HEADER, SMALL, Frame, Kind, header
from .fence import fence

if TYPE_CHECKING:  # there are none but on Linux
    from .page import Page

__all__ = ["HEAD", "MOST", "ROOM", "call_back", "claimed", "jobs_in", "pack"]

_COUNT = struct.Struct("<Q")
_ENTRY = struct.Struct("<QI")  # ticket, bytes of the call

HEAD = _ENTRY.size  # bytes that a job takes beside its call
ROOM = HEAD + SMALL  # bytes of jobs in a bundle: at least one has room
MOST = HEADER.size + _COUNT.size + ROOM  # bytes of a message


def pack(jobs: Sequence[tuple[int, bytes]]) -> bytes:
    """The message for jobs: their tickets, with their calls.

    >>> message = pack([(1, b"one"), (2, b"two")])
    >>> [(job.number, job.body) for job in jobs_in(message[HEADER.size :])]
    [(1, b'one'), (2, b'two')]
    """
    tickets, calls = zip(*jobs, strict=True)
    entries = map(_ENTRY.pack, tickets, map(len, calls))
    body = b"".join((_COUNT.pack(len(jobs)), *entries, *calls))
    return header(0, Kind.BUNDLE, body) + body


def jobs_in(body: bytes) -> list[Frame]:
    """The jobs of a bundle, each as the frame that it would be by itself."""
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size + count * _ENTRY.size
    new, kind = tuple.__new__, Kind.CALL
    frames = []
    for ticket, size in _ENTRY.iter_unpack(body[_COUNT.size : at]):
        # No more than `Frame` does, which would be a call in Python.
        frames.append(new(Frame, (ticket, kind, 0.0, 0.0, 0.0, 0, body[at : at + size])))
        at += size
    return frames


def claimed(
    frames: Iterable[Frame], page: Page, decline: Callable[[int], object]
) -> Iterator[Frame]:
    """In the worker: those jobs of a bundle that it may begin, each claimed as it is asked for.

    Args:
        decline: called with the ticket of the first that was called back; none is begun after that.
    """
    for frame in frames:
        page.claim(frame.number)
        fence()
        if page.called_back >= frame.number:
            decline(frame.number)
            return
        yield frame


def call_back(page: Page, ticket: int) -> int:
    """In the parent: call back all up to `ticket`; the last that the worker has claimed by now.

    It begins none after that. That one it has begun, or it will decline it.
    """
    page.call_back(ticket)
    fence()
    return page.claimed
