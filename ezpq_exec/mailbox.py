"""Letters to a thread that sleeps: it is woken for those that come, and only while it sleeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any thread posts, one reads. No letter is left lying while the reader sleeps.

    The reader first says that it sleeps, and then looks for letters once more. So it sees a letter
    that came before; and a thread that posts later finds it asleep, and wakes it. Only the reader
    says that it is awake. So if an exception stops a thread between posting and waking, the next
    thread wakes the reader. Each sleep is an object of its own, so that it is rung for only once.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._letters: deque[T] = deque()
        self._sleep: object = None  # while it lasts
        self._rung: object = None  # the sleep that was last ended by ringing

    def post(self, letter: T) -> None:
        """Leave a letter, and wake the reader if it sleeps."""
        self._letters.append(letter)
        if self._sleep is not self._rung:
            self.wake()

    def post_all(self, letters: Iterable[T]) -> None:
        """As `post` for each, in their order."""
        self._letters.extend(letters)
        if self._sleep is not self._rung:
            self.wake()

    def wake(self) -> None:
        """Wake the reader if it sleeps."""
        sleep = self._sleep
        if sleep is not None and sleep is not self._rung:
            self._wake()
            self._rung = sleep

    @property
    def is_unread(self) -> bool:
        """Whether there are letters."""
        return bool(self._letters)

    def fall_asleep(self) -> bool:
        """The reader is about to sleep; False if it must not, since there are letters."""
        self._sleep = object()
        return not self._letters

    def wake_up(self) -> None:
        """The reader is awake."""
        self._sleep = None

    def read(self) -> list[T]:
        """Take out the letters that are there, in the order in which they came; others are for the next time."""
        if not self._letters:
            return []
        take = self._letters.popleft
        return [take() for _ in range(len(self._letters))]
