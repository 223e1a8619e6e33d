"""What keeps reads and writes of shared memory in order, where two processes settle something by them."""

from __future__ import annotations

import threading

__all__ = ["fence"]


def fence() -> None:
    """Have all see what was written before, before anything that follows.

    To take a lock does that on x86. By the rules of ARM, a lock that is let go of comes after what was
    written before, and one that is taken after that comes before what is read later. It is a lock of
    its own each time, so that none is held at a fork.
    """
    lock = threading.Lock()
    lock.acquire()
    lock.release()
    lock.acquire()
