"""Which keepers may fork their next worker: those that have killed one wait until no kill is near.

A kill takes a millisecond of CPU time, and starting a worker takes several. If many deadlines fall
together, the cores are what all wait for. So all kills come first, and then the starts: as many at
a time as there are cores, since the program, which has just heard of the kills, needs one, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from .jobqueue import CORES
from .link import Link, News
from .messages import Died
from .switchboard import BRIEF

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Renewals"]

BEFORE = 0.005  # seconds before a deadline from which on its kill is near
AFTER = 0.25  # seconds after it; and the longest that a keeper waits, whatever is near


class Renewals:
    """Keepers that wait for permission to fork; the loop gives it when it is about to sleep."""

    def __init__(self) -> None:
        self._waiting: list[Link] = []
        self._forking: list[Link] = []
        self._until = 0.0  # when the first of them has waited for long enough

    def hear(self, link: Link, news: News) -> None:
        """What a keeper says: it forks no more, and if it has killed its worker, it waits for permission."""
        if link in self._forking:
            self._forking.remove(link)
        if isinstance(news, Died) and news.reason is not None:
            if not self._waiting:
                self._until = time.monotonic() + AFTER
            self._waiting.append(link)

    def give(self, timeout: float | None, links: Iterable[Link]) -> float | None:
        """Give permission, unless a kill is near in one of `links`, or there is something else to do.

        Args:
            timeout: seconds for which the caller is about to sleep; None: for ever. If it is `BRIEF`, it
                is not about to.

        Returns:
            That, or a shorter time after which to try again.
        """
        if not self._waiting:
            return timeout
        now = time.monotonic()
        if now < self._until:
            if timeout is not None and timeout <= BRIEF:
                return timeout
            if any(link.number and now - AFTER < link.due < now + BEFORE for link in links):
                return _sooner(timeout, BEFORE)
        self._forking = [link for link in self._forking if not link.closed]
        while self._waiting and (len(self._forking) < CORES or now >= self._until):
            link = self._waiting.pop(0)
            link.tidy()
            link.order("fork")
            self._forking.append(link)
        return _sooner(timeout, self._until - now) if self._waiting else timeout


def _sooner(timeout: float | None, limit: float) -> float:
    return limit if timeout is None else min(timeout, limit)
