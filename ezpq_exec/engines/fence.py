"""What keeps reads and writes of shared memory in order, where two processes settle something by them."""

from __future__ import annotations

import threading

__all__ = ["fence"]


def fence() -> None:
    """Have all see what was written before, before anything that follows: taking a lock does that.

    It is a lock of its own each time, so that none is held at a fork.
    """
    threading.Lock().acquire()
