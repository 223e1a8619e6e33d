"""Idle slots that a submitting thread may fill by itself, so that the loop need not be woken.

While the loop sleeps and nothing waits, its idle slots are on offer. A submitting thread leaves a
record, then takes a slot and hands its job over. If it then waits for the result, it fetches the
answer itself where the engine has a line for that, and puts the slot on offer again. The loop reads
the records when something wakes it. While it is awake nothing is on offer.

An exception (Ctrl-C) may stop such a thread at any point. The record is there before anything is
done, and each step adds to it. So the loop finds out how far the thread came.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice

from .engines.base import Engine, Line
from .jobs import Job

__all__ = ["Handover", "Offers"]


class Handover:
    """The record of a job that a submitting thread may have handed over by itself.

    Attributes:
        taken: the slot, as a list of one; empty if none was taken.
        sent: not empty if the job was sent there.
        free: the slots on offer from which it was taken.
        claimed: a thread has set out to fetch the answer.
        line: where that thread waits.
        read: the loop has read this record, so that what comes later must be posted to it.
    """

    __slots__ = ("claimed", "free", "job", "line", "read", "sent", "taken")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.taken: list[int] = []
        self.sent: list[object] = []
        self.free: deque[int] = deque()
        self.claimed = False
        self.line: Line | None = None
        self.read = False

    def hand_back(self) -> None:
        """The answer was fetched: the slot can be taken again, if the loop has not woken since."""
        self.free.append(self.taken[0])


class Offers:
    """The slots on offer. The loop puts them and takes them back; others take one each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free: deque[int] = deque()
        self._is_put = False
        self._records: deque[Handover] = deque()
        self.naps = False  # the loop will soon read the records, even if nobody wakes it

    def put(self, slots: Iterable[int]) -> None:
        """Offer these slots; the loop is about to sleep."""
        self._free = deque(slots)
        self._is_put = True

    def withdraw(self) -> None:
        """Offer nothing any more. Whoever has not taken a slot by now finds none."""
        if self._is_put:
            self._is_put = False
            free, self._free = self._free, deque()
            free.clear()

    @property
    def are_there(self) -> bool:
        """Whether there seem to be any."""
        return bool(self._free)

    @property
    def are_recorded(self) -> bool:
        """Whether there are records to be read."""
        return bool(self._records)

    def read(self) -> list[tuple[Handover, bool]]:
        """The records, oldest first; with each, whether a later record has the same slot."""
        records = []
        while self._records:
            records.append(self._records.popleft())
        uses = Counter(record.taken[0] for record in records if record.taken)
        read = []
        for record in records:
            if record.taken:
                uses[record.taken[0]] -= 1
            read.append((record, bool(record.taken and uses[record.taken[0]])))
        return read

    def take(self, job: Job) -> Handover:
        """Hand a job over to a slot on offer, if there is one. The record says how far that came.

        Taking the slot and noting it are one call in C, and so are sending the job and noting that.
        So the record is right wherever an exception interrupts.
        """
        record = Handover(job)
        self._records.append(record)
        if job.future is None:
            raise AssertionError(f"{job!r} has no future")
        record.free = self._free
        try:
            record.taken.extend(islice(iter(record.free.pop, None), 1))
        except IndexError:  # none, or the loop was quicker
            return record
        job.future.announce()
        slot, timeout = record.taken[0], job.options.timeout
        soon = self.naps and timeout is None
        self._engine.hand_over(slot, job.number, job.payload, timeout, record.sent, soon)
        return record
