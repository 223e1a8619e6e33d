"""What the benchmarks have run. A module of its own, so that every worker can import it."""

from __future__ import annotations

import os
import time


def nothing() -> None:
    pass


def same(item: int) -> int:
    return item


def hold(number: int, gate: str) -> None:
    """Leave a file that says it has begun, then block until the named pipe `gate` is opened."""
    with open(f"{gate}.{number}", "x"):
        pass
    with open(gate):
        pass


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def overrun(diary: str) -> None:
    """Write down when it began (monotonic, which is the same in every process), then never end."""
    with open(diary, "w") as file:
        file.write(repr(time.monotonic()))
    while True:
        time.sleep(60)
