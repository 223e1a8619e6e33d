"""A queue for one reader, who takes all that is there at once, and may wait for only so long.

`queue.SimpleQueue` would do, but that its `get` with a timeout can block for ever on Python 3.10
(if the thread loses the CPU at the wrong moment, the time left comes out negative, which means
"no limit" there).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """Any thread puts, one takes.

    >>> inbox = Inbox[int]()
    >>> inbox.put(1)
    >>> inbox.put(2)
    >>> inbox.take(timeout=None), inbox.take(timeout=0)
    ([1, 2], [])
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._closed = False
        self._bell = threading.Lock()  # released when something is put, taken again by `take`
        self._bell.acquire()

    def put(self, item: T) -> None:
        """Add an item. After `close` it is dropped."""
        if not self._closed:
            self._items.append(item)
            self.ring()

    def put_quietly(self, item: T) -> None:
        """As `put`, by one who is going to `ring` in a moment."""
        if not self._closed:
            self._items.append(item)

    def ring(self) -> None:
        """End the `take` that is under way, or else the next one."""
        try:
            self._bell.release()
        except RuntimeError:
            pass  # it has been rung, and not been noticed yet

    def take(self, timeout: float | None) -> list[T]:
        """All items that are there. If there are none, wait up to `timeout` seconds for some."""
        if self._items:
            self._bell.acquire(blocking=False)
        else:
            limit = -1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)
            self._bell.acquire(timeout=limit)
        items: list[T] = []
        while self._items:
            items.append(self._items.popleft())
        return items

    def close(self) -> None:
        """Drop all items, those to come as well."""
        self._closed = True
        self._items.clear()
