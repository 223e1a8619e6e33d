"""From monotonic times to times since the epoch: by one offset for all, so that their order stays.

Two clocks cannot be read at the same moment, and a thread may be held up between the two. If each
job had an offset of its own, a job could seem to begin before the one that made room for it.
"""

from __future__ import annotations

import threading
import time

__all__ = ["offset"]

SLACK = 0.001  # seconds; if the offset has changed by more, somebody has set a clock
TRIES = 20  # readings at most, of which the best counts
GOOD = 5e-6  # seconds between the looks at the two clocks: no better one is looked for

_known: float | None = None
_lock = threading.Lock()  # guards that there are not two


def offset() -> float:
    """What to add to a monotonic time, in seconds; the same each time, unless a clock was set.

    >>> abs(time.monotonic() + offset() - time.time()) < 0.5
    True
    """
    global _known
    fresh, held_up = _reading()
    if _known is None or abs(fresh - _known) > SLACK + held_up:
        with _lock:
            fresh, held_up = _good_reading()
            if _known is None or abs(fresh - _known) > SLACK + held_up:
                _known = fresh
    return _known


def _reading() -> tuple[float, float]:
    """The offset, and for how long the thread was held up meanwhile: it may be too large by that."""
    before = time.monotonic()
    fresh = time.time() - before
    return fresh, time.monotonic() - before


def _good_reading() -> tuple[float, float]:
    """The best of several, since all jobs are to have it."""
    best = _reading()
    for _ in range(TRIES):
        if best[1] <= GOOD:
            break
        best = min(best, _reading(), key=lambda reading: reading[1])
    return best
