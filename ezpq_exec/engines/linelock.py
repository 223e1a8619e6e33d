"""The lock of the threads that fetch answers themselves. The loop may wait for it.

So a finalizer, or a signal's handler, that interrupts a thread which has it must not wait for the loop.
"""

from __future__ import annotations

import os
import threading

__all__ = ["LINES"]

LINES = threading.RLock()  # none has it for more than an instant

if hasattr(os, "register_at_fork"):  # else a fork might find it held by a thread that it has not
    os.register_at_fork(
        before=LINES.acquire, after_in_parent=LINES.release, after_in_child=LINES.release
    )
