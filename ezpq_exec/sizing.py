"""How many items go into the next chunk, by how long the earlier ones took. No clock here.

A chunk should take so long that its overhead does not matter, and be so short that all workers end
at about the same time. How many items fit into that time is learned from the chunks that end.
"""

from __future__ import annotations

import math

__all__ = ["Sizer"]

TARGET = 0.03  # seconds of work in a chunk
SHORTEST = 0.002  # seconds: the end is not cut into pieces shorter than this
GROWTH = 4  # a chunk has at most so many times the items of the largest that was tried
LARGEST = 1 << 17  # items: beyond that nothing is gained, and all of them are in memory at once


class Sizer:
    """Is told how long chunks took, and says how large the next one is to be.

    Args:
        workers: how many chunks run side by side.

    >>> sizer = Sizer(workers=2)
    >>> sizer.size(remaining=None)
    1
    >>> sizer.tell(items=1, seconds=0.001)
    >>> sizer.size(remaining=None), sizer.size(remaining=8)
    (4, 2)
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._each: float | None = None  # seconds that an item takes
        self._tried = 0  # items of the largest chunk that has ended

    def tell(self, items: int, seconds: float) -> None:
        """A chunk of so many items took so long. What is newer counts for half."""
        each = max(seconds, 1e-9) / items
        self._each = each if self._each is None else (self._each + each) / 2
        self._tried = max(self._tried, items)

    def size(self, remaining: int | None) -> int:
        """Items for the next chunk, at least 1. `remaining`: how many there are, where known."""
        if self._each is None:
            return 1
        size = min(math.ceil(TARGET / self._each), GROWTH * self._tried, LARGEST)
        if remaining is not None:
            share = math.ceil(remaining / (2 * self._workers))
            size = min(size, max(share, int(SHORTEST / self._each)))
        return max(1, size)
