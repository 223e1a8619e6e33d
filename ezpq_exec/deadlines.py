"""Deadlines: each owner has one at most, and the earliest is found at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from .heap import Entry, Heap

__all__ = ["Deadlines", "Pause"]


class Owner(Protocol):
    """Whoever has a deadline keeps its entry, in `alarm`."""

    alarm: Entry | None


class Pause:
    """A span of time in which something is not done: it lasts as long as this has a deadline."""

    alarm: Entry | None = None


T = TypeVar("T", bound=Owner)

_WHEN, _OWNER, _DUE = 0, 3, 4  # of an entry: its rank in the heap, the item, and what is added here


class Deadlines(Generic[T]):
    """Deadlines in seconds, on whatever clock the caller uses throughout."""

    def __init__(self) -> None:
        self._heap: Heap[T] = Heap()

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, owner: T, when: float) -> None:
        """Give `owner` this deadline, in place of any that it had."""
        self.clear(owner)
        owner.alarm = entry = self._heap.push(when, 0, owner)
        entry.append(when)

    def hand_on(self, owner: T, heir: T, when: float) -> None:
        """Give `heir` the deadline `when`, and `owner` none any more.

        If that is later than what `owner` had, as it is where one job follows another, the entry stays
        where it is until its old moment has come: of many jobs that end in time, none moves anything.
        """
        entry = owner.alarm
        if entry is None or when < entry[_WHEN] or heir.alarm is not None:
            self.clear(owner)
            self.set(heir, when)
            return
        owner.alarm = None
        heir.alarm = entry
        entry[_OWNER] = heir
        entry[_DUE] = when

    def clear(self, owner: T) -> None:
        """Take `owner`'s deadline away, if it has one."""
        if owner.alarm is not None:
            self._heap.remove(owner.alarm)
            owner.alarm = None

    def next(self) -> float | None:
        """When `due` is to be asked: at the earliest deadline, or before it if that was handed on; None if there is none."""
        entry = self._heap.peek()
        when: float | None = None if entry is None else entry[_WHEN]
        return when

    def due(self, now: float) -> Iterator[T]:
        """Take out, one by one, those whose deadline is `now` or earlier."""
        while (entry := self._heap.peek()) is not None and entry[_WHEN] <= now:
            owner = self._heap.pop()
            owner.alarm = None
            if entry[_DUE] > entry[_WHEN]:  # it was handed on
                self.set(owner, entry[_DUE])
            else:
                yield owner
