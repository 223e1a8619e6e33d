"""Jobs that take memory, in their own process or in others; a worker imports them by name."""

from __future__ import annotations

import os
import time

import workload
from gates import hold, say

__all__ = [
    "LITTLE",
    "MEBIBYTE",
    "daemon_grows",
    "grandchild_grows",
    "grow",
    "keep",
    "keep_little",
    "sharing_children",
    "take",
]

MEBIBYTE = 1 << 20
LITTLE = 1 << 16  # bytes
_kept: list[bytearray] = []


def take(count: int) -> int:
    """Have so many MiB for a moment; how many."""
    return len(_filled(count)) // MEBIBYTE


def keep(count: int) -> int:
    """Have so many MiB more from now on; the pid."""
    _kept.append(_filled(count))
    return os.getpid()


def keep_little(trace: str) -> int:
    """As `keep`, of `LITTLE` bytes, in microseconds, and leave a trace of having run."""
    workload.times_called(trace)
    _kept.append(bytearray(b"." * LITTLE))
    return os.getpid()


def _filled(count: int) -> bytearray:
    """Memory that is there: each page has been written."""
    block = bytearray(count * MEBIBYTE)
    block[:: os.sysconf("SC_PAGESIZE")] = b"." * len(block[:: os.sysconf("SC_PAGESIZE")])
    return block


def grow(gate: str) -> None:
    """Say the pid, then take more and more, without end but for a test that has gone wrong."""
    say(gate, os.getpid())
    mine = [_filled(1) for _ in range(2000)]
    time.sleep(workload.FOREVER)
    mine.clear()


def daemon_grows(gate: str) -> None:
    """As `grow`, but in a process that has left, and of which the pid is said first."""
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        grow(gate)
    os.waitpid(first, 0)
    say(gate, os.getpid())
    workload.forever()


def grandchild_grows(gate: str) -> None:
    """As `grow`, but in a child's child."""
    if os.fork() == 0:
        if os.fork() == 0:
            grow(gate)
        workload.forever()
    workload.forever()


def sharing_children(gate: str, count: int, children: int) -> int:
    """Take so many MiB, share them with so many children, and wait to be let go, as all these."""
    mine = _filled(count)
    for _ in range(children):
        if os.fork() == 0:
            say(gate, os.getpid())
            workload.forever()
    hold(gate, "shared")
    return len(mine) // MEBIBYTE
