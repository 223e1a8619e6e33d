"""Measures the memory of a worker and all processes below it, no more often than necessary.

Processes can fill memory only so fast. So each measurement says for how long they are certain to
stay within the limit, and until then nothing is measured. This holds whatever job the worker runs
by then, so a next job with the same limit or a higher one needs no measurement of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from .page import Page
from .tree import descendants
from .usage import resident

__all__ = ["Scales", "weigh"]

FASTEST = 8 * 2**30  # bytes a second: more than nearly any core can fill
FINEST = 0.005  # seconds between two weighings, at least
SHARE = 0.05  # of one core: the most that weighing may take


class Scales:
    """Weighs one worker with all processes below it.

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
        # Reset before the look: a job that begins after it then asks to be weighed by itself.
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
    """The memory of these processes, in bytes; what several share is divided among them.

    To find out the shares takes long, since the kernel looks at all pages. The resident memory is
    known at once, and is never less. So that is the answer where it is within `limit`.
    """
    sizes = {pid: resident(pid) for pid in pids}
    total = sum(sizes.values())
    return total if total <= limit else sum(_share(pid, size) for pid, size in sizes.items())


def _share(pid: int, size: int) -> int:
    """A process's memory, of shared pages its part; `size`, its resident memory, if that is not told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as sums:
            for line in sums:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except ProcessLookupError:  # it has ended
        return 0
    except OSError:
        pass  # it is another user's, or the kernel does not tell
    return size
