"""The books of a soak: which jobs are open, how each ended, and how often each has begun."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from jobs import CANCELLED, Draft

__all__ = ["Ledger"]


class Ledger:
    """Written by all submitting threads and by done-callbacks."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ledger"
        self._path.touch()
        self.lock = threading.Lock()
        self.open: dict[int, tuple[Draft, Any]] = {}
        self.runs: dict[int, tuple[int, int]] = {}
        self.kinds: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.settled = 0
        self.last = time.monotonic()  # when a job was settled last

    def enter(self, number: int, draft: Draft) -> None:
        """This job is about to be submitted."""
        with self.lock:
            self.open[number] = draft, None
            self.runs[number] = draft.runs

    def submitted(self, number: int, future: Any) -> None:
        """It was, and this is its future."""
        with self.lock:
            if number in self.open:
                self.open[number] = self.open[number][0], future

    def close(self, number: int, value: Any, error: BaseException | None) -> None:
        """It has ended; a second time is a complaint."""
        with self.lock:
            draft, _ = self.open.pop(number, (None, None))
            self.settled += 1
            self.last = time.monotonic()
            if draft is None:
                self.complaints.append(f"{number}: settled twice")
                return
            self.kinds[draft.kind] += 1
            if draft.kind == "cancelled" and isinstance(error, CancelledError):
                self.runs[number] = CANCELLED[1]
                return
            complaint = draft.complaint(value, error)
            if complaint:
                self.complaints.append(f"{number}: {complaint}")

    def audit(self) -> list[str]:
        """All that is wrong, now that everything has ended."""
        content = self._path.read_bytes()
        begun = Counter(number for (number,) in struct.iter_unpack("=q", content))
        wrong = list(self.complaints)
        wrong += [f"{number}: lost, {draft.kind}" for number, (draft, _) in self.open.items()]
        for number, (least, most) in self.runs.items():
            if not least <= begun[number] <= most:
                wrong.append(f"{number}: began {begun[number]} times, not {least} to {most}")
        strangers = begun.keys() - self.runs.keys()
        wrong += [f"{number}: began, and was never submitted" for number in strangers]
        return wrong
