"""A keeper's scales: how much memory its worker's whole tree has, asked no more often than need be.

A tree grows no faster than memory can be written. So after each weighing it is known for how long
the tree stays within its limit for certain, and it is left alone for that time. That holds for
whatever the worker is at then, so the next job, if it may have as much, needs no weighing of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from .page import Page
from .tree import descendants
from .usage import resident

__all__ = ["Scales", "weigh"]

FASTEST = 8 * 2**30  # bytes that one core can fill in a second, and hardly any does
FINEST = 0.005  # seconds between two weighings, at least
SHARE = 0.05  # of a core, which weighing may take at most


class Scales:
    """Those of one worker.

    Attributes:
        due: when to weigh next (monotonic seconds); None while no job has a limit.
        peak: what the tree had, in bytes, once that was too much.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._fastest = FASTEST * (os.cpu_count() or 1)
        self.due: float | None = None
        self.peak: int | None = None

    def overweight(self, now: float) -> int:
        """Weigh if that is due: the ticket of a job that has too much, 0 if there is none."""
        page = self._page
        if self.due is None or self.due > now:
            return 0
        # Taken back first: a job that begins after we have looked whether one runs will ask by itself.
        self.due, page.weighed_at = None, 0.0
        before = time.process_time()
        ticket, limit = page.running, page.memory_limit
        if not limit:
            return 0
        weight = weigh(descendants(os.getpid()), limit)
        if weight > limit:
            self.peak = weight
            return ticket
        rest = (time.process_time() - before) / SHARE
        pause = max(FINEST, rest, (limit - weight) / self._fastest)
        self.due = page.weighed_at = now + pause
        return 0


def weigh(pids: Iterable[int], limit: int) -> int:
    """What these processes have, in bytes; of that which several share, each has its share.

    To ask for shares takes long, as all pages are looked at. What is resident is known at once, and
    is not less; so that is the answer where it is within `limit`.
    """
    sizes = {pid: resident(pid) for pid in pids}
    total = sum(sizes.values())
    return total if total <= limit else sum(_share(pid, size) for pid, size in sizes.items())


def _share(pid: int, size: int) -> int:
    """The proportional share of a process that was of that size; all of it, where that is not told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as sums:
            for line in sums:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except ProcessLookupError:  # it has ended
        return 0
    except OSError:
        pass  # it is another user's, or says to nobody what it has
    return size
