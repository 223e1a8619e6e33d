"""Which keepers may fork their next worker: those that have killed one wait until no kill is near.

A kill takes a millisecond of CPU, and a worker's start several. Where many deadlines fall together,
all that wait for them wait for the cores; so first all the kills, and then the starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from .link import Link
from .messages import Died

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Renewals"]

BEFORE = 0.005  # seconds before a deadline from which on its kill is near
AFTER = 0.25  # seconds after it; and the longest that a keeper waits, whatever is near


class Renewals:
    """Keepers that wait for leave to fork. The parent's loop gives it when it is about to sleep."""

    def __init__(self) -> None:
        self._waiting: list[Link] = []
        self._until = 0.0  # when the first of them has waited for long enough

    def owe(self, link: Link, died: Died) -> None:
        """The worker of `link` has died. If its keeper has killed it, that waits."""
        if died.reason is not None:
            if not self._waiting:
                self._until = time.monotonic() + AFTER
            self._waiting.append(link)

    def give(self, timeout: float | None, links: Iterable[Link]) -> float | None:
        """Give leave, unless a kill is near in one of `links`, or there is something else to do.

        Args:
            timeout: seconds for which the caller is about to sleep; 0: it is not; None: for ever.

        Returns:
            That, or a shorter time after which to try again.
        """
        if not self._waiting:
            return timeout
        now = time.monotonic()
        if now < self._until:
            if timeout == 0.0:
                return timeout
            if any(link.number and now - AFTER < link.due < now + BEFORE for link in links):
                return BEFORE if timeout is None else min(timeout, BEFORE)
        for link in self._waiting:
            link.order("fork")
        self._waiting.clear()
        return timeout
