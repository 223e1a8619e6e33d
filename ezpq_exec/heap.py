"""A heap whose entries can be taken out again, in O(log n) amortised.

An entry that is taken out stays in the heap as a dead one until it reaches the top, or until the
dead outnumber the living, when the heap is rebuilt without them. So memory stays proportional to
what is alive.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = ["Entry", "Heap"]

T = TypeVar("T")

_ITEM = 3
_FEW = 64  # so many dead entries are not worth a rebuild


# [rank, number, serial, item]: a list, since lists compare in C and are cheap to make. The serial
# number keeps items from being compared; item is None once the entry is dead.
Entry: TypeAlias = list[Any]


class Heap(Generic[T]):
    """Items by (rank, number), lowest first; equals in the order in which they came.

    >>> heap = Heap[str]()
    >>> late, soon = heap.push(2, 0, "late"), heap.push(1, 1, "soon")
    >>> heap.remove(soon)
    >>> heap.pop(), len(heap)
    ('late', 0)
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._serials = itertools.count()
        self._dead = 0

    def __len__(self) -> int:
        return len(self._entries) - self._dead

    def __iter__(self) -> Iterator[T]:
        """The living items, in no order."""
        return (entry[_ITEM] for entry in self._entries if entry[_ITEM] is not None)

    def push(self, rank: Any, number: int, item: T) -> Entry:
        """Add `item`; keep what is returned, to take it out again."""
        entry = [rank, number, next(self._serials), item]
        heapq.heappush(self._entries, entry)
        return entry

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is still in the heap."""
        entry[_ITEM] = None
        self._dead += 1
        self._rebuild_if_worth_it()

    def pop(self) -> T:
        """Take out the lowest item; IndexError if there is none."""
        while True:
            item: T | None = heapq.heappop(self._entries)[_ITEM]
            if item is not None:
                self._rebuild_if_worth_it()
                return item
            self._dead -= 1

    def peek(self) -> Entry | None:
        """The lowest living entry, left in place; None if there is none."""
        entries = self._entries
        while entries:
            if entries[0][_ITEM] is not None:
                return entries[0]
            heapq.heappop(entries)
            self._dead -= 1
        return None

    def _rebuild_if_worth_it(self) -> None:
        if self._dead > _FEW and self._dead * 2 > len(self._entries):
            self._entries = [entry for entry in self._entries if entry[_ITEM] is not None]
            heapq.heapify(self._entries)
            self._dead = 0
