"""The worker's word to its keeper of deadlines, and of limits to memory, that come before it would look."""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

from .channel import Frame

if TYPE_CHECKING:  # there are none but on Linux
    from .page import Page

__all__ = ["DEADLINE", "WEIGH", "Alarm"]

DEADLINE = struct.Struct("<d")
WEIGH = 0.0  # in place of a deadline: the keeper is to look at the worker's memory
_MARGIN = 0.002  # seconds: a keeper that is about to wake sooner may miss the new job


class Alarm:
    """Tells the keeper of deadlines, and only of those that it would otherwise sleep through.

    The keeper wakes at the last time that it was told of, and then looks at the page for itself;
    so a later deadline needs no word while that time is still to come.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._told = 0.0
        self._limit = 0

    def watch(self, page: Page, job: Frame, started: float) -> None:
        """A job has begun, as the page says, that has a timeout, or a memory limit, or both."""
        # Not `started`: before the page said so, the keeper may have woken, and seen no job.
        now = time.monotonic()
        if job.stamp:
            self.set(started + job.stamp, now)
        if job.rss:
            page.limit(job.number, job.rss)
            self.weigh(page.weighed_at, job.rss, now)

    def set(self, deadline: float, now: float) -> None:
        """A job with this deadline has begun."""
        if not now + _MARGIN < self._told <= deadline:
            self._told = deadline
            os.write(self._pipe, DEADLINE.pack(deadline))

    def weigh(self, due: float, limit: int, now: float) -> None:
        """A job with this memory limit has begun; the keeper will look when it is `due`.

        That is soon enough for every job that may have as much as the one it was reckoned for.
        """
        if limit < self._limit or due < now + _MARGIN:
            os.write(self._pipe, DEADLINE.pack(WEIGH))
        self._limit = limit
