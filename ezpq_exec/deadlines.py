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


class Deadlines(Generic[T]):
    """Deadlines in seconds, on whatever clock the caller uses throughout."""

    def __init__(self) -> None:
        self._heap: Heap[T] = Heap()

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, owner: T, when: float) -> None:
        """Give `owner` this deadline, in place of any that it had."""
        self.clear(owner)
        owner.alarm = self._heap.push(when, 0, owner)

    def clear(self, owner: T) -> None:
        """Take `owner`'s deadline away, if it has one."""
        if owner.alarm is not None:
            self._heap.remove(owner.alarm)
            owner.alarm = None

    def next(self) -> float | None:
        """The earliest deadline; None if there is none."""
        entry = self._heap.peek()
        return None if entry is None else float(entry[0])

    def due(self, now: float) -> Iterator[T]:
        """Take out, one by one, those whose deadline is `now` or earlier."""
        while (entry := self._heap.peek()) is not None and entry[0] <= now:
            owner = self._heap.pop()
            owner.alarm = None
            yield owner
