"""A shared page that decides whether a lender's worker begins a job or the parent takes it back.

Jobs that are lent ahead of their turn may lie in the lender's own pipes, from which it gives nothing
back. So each has two bytes on this page. Whoever wants to begin it sets one and then looks at the
other; whoever wants it back sets the other and then looks at the first. So they cannot both miss
each other: a job that was taken back for certain never runs. If both look at the same instant,
neither may have it, and the parent hears that when the job comes back undone.

Several jobs may go in one call of the lender's. Then there is also room for the answers of those that
have ended, so that none has to wait for the one behind it; and if there is not, that one does not
begin.

The lender's workers open the page by the parent's entry in `/proc`, so it is gone when that is.
"""

from __future__ import annotations

import marshal
import mmap
import os
import sys
from typing import Any

from .fence import fence

__all__ = ["Board", "Ticket", "begin", "leave"]

_SIZE = 65536
_HEAD = 16  # bytes, by which a worker knows that it is the page that it was told of
_CELL = 256  # bytes: has it begun; was it taken back; how long is its answer, in two; the answer
_ROOM = _CELL - 4

# Where a job's two bytes are: in which page, of which head, and at which place there. It is a plain
# tuple, since each job takes it along.
Ticket = tuple[str, bytes, int]


def _allocate() -> int:
    if sys.platform != "linux":
        raise OSError("pages that are found by /proc need Linux")
    descriptor = os.memfd_create("ezpq_exec-board")
    os.fchmod(descriptor, 0o600)
    return descriptor


class Board:
    """The parent's side. Only the loop's thread uses it.

    Attributes:
        is_spoilt: there are cells that are not used again.

    Raises:
        OSError, AttributeError: this system has no such pages.
    """

    def __init__(self) -> None:
        self._descriptor = _allocate()
        try:
            os.ftruncate(self._descriptor, _SIZE)
            self._page = mmap.mmap(self._descriptor, _SIZE)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self._page[:_HEAD] = self._head = os.urandom(_HEAD)
        self.is_spoilt = False
        self._free = list(range(_HEAD, _SIZE - _CELL, _CELL))

    def post(self) -> Ticket | None:
        """Room for a job; None if there is none."""
        if not self._free:
            return None
        cell = self._free.pop()
        self._page[cell : cell + 4] = bytes(4)
        return self._path, self._head, cell

    def take_back(self, ticket: Ticket) -> bool:
        """Keep the job from beginning; whether it is certain that it has not."""
        cell = ticket[2]
        self._page[cell + 1] = 1
        fence()
        return not self._page[cell]

    def has_begun(self, ticket: Ticket) -> bool:
        """Whether a worker has come to the job, be it to find that it was taken back."""
        return bool(self._page[ticket[2]])

    def answer(self, ticket: Ticket) -> Any:
        """What the worker has left there; None if nothing."""
        cell = ticket[2]
        length = int.from_bytes(self._page[cell + 2 : cell + 4], "little")
        if not length:
            return None
        return marshal.loads(self._page[cell + 4 : cell + 4 + length])  # noqa: S302  # our own page

    def clear(self, ticket: Ticket) -> None:
        """Its bytes can be used for another job: nobody will look at them for this one any more."""
        self._free.append(ticket[2])

    def spoil(self) -> None:
        """A worker may still look at a job's bytes: they stay as they are."""
        self.is_spoilt = True

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()
        os.close(self._descriptor)


_opened: tuple[bytes, mmap.mmap] | None = None


def begin(ticket: Ticket) -> bool:
    """In a worker: whether the job is to be run here and now.

    If the page cannot be opened, the answer is no: the job might have been taken back.
    """
    global _opened
    path, head, cell = ticket
    opened = _opened
    if opened is None or opened[0] != head:
        try:
            opened = _open(path, head)
        except (OSError, ValueError):
            return False
        if opened is None:
            return False
        _opened = opened
    page = opened[1]
    page[cell] = 1
    fence()
    return not page[cell + 1]


def leave(ticket: Ticket, answer: Any) -> bool:
    """In a worker: put the answer of a job where it can be had; False if it has no room there."""
    try:
        data = marshal.dumps(answer)
    except ValueError:  # it is not made of plain data
        return False
    if len(data) > _ROOM or _opened is None:
        return False
    page, cell = _opened[1], ticket[2]
    page[cell + 4 : cell + 4 + len(data)] = data
    fence()
    page[cell + 2 : cell + 4] = len(data).to_bytes(2, "little")
    return True


def _open(path: str, head: bytes) -> tuple[bytes, mmap.mmap] | None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        page = mmap.mmap(descriptor, _SIZE)
    finally:
        os.close(descriptor)
    if page[:_HEAD] == head:
        return head, page
    page.close()
    return None
