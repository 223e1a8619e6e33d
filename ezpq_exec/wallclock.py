"""Monotonic times as times since the epoch: in the same way for all, so that their order stays.

To read two clocks takes two moments, between which a thread may be held up. If each job's times were
turned by a difference of its own, one could seem to begin before the one that made room for it.
"""

from __future__ import annotations

import time

__all__ = ["offset"]

SLACK = 0.001  # seconds; clocks that differ by more from what they did have been set

_known: float | None = None


def offset() -> float:
    """What to add to a monotonic time, in seconds; as before, unless somebody has set a clock.

    >>> abs(time.monotonic() + offset() - time.time()) < 0.5
    True
    """
    global _known
    before = time.monotonic()
    fresh = time.time() - before
    held_up = time.monotonic() - before
    if _known is None or abs(fresh - _known) > SLACK + held_up:
        _known = fresh
    return _known
