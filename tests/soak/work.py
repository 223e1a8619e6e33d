"""What the jobs of a soak do, in the worker. Each first appends its number to the ledger."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import threading
import time
from typing import NoReturn

LONG = 3600.0  # seconds: longer than any soak lets a job run


class WillNotUnpickle(Exception):
    """Its arguments are not those that it is made of."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def entered(folder: str, number: int) -> None:
    """Note that this job has begun, by one atomic append."""
    ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(ledger, struct.pack("=q", number))
    finally:
        os.close(ledger)


def good(folder: str, number: int) -> int:
    entered(folder, number)
    return number


def slow(folder: str, number: int) -> int:
    entered(folder, number)
    time.sleep(0.05)
    return number


def in_lane(folder: str, number: int, lane: int) -> int:
    """Fails if another of its lane runs beside it."""
    entered(folder, number)
    path = f"{folder}/lane-{lane}"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    time.sleep(0.002)
    os.unlink(path)
    return number


def raising(folder: str, number: int) -> NoReturn:
    entered(folder, number)
    raise LookupError(number)


def endless(folder: str, number: int) -> None:
    entered(folder, number)
    time.sleep(LONG)


def announced(folder: str, number: int) -> None:
    """Tell the killer's pipe that it runs, and wait for its end."""
    entered(folder, number)
    pipe = os.open(f"{folder}/news", os.O_WRONLY)
    os.write(pipe, struct.pack("=q", number))
    os.close(pipe)
    time.sleep(LONG)


def exits(folder: str, number: int) -> None:
    entered(folder, number)
    os._exit(7)


def crashes(folder: str, number: int) -> None:
    entered(folder, number)
    ctypes.string_at(0)


def signalled(folder: str, number: int, name: str) -> None:
    """Another process sends it the signal."""
    entered(folder, number)
    subprocess.Popen(["/bin/kill", f"-{name}", str(os.getpid())])
    time.sleep(LONG)


def takes(folder: str, number: int, size: int) -> int:
    """Have so many bytes for a moment."""
    entered(folder, number)
    return number if len(b"." * size) == size else -1


def grows(folder: str, number: int) -> None:
    """Take more and more, in this process and another; in vain without end, should nobody mind."""
    entered(folder, number)
    if number % 2 and os.fork():
        time.sleep(LONG)
    taken = [b"." * (1 << 20) for _ in range(1000)]
    time.sleep(LONG)
    taken.clear()


def ignores_argument(folder: str, number: int, _argument: object) -> int:
    return good(folder, number)


def returns_lock(folder: str, number: int) -> object:
    entered(folder, number)
    return threading.Lock()


def raises_strangely(folder: str, number: int) -> NoReturn:
    entered(folder, number)
    raise WillNotUnpickle("a", "b")


def echoes(folder: str, number: int, payload: bytes) -> bytes:
    entered(folder, number)
    return payload


def leaves_children(folder: str, number: int) -> int:
    """A child, and a grandchild that is an orphan in a session of its own."""
    entered(folder, number)
    subprocess.Popen(["/bin/sleep", str(LONG)])
    orphan = ["/bin/sh", "-c", f"setsid /bin/sleep {LONG:.0f} </dev/null & exit 0"]
    subprocess.run(orphan, check=True)
    return number


def leaves_threads(folder: str, number: int) -> int:
    entered(folder, number)
    threading.Thread(target=time.sleep, args=(LONG,), daemon=True).start()
    return number


def prints_in_c(folder: str, number: int) -> int:
    """C writes to a stdout that is closed."""
    entered(folder, number)
    saved = os.dup(1)
    os.close(1)
    try:
        libc = ctypes.CDLL(None)
        libc.puts(b"nobody reads this")
        libc.fflush(None)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    return number


def flaky(folder: str, number: int) -> int:
    """Takes its worker along at the first two attempts."""
    entered(folder, number)
    for attempt in (1, 2):
        try:
            os.close(os.open(f"{folder}/flaky-{number}-{attempt}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        os._exit(attempt)
    return number
