"""Where jobs wait until a test lets them go on, and tell it things, from any thread or process.

It is made of two named pipes, so nobody polls: a job blocks in the kernel until a byte comes.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

__all__ = ["PATIENCE", "Gate", "hold", "say"]

# Seconds that anything may take on a busy machine before a test gives up. Less where it is to hang.
PATIENCE = float(os.environ.get("EZPQ_EXEC_TESTS_PATIENCE", "60"))


def say(gate: str, *words: object) -> None:
    """In a job: tell the test something, in one line."""
    with open(f"{gate}/news", "wb", buffering=0) as news:
        news.write(" ".join(map(str, words)).encode() + b"\n")


def hold(gate: str, *words: object) -> int:
    """In a job: say that it is here (the words, else its pid), wait to be let go; its pid."""
    descriptor = os.open(f"{gate}/passes", os.O_RDONLY)  # first: heard, the test may close its end
    try:
        say(gate, *(words or (os.getpid(),)))
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)
    return os.getpid()


class Gate:
    """The test's side."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        os.mkfifo(folder / "news")
        os.mkfifo(folder / "passes")
        self.path = str(folder)
        self._news = os.open(folder / "news", os.O_RDWR | os.O_NONBLOCK)
        self._passes = os.open(folder / "passes", os.O_RDWR | os.O_NONBLOCK)
        self._text = b""

    def heard(self, count: int = 1) -> list[str]:
        """Wait for `count` lines, and return them; fails when they do not come."""
        until = time.monotonic() + PATIENCE
        while self._text.count(b"\n") < count:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._news], [], [], left)[0]:
                raise AssertionError(f"{count} lines were awaited, and these came: {self._text!r}")
            self._text += os.read(self._news, 65536)
        *lines, rest = self._text.split(b"\n")
        self._text = b"\n".join([*lines[count:], rest])
        return [line.decode() for line in lines[:count]]

    def all_heard(self) -> list[str]:
        """The lines that are there now."""
        try:
            self._text += os.read(self._news, 65536)
        except BlockingIOError:
            pass  # none
        return self.heard(self._text.count(b"\n"))

    def pids(self, count: int = 1) -> list[int]:
        """The numbers in the next `count` lines."""
        return [int(word) for line in self.heard(count) for word in line.split()]

    def open(self, count: int = 1) -> None:
        """Let `count` jobs go on, now or when they come."""
        os.write(self._passes, b"." * count)

    def close(self) -> None:
        """Let everybody go on, and let go of the pipes."""
        self.open(4096)
        os.close(self._news)
        os.close(self._passes)
