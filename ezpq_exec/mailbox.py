"""Letters to a thread that sleeps: it is woken once for all that come, and never for nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Mailbox"]


class Mailbox:
    """Any thread posts, one reads. No letter is left lying while the reader sleeps.

    The lock is held while the reader is awake. Whoever posts and can take it has found the reader
    asleep, and wakes it. The reader lets go of it first, and then looks for letters once more: one
    that came before was seen then, one that comes later finds the lock free.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._letters: deque[tuple[Any, ...]] = deque()
        self._awake = threading.Lock()
        self._awake.acquire()

    def post(self, *letter: Any) -> None:
        """Leave a letter, and wake the reader if it sleeps."""
        self._letters.append(letter)
        self.wake()

    def post_quietly(self, *letter: Any) -> None:
        """Leave a letter that can wait until something else wakes the reader."""
        self._letters.append(letter)

    def wake(self) -> None:
        """Wake the reader if it sleeps."""
        if self._awake.acquire(blocking=False):
            self._wake()

    @property
    def is_unread(self) -> bool:
        """Whether there are letters."""
        return bool(self._letters)

    def fall_asleep(self) -> bool:
        """The reader is about to sleep; False if it must not, since there are letters."""
        self._awake.release()
        return not self._letters

    def wake_up(self) -> None:
        """The reader is awake."""
        self._awake.acquire(blocking=False)

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Take out the letters, in the order in which they came."""
        while self._letters:
            yield self._letters.popleft()
