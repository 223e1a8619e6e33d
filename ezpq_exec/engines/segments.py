"""Segments: memory without a name, lent to one reader at a time; and a pool that keeps some warm.

For a new segment, the kernel has to find and clear pages, which takes longer than to copy into
pages that are there. So a segment is used again, once its reader has said that it is done: until
then its first byte is not 0. If a reader never says so (it was killed, or has forked children who
may read on), the lender closes its descriptor, and the kernel frees the memory with its last
reader. No segment has a name, so nothing is left behind, whichever process dies.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["FULL", "HEAD", "Lease", "Pool", "Segment", "new_segment", "room_for"]

HEAD = 4096  # bytes before the data: a page of its own, so that it can be mapped by itself
_ALIGNMENT = 64
_MOST_UNFIT = 4  # a segment is used for a request only if it is at most so many times as large

_FREE, _IN_USE = b"\0", b"\1"
# The errors that say that there is no more memory: the job fails with them. If there are only no
# more descriptors, or no memfd at all, the payload goes by the socket instead.
FULL = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EFBIG})


def room_for(size: int) -> int:
    """Bytes of a segment that a block of so many bytes takes."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Segment:
    """Memory that its descriptor, and whoever has mapped it, keep alive."""

    __slots__ = ("end", "fd", "is_spent", "size")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = 0  # bytes that have had memory so far
        self.end = HEAD  # where the next block goes
        self.is_spent = False  # it was sent twice, and must not be used again

    def clear(self) -> None:
        """Make it empty, for its next reader."""
        self.keep()
        self.end = HEAD

    def append(self, block: memoryview) -> int:
        """Copy a block of bytes in; where it begins.

        Raises:
            OSError: there is no memory for it. Then the segment has none.
        """
        if sys.platform != "linux":  # elsewhere there are none
            raise NotImplementedError
        begin = at = self.end
        try:
            while block:
                count = os.pwrite(self.fd, block, at)
                at += count
                block = block[count:]
        except OSError:
            os.ftruncate(self.fd, 0)
            self.size = 0
            raise
        self.size = max(self.size, at)
        self.end = begin + room_for(at - begin)
        return begin

    @property
    def is_free(self) -> bool:
        """Whether its reader is done with it."""
        if sys.platform != "linux":  # elsewhere there are none
            raise NotImplementedError
        return os.pread(self.fd, 1, 0) in (_FREE, b"")

    def keep(self) -> None:
        """Mark it as in use by a reader."""
        if sys.platform != "linux":  # elsewhere there are none
            raise NotImplementedError
        os.pwrite(self.fd, _IN_USE, 0)

    def __del__(self) -> None:
        os.close(self.fd)


def new_segment() -> Segment | None:
    """A fresh one; None if there is none to be had, here or now.

    Raises:
        OSError: there is no memory.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.memfd_create("ezpq_exec-segment")
    except OSError as failure:
        if failure.errno in FULL:
            raise
        return None
    os.fchmod(descriptor, 0o600)
    return Segment(descriptor)


class Lease:
    """Somebody's hold on a segment, which goes back to its pool with the last reference to this."""

    __slots__ = ("_give_back", "segment")

    def __init__(self, segment: Segment, give_back: Callable[[Segment], object]) -> None:
        self.segment = segment
        self._give_back = give_back

    def __del__(self) -> None:
        self._give_back(self.segment)


class Pool:
    """Segments to be used again. `take` chooses among those whose readers are done.

    Args:
        most_kept: how many are kept when nobody needs them.
        most_bytes: and how much memory they may have.
        most_lent: how many may be out at a time; beyond that there are none to be had.
    """

    def __init__(self, most_kept: int, most_bytes: int, most_lent: int) -> None:
        self._most_kept = most_kept
        self._most_bytes = most_bytes
        self._most_lent = most_lent
        self._lent = 0
        self._returned: deque[Segment] = deque()  # by finalizers, which must wait for nothing
        self._kept: list[Segment] = []  # the last that came back is last
        self._rests = True  # segments that come back are not kept
        # Guards _lent, _kept and the taking from _returned; re-entrant, for finalizers may take some.
        self._lock = threading.RLock()
        self._is_busy = False  # whoever has the lock is at these, and a finalizer may interrupt it

    def take(self, size: int) -> Lease | None:
        """A segment for `size` bytes; None if there is none to be had.

        Raises:
            OSError: there is no memory.
        """
        try:
            with self._lock:
                if self._is_busy:  # this is a finalizer
                    return None
                self._is_busy = True
                try:
                    segment = self._choose(size)
                finally:
                    self._is_busy = False
        finally:
            self._sort_what_is_due()
        if segment is None:
            return None
        lease = Lease(segment, self.give_back)
        segment.clear()
        return lease

    def _choose(self, size: int) -> Segment | None:
        self._rests = False
        self._sort()
        if self._lent >= self._most_lent:
            return None
        segment = self._best(size + HEAD) or new_segment()
        self._lent += segment is not None
        return segment

    def give_back(self, segment: Segment) -> None:
        """Nobody needs it here any more; its reader may. For finalizers, too."""
        self._returned.append(segment)
        del segment
        self._sort_what_is_due()

    def rest(self) -> None:
        """Let go of all that is kept, and keep nothing until something is needed again."""
        self._rests = True
        self._sort_what_is_due()

    @property
    def _is_due(self) -> bool:
        """Whether there is something to sort, or to let go of."""
        return bool(self._returned or (self._rests and self._kept))

    def _sort_what_is_due(self) -> None:
        """Sort, unless somebody is at it, who will look here again."""
        while self._is_due and self._lock.acquire(blocking=False):
            try:
                if self._is_busy:
                    return
                self._is_busy = True
                try:
                    self._sort()
                finally:
                    self._is_busy = False
            finally:
                self._lock.release()

    def _sort(self) -> None:
        kept = self._kept
        while self._returned:
            segment = self._returned.popleft()
            self._lent -= 1
            if not segment.is_spent:
                kept.append(segment)
        room, count = (0, 0) if self._rests else (self._most_bytes, self._most_kept)
        while len(kept) > count or sum(each.size for each in kept) > room:
            del kept[0]

    def _best(self, size: int) -> Segment | None:
        """The one that fits best; one that is too small will grow."""
        free = [each for each in self._kept if each.size <= _MOST_UNFIT * size and each.is_free]
        if not free:
            return None
        best = min(free, key=lambda each: (each.size < size, abs(each.size - size)))
        self._kept.remove(best)
        return best
