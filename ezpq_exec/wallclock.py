"""From monotonic times to times since the epoch: by one offset for all, so that their order stays.

Two clocks cannot be read at the same moment, and a thread may be held up between the two. If each
job had an offset of its own, a job could seem to begin before the one that made room for it.
"""

from __future__ import annotations

import time

__all__ = ["offset"]

SLACK = 0.001  # seconds; if the offset has changed by more, somebody has set a clock

_known: float | None = None


def offset() -> float:
    """What to add to a monotonic time, in seconds; the same each time, unless a clock was set.

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
