"""Items by rank, and those of one rank by number: cheap where many share a rank, and come in order.

Each rank has a *row*. Nearly all items come in the order of their numbers: they are put at the end
of the row and taken from its front, which costs the same with a million items as with two. Only the
ranks are in a heap, and the few items that come late. A row of one item is just that item's entry.

An entry that is removed stays where it is, as a dead one, until its turn comes, or until the dead
outnumber the living: then all is built again without them.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .heap import Entry, Heap

__all__ = ["Ranks"]

T = TypeVar("T")

_NUMBER, _ITEM = 1, 2  # of an entry: [rank, number, item]; item is None once it is dead
_FEW = 64  # so many dead entries are not worth building all again


class Ranks(Generic[T]):
    """Items by (rank, number), lowest first. No two have both in common.

    >>> ranks = Ranks[str]()
    >>> late, soon, next_ = ranks.push(2, 1, "late"), ranks.push(1, 2, "soon"), ranks.push(1, 3, "next")
    >>> ranks.remove(soon)
    >>> ranks.pop(), ranks.pop(), len(ranks)
    ('next', 'late', 0)
    """

    def __init__(self) -> None:
        self._rows: dict[Any, Entry | deque[Entry]] = {}
        self._order: list[Any] = []  # a heap of the ranks that have a row
        self._late: Heap[Entry] = Heap()
        self._are_late = False  # whether there may be any
        self.living = 0  # items; to ask for this costs less than `len`
        self._dead = 0

    def __len__(self) -> int:
        return self.living

    def __iter__(self) -> Iterator[T]:
        """The living items, in no order."""
        return (entry[_ITEM] for entry in self._entries())

    def push(self, rank: Any, number: int, item: T) -> Entry:
        """Add `item`; keep what is returned, to take it out again."""
        entry = [rank, number, item]
        self.extend([entry])
        return entry

    def extend(self, entries: list[Entry]) -> None:
        """Add items, each as the entry that `push` would return: `[rank, number, item]`."""
        rows = self._rows
        for entry in entries:
            row = rows.get(entry[0])
            if type(row) is deque and row and row[-1][_NUMBER] < entry[_NUMBER]:  # as nearly always
                row.append(entry)
                self.living += 1
            else:
                self._file(entry)

    def _file(self, entry: Entry) -> None:
        rank = entry[0]
        self.living += 1
        row = self._rows.get(rank)
        if isinstance(row, deque):
            if not row or row[-1][_NUMBER] < entry[_NUMBER]:
                row.append(entry)
            else:
                self._late.push(rank, entry[_NUMBER], entry)
                self._are_late = True
        elif row is None:
            self._rows[rank] = entry
            heapq.heappush(self._order, rank)
        else:  # it is an entry, and no longer alone
            self._rows[rank] = deque(sorted((row, entry), key=_number))

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is still there."""
        entry[_ITEM] = None
        self.living -= 1
        self._dead += 1
        if self._dead > _FEW and self._dead > self.living:
            self._make_anew()

    def pop(self) -> T:
        """Take out the lowest item; IndexError if there is none."""
        if self._order and not self._are_late:
            row = self._rows[self._order[0]]
            if type(row) is deque and row and row[0][_ITEM] is not None:  # as nearly always
                self.living -= 1
                item: T = row.popleft()[_ITEM]
                return item
        entry = self.peek()
        if entry is None:
            raise IndexError("pop from empty ranks")
        return self._pop(entry)

    def _pop(self, entry: Entry) -> T:
        """Take out the entry that is the lowest."""
        self.living -= 1
        late = self._late.peek()
        if late is not None and late[-1] is entry:
            self._late.pop()
        else:
            row = self._rows[entry[0]]
            if isinstance(row, deque):
                row.popleft()
            else:
                self._forget_first_rank()
        item: T = entry[_ITEM]
        return item

    def take(self, count: int, wanted: Callable[[T], bool]) -> list[T]:
        """Take out the lowest items, at most `count`, up to the first that is not `wanted`."""
        taken: list[T] = []
        while len(taken) < count:
            entry = self.peek()
            if entry is None or not wanted(entry[_ITEM]):
                break
            taken.append(self._pop(entry))
            row = self._rows.get(entry[0])
            if isinstance(row, deque) and not self._are_late:
                self._take_from(row, taken, count, wanted)
        return taken

    def _take_from(
        self, row: deque[Entry], taken: list[T], count: int, wanted: Callable[[T], bool]
    ) -> None:
        """As `take`, from the first row, while nothing is late."""
        had = len(taken)
        while row and len(taken) < count:
            item = row[0][_ITEM]
            if item is None:
                self._dead -= 1
            elif wanted(item):
                taken.append(item)
            else:
                break
            row.popleft()
        self.living -= len(taken) - had

    def peek(self) -> Entry | None:
        """The lowest living entry, left in place; None if there is none."""
        first = self._first_in_order()
        while (late := self._late.peek()) is not None:
            entry: Entry = late[-1]
            if entry[_ITEM] is not None:
                return entry if first is None or entry[:_ITEM] < first[:_ITEM] else first
            self._late.pop()
            self._dead -= 1
        self._are_late = False
        return first

    def _first_in_order(self) -> Entry | None:
        """The lowest living entry of all rows. Dead entries before it are dropped, and empty rows."""
        while self._order:
            row = self._rows[self._order[0]]
            if isinstance(row, deque):
                while row:
                    if row[0][_ITEM] is not None:
                        return row[0]
                    row.popleft()
                    self._dead -= 1
            elif row[_ITEM] is not None:
                return row
            else:
                self._dead -= 1
            self._forget_first_rank()
        return None

    def _forget_first_rank(self) -> None:
        del self._rows[heapq.heappop(self._order)]

    def _entries(self) -> Iterator[Entry]:
        """The living ones."""
        rows = (row if isinstance(row, deque) else (row,) for row in self._rows.values())
        for entry in itertools.chain(self._late, *rows):
            if entry[_ITEM] is not None:
                yield entry

    def _make_anew(self) -> None:
        """Build all again without dead entries; those that came late are then in their rows."""
        entries = sorted(self._entries(), key=_number)
        self._rows, self._order, self._late, self._are_late = {}, [], Heap(), False
        self.living = self._dead = 0
        for entry in entries:
            self._file(entry)


def _number(entry: Entry) -> int:
    number: int = entry[_NUMBER]
    return number
